"""What a step of this machine's clock leaves behind, put right by the workers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Connection, Table

from dispatch_returns.clock import WRONG, Clock, since_boot
from dispatch_returns.errors import APIError
from dispatch_returns.refunds.pace import WAITING, Pace
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store, queue
from dispatch_returns.store.queue import LONGEST_RETRY
from dispatch_returns.store.schema import inbox, ledger, outbox, returns

if TYPE_CHECKING:
    from dispatch_returns.client import DispatchClient
from dispatch_returns.telemetry import ids

log = logging.getLogger(__name__)

_EVERY_SECONDS = 60.0
_UNFINISHED = ledger.c.state.in_([State.REQUESTED, State.SENDING, State.UNKNOWN])
_UNDER_WAY = ledger.c.state.in_(sorted(WAITING))
_FOLLOWED_UP = ledger.c.state == State.SUCCEEDED
_NOT_BY_POLICY = returns.c.working | (returns.c.tries > 0)
"""A return that has not failed waits as long as its policy says."""


class ClockCheck:
    """Looks each minute whether the clock is right again, and whether work waits too long."""

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        clock: Clock,
        wrong_by: Callable[[], timedelta | None],
        *,
        pace: Pace,
        monotonic: Callable[[], float] = since_boot,
    ) -> None:
        self._store = store
        self._client = client
        self._clock = clock
        self._wrong_by = wrong_by
        self._monotonic = monotonic
        self._looked: float | None = None
        retry = max(LONGEST_RETRY, pace.longest_retry, pace.lease)
        # What waits for longer was written by a clock that was wrong.
        self._longest_waits: tuple[tuple[Table, ColumnElement[bool] | None, timedelta], ...] = (
            (inbox, None, retry),
            (outbox, None, retry),
            (returns, _NOT_BY_POLICY, retry),
            (ledger, _UNFINISHED, retry),
            (ledger, _UNDER_WAY, max(retry, pace.longest_poll)),
            (ledger, _FOLLOWED_UP, max(retry, pace.longest_poll, *pace.follow_ups)),
        )

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
            log.error("this machine's clock is wrong by %s: set it (NTP)", ahead, extra=ids())
            try:
                self._client.workspaces.get()  # its Date may say that the clock is right by now
            except APIError as error:
                log.warning("the API does not say the time: %s", type(error).__name__, extra=ids())
            return
        moved = self._store.write("clock.forward", self._bring_forward)
        log.warning(
            "%d pieces of work waited for a time that a wrong clock had set", moved, extra=ids()
        )

    def _is_any_late(self) -> bool:
        latest = self._clock() + WRONG
        with self._store.read() as conn:
            return any(
                queue.is_later(conn, table, latest + wait, only)
                for table, only, wait in self._longest_waits
            )

    def _bring_forward(self, conn: Connection) -> int:
        now = self._clock()
        return sum(
            queue.bring_forward(conn, table, now + WRONG + wait, now, only)
            for table, only, wait in self._longest_waits
        )
