"""Passes results from the store's thread to an event loop, in the groups that it commits."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Arrivals:
    """Hands results over to one event loop.

    `asyncio.wrap_future` wakes the loop for each result, and stops the thread each time. The
    results of one commit arrive together, so one call is enough for all of them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._arrived: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._called = False

    def wait_for(self, result: Future[T]) -> asyncio.Future[T]:
        """Return a future of the loop that resolves as `result` does; call it in the loop."""
        waiting: asyncio.Future[T] = self.loop.create_future()
        result.add_done_callback(lambda done: self._arrive(waiting, done))
        return waiting

    def _arrive(self, waiting: asyncio.Future[Any], done: Future[Any]) -> None:
        self._arrived.append((waiting, done))
        # Two threads may both call: the second call finds nothing. The opposite cannot happen,
        # because the flag is cleared before the loop looks.
        if not self._called:
            self._called = True
            with contextlib.suppress(RuntimeError):  # the loop has ended: nothing waits any more
                self.loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        self._called = False
        while self._arrived:
            waiting, done = self._arrived.popleft()
            if waiting.done():  # given up: it took too long
                continue
            error = done.exception()
            if error is not None:
                waiting.set_exception(error)
            else:
                waiting.set_result(done.result())
