"""What a step of this machine's clock leaves behind, put right by the workers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from dispatch_returns.clock import since_boot
from dispatch_returns.errors import APIError
from dispatch_returns.refunds.clock import Clock
from dispatch_returns.store import Store, queue
from dispatch_returns.store.ledger import State
from dispatch_returns.store.schema import inbox, ledger, outbox, returns

if TYPE_CHECKING:
    from dispatch_returns.api import DispatchClient

log = logging.getLogger(__name__)

_EVERY_SECONDS = 60.0
LONGEST_WAIT = timedelta(hours=25)
"""No failure puts work off for longer: what waits longer was written by a clock that was wrong."""
_UNFINISHED = ledger.c.state.in_([State.REQUESTED, State.SENDING, State.UNKNOWN])
"""A refund in another state, and a return that has not failed, may wait for weeks."""
_PLACES = ((inbox, None), (outbox, None), (ledger, _UNFINISHED), (returns, returns.c.tries > 0))


class ClockCheck:
    """Looks each minute whether the clock is right again, and whether work waits too long."""

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        clock: Clock,
        wrong_by: Callable[[], timedelta | None],
        monotonic: Callable[[], float] = since_boot,
    ) -> None:
        self._store = store
        self._client = client
        self._clock = clock
        self._wrong_by = wrong_by
        self._monotonic = monotonic
        self._looked: float | None = None

    def claim(self, limit: int) -> list[timedelta | None]:
        """Return how far the clock is off, or None for work to bring forward; else nothing."""
        now = self._monotonic()
        if limit < 1 or (self._looked is not None and now < self._looked + _EVERY_SECONDS):
            return []
        self._looked = now
        ahead = self._wrong_by()
        return [ahead] if ahead is not None or self._is_any_late() else []

    def look(self, ahead: timedelta | None) -> None:
        """Ask the API for the time while the clock is wrong; then bring forward what waits."""
        if ahead is not None:
            log.error("this machine's clock is wrong by %s: set it (NTP)", ahead)
            try:
                self._client.workspaces.get()  # its Date may say that the clock is right by now
            except APIError as error:
                log.warning("the API does not say the time: %s", type(error).__name__)
            return
        moved = self._store.write("clock.forward", self._bring_forward)
        log.warning("%d pieces of work waited for a time that a wrong clock had set", moved)

    def _is_any_late(self) -> bool:
        latest = self._clock() + LONGEST_WAIT
        with self._store.read() as conn:
            return any(queue.is_later(conn, table, latest, only) for table, only in _PLACES)

    def _bring_forward(self, conn: Connection) -> int:
        now = self._clock()
        return sum(
            queue.bring_forward(conn, table, now + LONGEST_WAIT, now, only)
            for table, only in _PLACES
        )
