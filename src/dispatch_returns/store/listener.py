"""Hears on PostgreSQL that another process has accepted something, so that a worker need not wait.

A notification may be lost with its connection, so it only wakes: what is due stands in the tables,
and workers look there regularly in any case.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from dispatch_returns.telemetry import ids

log = logging.getLogger(__name__)

_AGAIN = 1.0
"""Seconds until the next attempt to connect."""
_AT_MOST_EVERY = 0.01
"""Seconds between two calls: a burst of deliveries must not become a burst of claims."""


class Listener:
    """Calls `heard` in a thread of its own after each commit that another process notifies."""

    def __init__(self, engine: Engine, heard: Callable[[], None]) -> None:
        self._engine = engine
        self._heard = heard
        self._stopping = threading.Event()
        self._ours, self._theirs = socket.socketpair()
        threading.Thread(target=self._run, name="dispatch-returns-listener", daemon=True).start()

    def stop(self) -> None:
        """End the thread, which closes its connection."""
        self._stopping.set()
        self._ours.close()

    def _run(self) -> None:
        with self._theirs:
            while not self._stopping.is_set():
                try:
                    self._listen()
                except Exception as error:  # noqa: BLE001 - workers look by themselves meanwhile
                    kind = type(error).__name__
                    log.debug("notifications are not heard now: %s", kind, extra=ids())
                self._stopping.wait(_AGAIN)

    def _listen(self) -> None:
        with self._connected() as connection, selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            selector.register(self._theirs, selectors.EVENT_READ)
            self._heard()  # of what was accepted before
            while True:
                selector.select()
                if self._stopping.is_set():
                    return
                for _ in connection.notifies(timeout=0):
                    pass
                self._heard()
                self._stopping.wait(_AT_MOST_EVERY)

    def _connected(self) -> Any:
        """Return psycopg's connection, which listens and belongs to no pool."""
        pooled = self._engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        (channel,) = connection.execute("SELECT quote_ident(current_schema())").fetchone()
        connection.execute(f"LISTEN {channel}")
        return connection


NOTIFY = "SELECT pg_notify(current_schema(), '')"
"""Tells every listener of our schema, once the transaction is committed."""
