"""Repairs what a wrong clock of this machine leaves behind: work that waits too long."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Connection, Table

from dispatch_returns.clock import WRONG, Clock, since_boot
from dispatch_returns.errors import APIError
from dispatch_returns.refunds.retry_schedule import WAITING, RetrySchedule
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
_IN_PROGRESS = ledger.c.state.in_(sorted(WAITING))
_FOLLOWED_UP = ledger.c.state == State.SUCCEEDED
_NOT_BY_POLICY = returns.c.working | (returns.c.tries > 0)
"""A return that has not failed may wait as long as its policy says."""


class ClockCheck:
    """Checks each minute whether the clock is right again, and whether work waits too long."""

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        clock: Clock,
        wrong_by: Callable[[], timedelta | None],
        *,
        schedule: RetrySchedule,
        monotonic: Callable[[], float] = since_boot,
    ) -> None:
        self._store = store
        self._client = client
        self._clock = clock
        self._wrong_by = wrong_by
        self._monotonic = monotonic
        self._checked: float | None = None
        retry = max(LONGEST_RETRY, schedule.longest_retry, schedule.lease)
        # If something waits longer than this, a wrong clock has set its time.
        self._longest_waits: tuple[tuple[Table, ColumnElement[bool] | None, timedelta], ...] = (
            (inbox, None, retry),
            (outbox, None, retry),
            (returns, _NOT_BY_POLICY, retry),
            (ledger, _UNFINISHED, retry),
            (ledger, _IN_PROGRESS, max(retry, schedule.longest_poll)),
            (
                ledger,
                _FOLLOWED_UP,
                max(retry, schedule.longest_poll, *schedule.follow_ups),
            ),
        )

    def claim(self, limit: int) -> list[timedelta | None]:
        """Return by how much the clock is wrong, None for work to bring forward; else nothing."""
        now = self._monotonic()
        if limit < 1 or (self._checked is not None and now < self._checked + _EVERY_SECONDS):
            return []
        self._checked = now
        if (ahead := self._wrong_by()) is not None:
            return [ahead]
        latest = self._clock() + WRONG
        with self._store.read() as conn:
            late = any(
                queue.is_later(conn, table, latest + wait, only)
                for table, only, wait in self._longest_waits
            )
        return [None] if late else []

    def run(self, ahead: timedelta | None) -> None:
        """Ask the API for the time while the clock is wrong; otherwise bring forward late work."""
        if ahead is not None:
            log.error("this machine's clock is wrong by %s: set it (NTP)", ahead, extra=ids())
            try:
                self._client.workspaces.get()  # its Date may show that the clock is right again
            except APIError as error:
                text = "the API did not return the time: %s"
                log.warning(text, type(error).__name__, extra=ids())
            return

        def bring_forward(conn: Connection) -> int:
            now = self._clock()
            return sum(
                queue.bring_forward(conn, table, now + WRONG + wait, now, only)
                for table, only, wait in self._longest_waits
            )

        moved = self._store.write("clock.forward", bring_forward)
        text = "%d pieces of work were waiting for a time that a wrong clock had set"
        log.warning(text, moved, extra=ids())
