"""A pooler before a PostgreSQL server, as PgBouncer is one: in transaction or in session mode.

It lets everybody in, as a server with ``trust`` does, and understands as much of the protocol as
psycopg speaks: a message at a time, up to the server's word that it is ready.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from typing import Any

from sqlalchemy import make_url

_READY = b"Z"
_ENDS_A_QUESTION = (b"Q", b"S")


@contextlib.contextmanager
def pooling(url: str, *, sessions: bool) -> Iterator[str]:
    """Give the URL of the database at `url` through a pooler."""
    target = make_url(url)
    with _Pooler(("127.0.0.1", 0), _Client) as pooler:
        pooler.server_at = (target.host or "127.0.0.1", target.port or 5432)
        pooler.names = {"user": target.username or "postgres", "database": target.database or ""}
        pooler.sessions = sessions
        threading.Thread(target=pooler.serve_forever, daemon=True).start()
        try:
            through = target.set(host="127.0.0.1", port=pooler.server_address[1])
            yield through.render_as_string(hide_password=False)
        finally:
            pooler.shutdown()
            pooler.end()


class _Pooler(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    server_at: tuple[str, int]
    names: dict[str, str]
    sessions: bool

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._guard = threading.Lock()
        self._free: list[socket.socket] = []
        self._all: list[socket.socket] = []
        self.greeting = b""

    def take(self) -> socket.socket:
        """Give the connection to the server that was used last, as PgBouncer does, or a new one."""
        with self._guard:
            if self._free:
                return self._free.pop()
            upstream = socket.create_connection(self.server_at)
            self._all.append(upstream)
            words = b"".join(f"{name}\0{value}\0".encode() for name, value in self.names.items())
            start = struct.pack("!I", 196608) + words + b"\0"
            upstream.sendall(struct.pack("!I", len(start) + 4) + start)
            greeting = [(kind, body) for kind, body in _until_ready(upstream)]
            # What the server calls its process is not handed on: the pooler has many.
            shown = [_packed(kind, body) for kind, body in greeting if kind != b"K"]
            own = _packed(b"K", struct.pack("!ii", -1, 1))
            self.greeting = b"".join([*shown[:-1], own, shown[-1]])
            return upstream

    def give_back(self, upstream: socket.socket) -> None:
        with self._guard:
            self._free.append(upstream)

    def end(self) -> None:
        for upstream in self._all:
            upstream.close()


class _Client(socketserver.BaseRequestHandler):
    server: _Pooler

    def handle(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._serve()

    def _serve(self) -> None:
        client: socket.socket = self.request
        while struct.unpack("!II", _read(client, 8))[1] == 80877103 or not self._start(client):
            client.sendall(b"N")  # no TLS here
        upstream = self.server.take()
        if not self.server.sessions:
            self.server.give_back(upstream)
        client.sendall(self.server.greeting)
        held: socket.socket | None = upstream if self.server.sessions else None
        while (message := _message(client))[0] != b"X":
            held = held or self.server.take()
            held.sendall(_packed(*message))
            if message[0] not in _ENDS_A_QUESTION:
                continue
            for kind, body in _until_ready(held):
                client.sendall(_packed(kind, body))
            if body == b"I" and not self.server.sessions:
                self.server.give_back(held)
                held = None

    def _start(self, client: socket.socket) -> bool:
        client.recv(65536)  # the names: everybody is let in
        return True


def _until_ready(upstream: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    while True:
        kind, body = _message(upstream)
        yield kind, body
        if kind == _READY:
            return


def _message(sock: socket.socket) -> tuple[bytes, bytes]:
    kind = _read(sock, 1)
    (length,) = struct.unpack("!I", _read(sock, 4))
    return kind, _read(sock, length - 4)


def _packed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _read(sock: socket.socket, length: int) -> bytes:
    read = b""
    while len(read) < length:
        part = sock.recv(length - len(read))
        if not part:
            raise EOFError
        read += part
    return read
