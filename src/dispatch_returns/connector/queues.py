"""The three queues as what a runner sees: something to claim, something to run."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from dispatch_returns.errors import StoreError, TransitionError
from dispatch_returns.telemetry import ids

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Queue(Generic[T]):
    """Work that several workers may take at once.

    `claim` takes up to so many items under a lease; `run` deals with one. An item whose `run`
    raised, or whose worker died, is claimed again when its lease ends. Where `run` may never
    return, `keep` is called each second with the item and the seconds that it has run.
    """

    name: str
    claim: Callable[[int], list[T]]
    run: Callable[[T], None]
    keep: Callable[[T, float], None] | None = None

    def only_if(self, allowed: Callable[[], bool]) -> Queue[T]:
        """Return the same queue, of which nothing is claimed unless `allowed` says so."""

        def claim(limit: int) -> list[T]:
            return self.claim(limit) if allowed() else []

        return replace(self, claim=claim)

    def claim_safely(self, limit: int) -> list[T]:
        """Claim up to `limit` items; where that cannot be done now, log it and return none."""
        try:
            return self.claim(limit)
        except StoreError as error:
            log.error("%s: nothing can be claimed now: %s", self.name, error, extra=ids())  # noqa: TRY400 - the message says it all
        except Exception as error:  # noqa: BLE001 - the next look may be luckier
            kind = type(error).__name__  # and no traceback, which may show a customer's data
            log.error("%s: nothing can be claimed: %s", self.name, kind, extra=ids())  # noqa: TRY400
        return []

    def run_safely(self, item: T) -> None:
        """Run one item; what it raises is logged by its kind and place, never by its text."""
        try:
            self.run(item)
        except TransitionError as error:  # its words name ids and states alone
            log.error("%s: %s", self.name, error, extra=_ids(item))  # noqa: TRY400 - it says it all
        except Exception as error:  # noqa: BLE001 - one bad item must not end the worker
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error(  # noqa: TRY400 - a traceback may show a customer's data
                "%s: an item failed with %s at %s:%s and comes back when its lease ends",
                self.name,
                type(error).__name__,
                place.filename,
                place.lineno,
                extra=_ids(item),
            )

    def keep_safely(self, item: T, seconds: float) -> None:
        """Keep up an item that runs; where that cannot be done now, it is tried again."""
        try:
            if self.keep is not None:
                self.keep(item, seconds)
        except Exception as error:  # noqa: BLE001 - the next look may be luckier
            log.warning(
                "%s: a lease cannot be kept up: %s", self.name, type(error).__name__, extra=ids()
            )


def _ids(item: object) -> dict[str, str | None]:
    return {name: getattr(item, name, None) for name in ids()}


def work_off(queues: Sequence[Queue[object]], batch: int = 32) -> int:
    """Deal with everything that is due, in this thread; return how many items that were.

    Raises `StoreUnavailableError` where a queue cannot be claimed from. What was claimed before is
    done: it would otherwise wait for the end of its lease.
    """
    done = 0
    busy = True
    while busy:
        busy = False
        for queue in queues:
            items = queue.claim(batch)
            for item in items:
                queue.run_safely(item)
            done += len(items)
            busy = busy or bool(items)
    return done
