"""Reads the three books, looks again at whatever seems to differ, and puts right what is safe.

The books move while they are read. So what a join shows is only a suspicion: the row is read
again, the processor and the API are asked again, and what differs then is a difference.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from dispatch_returns.api import DispatchClient, Ticket
from dispatch_returns.errors import (
    AdapterError,
    APIError,
    DispatchReturnsError,
    ErrorKind,
    InvalidArgumentError,
    NotFoundError,
    UnsupportedFeatureError,
)
from dispatch_returns.reconcile import differences
from dispatch_returns.reconcile.books import Books, Tell, TicketLine, digits, tell_nobody
from dispatch_returns.reconcile.differences import FIXABLE, Cause, Difference
from dispatch_returns.refunds.adapter import KnownRefund, PaymentRef, SupportsListing
from dispatch_returns.refunds.facts import Facts, PaymentResolver
from dispatch_returns.refunds.news import Met
from dispatch_returns.store import Store, inbox, ledger
from dispatch_returns.store.inbox import EventState
from dispatch_returns.store.ledger import Refund
from dispatch_returns.telemetry import ids
from dispatch_returns.workflow.late_news import Found, LateNews
from dispatch_returns.workflow.steps.receiving import facts_of

log = logging.getLogger(__name__)

_RIGHT = frozenset({Met.APPLIED, Met.ADOPTED, Met.AGREES})
_GONE = (NotFoundError, InvalidArgumentError)


@dataclass(frozen=True, slots=True)
class Report:
    """What a comparison read: lines by book. `differences` were told one by one."""

    lines: dict[str, int]
    differences: int
    settled: int


class Reconciler:
    """Compares, and fixes what it may. It never pays: workers do, for what it has entered."""

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        late_news: LateNews,
        *,
        workspace: str,
        refunded_status: str,
    ) -> None:
        self._store = store
        self._client = client
        self._late_news = late_news
        self._workspace = workspace
        self._refunded_status = refunded_status

    def run(
        self,
        found: Callable[[Difference], None],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        fix: bool = False,
        tell: Tell = tell_nobody,
    ) -> Report:
        """Hand every difference to `found`; fix what is safe where `fix` is set.

        `since` and `until` (UTC): refunds and rows made in that time, and tickets changed since.
        Raises `UnsupportedFeatureError` for an adapter that cannot list its refunds, and
        `APIError`, `AdapterError`, `StoreError` where a book cannot be read.
        """
        adapter = self._listing()
        count = settled = 0
        with Books(tell) as books:
            lines = books.read(
                self._tickets(since),
                self._rows(since, until),
                adapter.refunds_between(since, until),
            )
            for number, difference in enumerate(self._differences(books), start=1):
                tell("differences", number)
                told = self._fix(difference) if fix else difference
                count, settled = count + 1, settled + told.settled
                found(told)
        return Report(lines, count, settled)

    # The books.

    def _listing(self) -> SupportsListing:
        adapter = self._late_news.adapter
        if not isinstance(adapter, SupportsListing):
            raise UnsupportedFeatureError(
                f"the adapter {adapter.name} cannot list its refunds: there is nothing to compare"
            )
        return adapter

    def _tickets(self, since: datetime | None) -> Iterator[TicketLine]:
        """Give the tickets that say refunded, until one was last changed before `since`."""
        listed = self._client.tickets.list(
            status=self._refunded_status, sort="updated_at", order="desc"
        )
        for ticket in listed:
            changed = ticket.updated_at
            if since is not None and changed is not None and changed < since:
                return
            yield self._line(ticket)

    def _line(self, ticket: Ticket) -> TicketLine:
        facts = Facts.of(ticket, self._workspace)
        # Only what the ticket itself names: a look-up for each ticket would be a call for each.
        payment = PaymentResolver().resolve(facts)
        return TicketLine(ticket.id, digits(facts.amount), payment.id if payment else None)

    def _rows(self, since: datetime | None, until: datetime | None) -> Iterator[Refund]:
        after = ""
        while True:
            with self._store.read() as conn:
                page = ledger.page(conn, after, since=since, until=until)
            if not page:
                return
            yield from (row for row in page if row.workspace_id == self._workspace)
            after = page[-1].id

    # A second look.

    def _differences(self, books: Books) -> Iterator[Difference]:
        """Give each difference once; refunds come first, for they settle rows and tickets."""
        for processor_id, payment in books.suspect_refunds(self._workspace):
            yield from self._again_at_refund(processor_id, payment)
        for refund_id in books.suspect_rows(self._late_news.adapter.name):
            yield from self._again_at_row(refund_id)
        for ticket_id in books.suspect_tickets():
            yield from self._again_at_ticket(ticket_id)

    def _again_at_refund(self, processor_id: str, payment: PaymentRef) -> Iterator[Difference]:
        listed = self._refunds_of(payment)
        known = next((it for it in listed if it.result.processor_id == processor_id), None)
        if known is None:
            return
        with self._store.read() as conn:
            row = ledger.get(conn, known.refund_id) if known.refund_id else None
            taken = ledger.of_processor(conn, self._late_news.adapter.name, processor_id)
        if row is None and taken is None:
            cause = Cause.NOT_IN_LEDGER if known.refund_id else Cause.MADE_ELSEWHERE
            amount = str(known.result.amount)
            yield Difference(
                cause, known.ticket_id, known.refund_id, processor_id, amount, payment=payment
            )

    def _again_at_row(self, refund_id: str) -> Iterator[Difference]:
        with self._store.read() as conn:
            row = ledger.get(conn, refund_id)
        if row is None or row.payment is None:
            return
        listed = self._refunds_of(PaymentRef(**row.payment))
        with self._store.read() as conn:
            fresh = ledger.get(conn, refund_id)
            others = {
                it.result.processor_id
                for it in listed
                if (other := ledger.of_processor(conn, row.adapter, it.result.processor_id))
                and other.id != row.id
            }
        if fresh is not None and fresh.claims == row.claims:
            difference = differences.of_row(row, listed, others)
            if difference is not None:
                yield difference

    def _again_at_ticket(self, ticket_id: str) -> Iterator[Difference]:
        try:
            ticket = self._client.tickets.get(ticket_id)
        except _GONE:
            return
        if ticket.status != self._refunded_status:
            return
        with self._store.read() as conn:
            # The ticket speaks of its newest parcel; earlier ones have rows of their own.
            parcel = facts_of(conn, ticket, self._workspace).parcel
            row = ledger.get(conn, ledger.refund_id(self._workspace, ticket_id, parcel.ordinal))
            waiting = inbox.newest(conn, limit=1, state=EventState.ACCEPTED, ticket_id=ticket_id)
        difference = differences.of_ticket(row, ticket_id, self._line(ticket).amount)
        if difference is not None and not waiting:
            yield difference

    def _refunds_of(self, payment: PaymentRef) -> list[KnownRefund]:
        try:
            return list(self._listing().refunds_of(payment))
        except AdapterError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            return []

    # What may be put right.

    def _fix(self, difference: Difference) -> Difference:
        if difference.cause not in FIXABLE:
            return replace(difference, fixed=False)
        try:
            fixed = self._fixed(difference)
        except (APIError, AdapterError) as error:
            detail = f"{difference.detail} ({error.message})".strip()
            return replace(difference, fixed=False, detail=detail)
        except DispatchReturnsError as error:
            extra = ids(ticket_id=difference.ticket_id, refund_id=difference.refund_id)
            log.warning("a difference stays: %s", error, extra=extra)
            return replace(difference, fixed=False)
        return replace(difference, fixed=fixed)

    def _fixed(self, difference: Difference) -> bool:
        if difference.cause in {Cause.NEVER_ENTERED, Cause.NOT_PAID}:
            assert difference.ticket_id is not None
            return self._enter(difference.ticket_id)
        known = self._known(difference)
        if known is None:
            return False
        found = self._late_news.found([known])
        met = self._store.write("reconcile.fix", lambda conn: self._late_news.write(conn, found))
        noted = difference.cause is Cause.MADE_ELSEWHERE and met == [Met.NOTED]
        return noted or all(it in _RIGHT for it in met)

    def _enter(self, ticket_id: str) -> bool:
        """Enter a ticket as its event would. Whether it is paid, the workers and guards decide."""
        decision = self._late_news.judge(ticket_id)
        if decision is None:
            return False

        def enter(conn: Connection) -> None:
            self._late_news.write(conn, Found([], [decision]))

        self._store.write("reconcile.fix", enter)
        return True

    def _known(self, difference: Difference) -> KnownRefund | None:
        if difference.payment is None:
            return None
        listed = self._refunds_of(difference.payment)
        wanted = difference.processor_id
        return next((it for it in listed if it.result.processor_id == wanted), None)
