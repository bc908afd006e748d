"""Results of a thread on their way to an event loop: none is lost, and few calls bring many."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from dispatch_returns.webhooks.arrivals import Arrivals


def in_a_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def resolve_all(futures: list[Future[int]]) -> None:
    for number, future in enumerate(futures):
        future.set_result(number)


def test_what_arrives_together_wakes_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    futures: list[Future[int]] = [Future() for _ in range(20)]
    calls: list[Any] = []

    async def wait() -> list[int]:
        loop = asyncio.get_running_loop()
        call = loop.call_soon_threadsafe

        def counted(callback: Callable[[], object]) -> None:
            calls.append(callback)
            call(callback)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        arrivals = Arrivals(loop)
        waiting = [arrivals.wait_for(future) for future in futures]
        in_a_thread(lambda: resolve_all(futures))  # the loop stands still meanwhile
        return await asyncio.gather(*waiting)

    assert asyncio.run(wait()) == list(range(20))
    assert len(calls) == 1


class Beside(deque[Any]):
    """Lets another thread's result arrive at the worst moment."""

    def __init__(self, moment: str, other: Future[int]) -> None:
        super().__init__()
        self._moment = moment
        self._other = other

    def append(self, item: Any, /) -> None:
        super().append(item)
        self._at("just after another one")

    def __bool__(self) -> bool:
        some = len(self) > 0
        if not some:
            self._at("just after the loop has looked")
        return some

    def _at(self, moment: str) -> None:
        if moment == self._moment and not self._other.done():
            in_a_thread(lambda: self._other.set_result(1))


@pytest.mark.parametrize("moment", ["just after another one", "just after the loop has looked"])
def test_none_is_lost_in_a_race(moment: str) -> None:
    async def wait() -> list[int]:
        first, other = Future[int](), Future[int]()
        arrivals = Arrivals(asyncio.get_running_loop())
        arrivals._arrived = Beside(moment, other)
        waiting = [arrivals.wait_for(first), arrivals.wait_for(other)]
        in_a_thread(lambda: first.set_result(0))
        return await asyncio.wait_for(asyncio.gather(*waiting), 5)

    assert asyncio.run(wait()) == [0, 1]


def test_a_failure_arrives_as_one() -> None:
    async def wait() -> None:
        future: Future[int] = Future()
        waiting = Arrivals(asyncio.get_running_loop()).wait_for(future)
        in_a_thread(lambda: future.set_exception(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            await waiting

    asyncio.run(wait())


def test_what_was_given_up_is_passed_over() -> None:
    async def wait() -> int:
        given_up, kept = Future[int](), Future[int]()
        arrivals = Arrivals(asyncio.get_running_loop())
        gone, waiting = arrivals.wait_for(given_up), arrivals.wait_for(kept)
        gone.cancel()
        in_a_thread(lambda: resolve_all([given_up, kept]))
        return await waiting

    assert asyncio.run(wait()) == 1


def test_a_loop_that_has_ended_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    futures: list[Future[int]] = [Future(), Future()]

    async def wait() -> None:
        arrivals = Arrivals(asyncio.get_running_loop())
        for future in futures:
            arrivals.wait_for(future)

    asyncio.run(wait())
    with caplog.at_level(logging.DEBUG):
        in_a_thread(lambda: resolve_all(futures))
    assert not caplog.records
