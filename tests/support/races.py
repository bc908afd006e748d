"""Two transactions at once: one is held open while a test looks at the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection

from dispatch_returns.store import Store

SOON = 10.0


@contextmanager
def inside(store: Store, work: Callable[[Connection], Any]) -> Iterator[Future[Any]]:
    """Do `work`, and leave its transaction open while the block lasts; give its future."""
    done, go_on = threading.Event(), threading.Event()

    def slowly(conn: Connection) -> Any:
        result = work(conn)
        done.set()
        assert go_on.wait(SOON)
        return result

    future = start(store, slowly)
    assert done.wait(SOON)
    try:
        yield future
    finally:
        go_on.set()


def start(store: Store, work: Callable[[Connection], Any]) -> Future[Any]:
    """Do `work` in a transaction of its own, in a thread of its own; give its future."""
    thread = ThreadPoolExecutor(1)
    future = thread.submit(store.write, "start", work)
    thread.shutdown(wait=False)
    return future


def waits(future: Future[Any]) -> None:
    """Fail unless `future` waits for something."""
    with pytest.raises(TimeoutError):
        future.result(0.2)
