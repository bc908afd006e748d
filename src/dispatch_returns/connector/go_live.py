"""Go-live pays no history: tickets that are `refunded` already are listed, and not paid."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dispatch_returns.client import DispatchClient
from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.errors import APIError, LeaseLostError, ValidationError
from dispatch_returns.store import Store, go_live, jobs
from dispatch_returns.store.go_live import Beginning
from dispatch_returns.store.jobs import Job
from dispatch_returns.telemetry import ids

log = logging.getLogger(__name__)

_NAME = "go-live"
_LEASE = timedelta(minutes=2)
_AGAIN = timedelta(seconds=10)


class GoLive:
    """Lists the tickets that were settled before, once for each store and workspace.

    The first worker does it, page by page; if it dies, the next one continues. Until the list is
    complete, no event is processed. A page may be listed twice.
    """

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        *,
        workspace: Callable[[], str],
        refunded_status: str,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._client = client
        self._workspace = workspace
        self._refunded_status = refunded_status
        self._clock = clock
        self._complete = False

    def is_complete(self) -> bool:
        """Return whether all tickets that were settled before are known."""
        if not self._complete:
            with self._store.read() as conn:
                self._complete = go_live.is_complete(conn, self._workspace())
        return self._complete

    def forget(self) -> None:
        """Read the store again: the tickets may have to be listed once more."""
        self._complete = False

    def claim(self, _limit: int) -> list[Job]:
        """Return the listing as work, while it is not complete and no other worker does it."""
        if self.is_complete():
            return []
        now = self._clock()
        job = self._store.write(
            "go_live.claim",
            lambda conn: jobs.claim(conn, _NAME, now, first=now, lease=_LEASE),
        )
        return [] if job is None else [job]

    def run(self, job: Job) -> None:
        """Continue the list to its end; retry later if the API cannot be reached."""
        try:
            self._list(job)
        except APIError as error:
            text = "the tickets that were settled before can't be listed now, so events wait"
            log.warning("%s: %s", text, type(error).__name__, extra=ids())
            self._store.write(
                "go_live.later", lambda conn: jobs.finish(conn, job, self._clock() + _AGAIN)
            )
        except LeaseLostError:
            log.info("another worker lists the tickets that were settled before", extra=ids())

    def complete(self) -> int:
        """Complete the list in this thread; return how many tickets there are.

        Raises `APIError`; what was listed until then is kept.
        """
        if not self.is_complete():
            self._list(None)
        with self._store.read() as conn:
            return go_live.count(conn)

    def _list(self, job: Job | None) -> None:
        found = self._store.write(
            "go_live.begin", lambda conn: go_live.begin(conn, self._workspace(), self._clock())
        )
        while found.completed_at is None:
            found = self._list_page(found, job)
        self._complete = True
        log.info("this installation is live: tickets refunded before are not paid", extra=ids())

    def _list_page(self, found: Beginning, job: Job | None) -> Beginning:
        tickets: list[str] = []
        cursor: str | None = None
        try:
            page = self._client.tickets.list_page(
                status=self._refunded_status, sort="created_at", order="asc", cursor=found.page
            )
        except ValidationError:
            if self._refunded_status in {it.key for it in self._client.statuses.list()}:
                raise
            # A workspace without the status has no such tickets.
        else:
            # A ticket that can't be read was settled before as well.
            unreadable = [it.id for it in page.unreadable if it.id is not None]
            tickets = [it.id for it in page.data] + unreadable
            cursor = page.cursor if page.has_more else None

        def keep(conn: Connection) -> Beginning:
            now: datetime = self._clock()
            if job is not None:
                jobs.finish(conn, job, now + _LEASE)
            go_live.keep(conn, self._workspace(), tickets, cursor, now)
            return go_live.begin(conn, self._workspace(), now)

        return self._store.write("go_live.page", keep)
