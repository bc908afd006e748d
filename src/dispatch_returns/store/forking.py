"""What must not cross a fork: SQLite's connections, and its idea of who holds which lock.

A child inherits SQLite's memory. If the parent was inside a transaction, the child takes that
lock for one of its own and never gets it; and a connection must not be carried into a child at
all (https://www.sqlite.org/howtocorrupt.html, section 2.6). So a fork waits until no
transaction runs, and both sides open new connections after it. To a server there are only
sockets, which a child leaves alone.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """What holds connections to a database."""

    def before_fork(self) -> None:
        """Wait for the transaction that runs, begin no other one, and close connections."""
        ...

    def after_fork_in_parent(self) -> None:
        """Go on."""
        ...

    def after_fork_in_child(self) -> None:
        """Begin anew: no other thread has come along."""
        ...


_known: WeakSet[Forkable] = WeakSet()
_paused: list[Forkable] = []
_one_at_a_time = threading.RLock()


def watch(store: Forkable) -> None:
    """Tell `store` of every fork as long as it lives."""
    with _one_at_a_time:
        _known.add(store)


def _before() -> None:
    _one_at_a_time.acquire()
    _paused.extend(_known)
    for store in _paused:
        store.before_fork()


def _after_in_parent() -> None:
    while _paused:
        _paused.pop().after_fork_in_parent()
    _one_at_a_time.release()


def _after_in_child() -> None:
    while _paused:
        _paused.pop().after_fork_in_child()
    _one_at_a_time.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
