"""A relay between a store and PostgreSQL, which loses the answer to a commit when told to."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url


class Relay:
    """Passes bytes on, both ways, for any number of connections."""

    def __init__(self, url: str) -> None:
        target = make_url(url)
        self._target = (target.host or "127.0.0.1", target.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        # Unencrypted, so that a commit can be seen going by.
        here = target.set(host="127.0.0.1", port=self._listener.getsockname()[1])
        self.url = here.update_query_dict({"sslmode": "disable"}).render_as_string(
            hide_password=False
        )
        self.lost = 0
        self._losing = threading.Event()
        self._threads: list[threading.Thread] = []

    def lose_next_commit(self) -> None:
        """Let the server commit, and cut the connection before it can say so."""
        self._losing.set()

    def accept_until_closed(self) -> None:
        """Serve connections until `close`."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._pass_on, args=(client,), daemon=True)
                thread.start()
                self._threads.append(thread)

    def close(self) -> None:
        """Accept nothing more, and wait for the connections to end."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                source, sink = (client, server) if client in ready else (server, client)
                try:
                    data = source.recv(65536)
                    if not data or self._is_to_be_lost(source is server, data):
                        return
                    sink.sendall(data)
                except OSError:
                    return

    def _is_to_be_lost(self, is_answer: bool, data: bytes) -> bool:
        """Whether the server says here that it has committed, and nobody shall hear it."""
        losing = is_answer and b"COMMIT\0" in data and self._losing.is_set()
        if losing:
            self._losing.clear()
            self.lost += 1
        return losing


@contextmanager
def relay(url: str) -> Iterator[Relay]:
    """Run a relay in front of the server in `url`."""
    running = Relay(url)
    thread = threading.Thread(target=running.accept_until_closed, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.close()
        thread.join(10)
