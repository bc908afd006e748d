"""Reads the three books, looks again at whatever seems to differ, and puts right what is safe.

The books move while they are read. So what a join shows is only a suspicion: the row is read
again, the processor and the API are asked again, and what differs then is a difference.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, islice
from typing import TypeVar

from sqlalchemy import Connection

from dispatch_returns.client import DispatchClient, Ticket
from dispatch_returns.client.operation import UnreadableItem
from dispatch_returns.connector.processor_events import Found, LateNews
from dispatch_returns.connector.reconcile import differences
from dispatch_returns.connector.reconcile.books import (
    Books,
    OthersRefund,
    Tell,
    TicketLine,
    digits,
    tell_nobody,
)
from dispatch_returns.connector.reconcile.differences import FIXABLE, Cause, Difference, ParcelRow
from dispatch_returns.errors import (
    AdapterError,
    APIError,
    APIResponseError,
    DispatchReturnsError,
    ErrorKind,
    InvalidArgumentError,
    NotFoundError,
    PaginationError,
    UnsupportedFeatureError,
)
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.adapter import (
    KnownRefund,
    PaymentRef,
    RefundNews,
    SupportsListing,
    UnreadableRefund,
    readable_refunds,
)
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.sync import Answer, Met
from dispatch_returns.refunds.ticket_facts import Facts, payment_on_ticket
from dispatch_returns.returns import receipts, records
from dispatch_returns.returns.receipts import ReceiptState
from dispatch_returns.store import Store, audit_log, go_live, inbox
from dispatch_returns.store.inbox import EventState
from dispatch_returns.telemetry import ids

T = TypeVar("T")

log = logging.getLogger(__name__)

_RIGHT = frozenset({Met.APPLIED, Met.ADOPTED, Met.AGREES})
_ONE = (1,)
"""The parcels of a ticket of which none was counted: its refund is the first."""
_PAGE = 100
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
        workspace: Callable[[], str],
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
        unreadable: list[UnreadableItem] = []
        unreadable_refunds: list[UnreadableRefund] = []
        with Books(tell) as books:
            lines = books.read(
                self._tickets(since, unreadable),
                self._rows(since, until),
                readable_refunds(adapter.refunds_between(since, until), unreadable_refunds.append),
            )
            if since is not None or until is not None:
                # Somebody may refund by hand today what was paid last year.
                books.add_rows(self._rows_of(books.payments_of_others()))
            for number, difference in enumerate(
                chain(
                    map(_unreadable, unreadable),
                    map(_unreadable_refund, unreadable_refunds),
                    self._differences(books),
                ),
                start=1,
            ):
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

    def _tickets(
        self, since: datetime | None, unreadable: list[UnreadableItem]
    ) -> Iterator[TicketLine]:
        """Give the tickets that say refunded, until one was last changed before `since`.

        Those that cannot be understood are added to `unreadable`.
        """
        for tickets in _in_pages(_changed_since(self._listed(unreadable), since)):
            of_ticket = {self._return_id(it.id): it for it in tickets}
            with self._store.read() as conn:
                accepted = receipts.accepted(conn, of_ticket)
                before = go_live.among(conn, self._workspace(), [it.id for it in tickets])
            for return_id, ticket in of_ticket.items():
                if ticket.id in before:
                    continue
                yield self._line(ticket, accepted.get(return_id, _ONE))

    def _listed(self, unreadable: list[UnreadableItem]) -> Iterator[Ticket]:
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = self._client.tickets.list_page(
                status=self._refunded_status, sort="updated_at", order="desc", cursor=cursor
            )
            unreadable.extend(page.unreadable)
            yield from page.data
            cursor = page.cursor
            if cursor is None:
                return
            if cursor in seen:
                raise PaginationError("the list of tickets does not end: a cursor repeats")
            seen.add(cursor)

    def _return_id(self, ticket_id: str) -> str:
        return records.return_id(self._workspace(), ticket_id)

    def _refund_id(self, ticket_id: str, ordinal: int) -> str:
        return ledger.refund_id(self._workspace(), ticket_id, ordinal)

    def _line(self, ticket: Ticket, ordinals: Sequence[int]) -> TicketLine:
        facts = Facts.of(ticket, self._workspace())
        # Only what the ticket itself names: a look-up for each ticket would be a call for each.
        payment = payment_on_ticket(facts)
        return TicketLine(
            ticket.id,
            digits(facts.amount),
            payment.id if payment else None,
            tuple(self._refund_id(ticket.id, ordinal) for ordinal in ordinals),
        )

    def _rows(self, since: datetime | None, until: datetime | None) -> Iterator[Refund]:
        after = ""
        while True:
            with self._store.read() as conn:
                page = ledger.page(conn, after, since=since, until=until)
            if not page:
                return
            yield from self._of_workspace(page)
            after = page[-1].id

    def _rows_of(self, payments: Iterator[str]) -> Iterator[Refund]:
        """Give the rows of some payments."""
        adapter = self._late_news.adapter.name
        for names in _in_pages(payments):
            with self._store.read() as conn:
                page = ledger.of_payments(conn, adapter, names)
            yield from self._of_workspace(page)

    def _of_workspace(self, rows: Sequence[Refund]) -> Iterator[Refund]:
        return (row for row in rows if row.workspace_id == self._workspace())

    # A second look.

    def _differences(self, books: Books) -> Iterator[Difference]:
        """Give each difference once; refunds come first, for they settle rows and tickets."""
        for processor_id, payment in books.lost_refunds(self._workspace()):
            yield from self._again_at_lost(processor_id, payment)
        for refund in books.others_refunds(self._late_news.adapter.name):
            yield from self._again_at_others(refund)
        for refund_id, ticket_id, processor_id in books.claimed_twice(self._late_news.adapter.name):
            yield Difference(Cause.CLAIMED_TWICE, ticket_id, refund_id, processor_id)
        for refund_id in books.suspect_rows(self._late_news.adapter.name):
            yield from self._again_at_row(refund_id)
        for ticket_id in books.suspect_tickets():
            yield from self._again_at_ticket(ticket_id)

    def _again_at_lost(self, processor_id: str, payment: PaymentRef) -> Iterator[Difference]:
        known = self._find(processor_id, payment)
        if known is None or known.refund_id is None:
            return
        with self._store.read() as conn:
            row = ledger.get(conn, known.refund_id)
            parcels = self._parcels(conn, known.ticket_id) if known.ticket_id else []
        if row is None:
            is_earlier = any(it.refund_id == known.refund_id for it in parcels[:-1])
            cause = Cause.PARCEL_NOT_ENTERED if is_earlier else Cause.NOT_IN_LEDGER
            yield differences.of_refund(cause, known, payment)

    def _again_at_others(self, refund: OthersRefund) -> Iterator[Difference]:
        known = self._find(refund.processor_id, refund.payment)
        if known is None:
            return
        adapter = self._late_news.adapter.name
        with self._store.read() as conn:
            taken = ledger.of_processor(conn, adapter, refund.processor_id)
            rows = ledger.of_payments(conn, adapter, [ref.id for ref in known.payments])
            waits = refund.waits is not None and ledger.get(conn, refund.waits) is None
        if taken is not None:
            return
        if waits:
            found = differences.of_refund(Cause.MADE_ELSEWHERE, known, refund.payment)
            yield replace(found, ticket_id=refund.ticket_id)
        elif (newest := differences.beside(rows, known)) is not None:
            found = differences.of_refund(Cause.REFUNDED_ELSEWHERE, known, refund.payment)
            yield replace(found, ticket_id=newest.ticket_id)

    def _again_at_row(self, refund_id: str) -> Iterator[Difference]:
        with self._store.read() as conn:
            row = ledger.get(conn, refund_id)
        if row is None or row.payment is None:
            return
        unreadable: list[UnreadableRefund] = []
        listed = self._refunds_of(PaymentRef(**row.payment), unreadable)
        if row.processor_id in {it.processor_id for it in unreadable}:
            return  # it is reported as such
        with self._store.read() as conn:
            fresh = ledger.get(conn, refund_id)
            claimed = (
                ledger.of_processor(conn, row.adapter, it.result.processor_id) for it in listed
            )
            others = {it.processor_id for it in claimed if it is not None and it.id != row.id}
        if fresh is not None and fresh.claims == row.claims:
            difference = differences.of_row(row, listed, others)
            if difference is not None:
                yield difference

    def _again_at_ticket(self, ticket_id: str) -> Iterator[Difference]:
        try:
            ticket = self._client.tickets.get(ticket_id)
        except _GONE:
            return
        except APIResponseError as error:
            yield Difference(Cause.UNREADABLE_TICKET, ticket_id, detail=error.message)
            return
        if ticket.status != self._refunded_status:
            return
        with self._store.read() as conn:
            waiting = inbox.newest(conn, limit=1, state=EventState.ACCEPTED, ticket_id=ticket_id)
            *earlier, newest = self._parcels(conn, ticket_id)
        if waiting:
            return
        found = [differences.of_parcel(it, ticket_id) for it in earlier]
        # The ticket speaks of its newest parcel.
        asked = digits(Facts.of(ticket, self._workspace()).amount)
        found.append(differences.of_ticket(newest.row, ticket_id, asked))
        yield from (it for it in found if it is not None)

    def _parcels(self, conn: Connection, ticket_id: str) -> list[ParcelRow]:
        """Return the accepted parcels of a ticket, oldest first; one where none was counted."""
        accepted = [
            (it.ordinal, it.amount)
            for it in receipts.of_return(conn, self._return_id(ticket_id))
            if it.state is ReceiptState.ACCEPTED
        ]
        found: list[ParcelRow] = []
        for ordinal, amount in accepted or [(1, None)]:
            refund_id = self._refund_id(ticket_id, ordinal)
            acts = audit_log.of_refund(conn, refund_id)
            given_up = bool(acts) and acts[-1].act == "cancel"
            row = ledger.get(conn, refund_id)
            found.append(ParcelRow(refund_id, ordinal, amount, row, given_up=given_up))
        return found

    def _find(self, processor_id: str, payment: PaymentRef) -> KnownRefund | None:
        listed = self._refunds_of(payment)
        return next((it for it in listed if it.result.processor_id == processor_id), None)

    def _refunds_of(
        self, payment: PaymentRef, unreadable: list[UnreadableRefund] | None = None
    ) -> list[KnownRefund]:
        """Return a payment's refunds; those that can't be read are added to `unreadable`."""
        left_out = [] if unreadable is None else unreadable
        try:
            return list(readable_refunds(self._listing().refunds_of(payment), left_out.append))
        except AdapterError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            return []

    # What may be put right.

    def _fix(self, difference: Difference) -> Difference:
        if difference.cause not in FIXABLE | {Cause.REFUNDED_ELSEWHERE}:
            return replace(difference, fixed=False)
        try:
            fixed = self._fixed(difference) and difference.cause in FIXABLE
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
        answer = self._ask_again(difference)
        if not answer.refunds:
            return False
        found = self._late_news.found(answer)
        met = self._store.write("reconcile.fix", lambda conn: self._late_news.write(conn, found))
        # The ticket that waits for it has no row yet, and finds it when it is entered.
        for_no_row = difference.cause is Cause.MADE_ELSEWHERE and difference.refund_id is None
        return (for_no_row and met == [Met.NOTED]) or all(it in _RIGHT for it in met)

    def _enter(self, ticket_id: str) -> bool:
        """Enter a ticket as its event would. Whether it is paid, the workers and guards decide."""
        decision = self._late_news.judge(ticket_id)
        if decision is None:
            return False

        def enter(conn: Connection) -> None:
            self._late_news.write(conn, Found([], [decision]))

        self._store.write("reconcile.fix", enter)
        return True

    def _ask_again(self, difference: Difference) -> Answer:
        """Return the refund that a difference is about, as the processor has it now."""
        if difference.payment is None:
            return Answer([])
        answer = self._late_news.news.ask(RefundNews((difference.payment,), ()))
        wanted = difference.processor_id
        return replace(
            answer, refunds=[it for it in answer.refunds if it.result.processor_id == wanted]
        )


def _unreadable(item: UnreadableItem) -> Difference:
    return Difference(Cause.UNREADABLE_TICKET, item.id, detail=item.problem)


def _unreadable_refund(refund: UnreadableRefund) -> Difference:
    return Difference(
        Cause.UNREADABLE_REFUND, processor_id=refund.processor_id, detail=refund.problem
    )


def _changed_since(tickets: Iterable[Ticket], since: datetime | None) -> Iterator[Ticket]:
    """Give tickets, newest change first, until one was last changed before `since`."""
    for ticket in tickets:
        changed = ticket.updated_at
        if since is not None and changed is not None and changed < since:
            return
        yield ticket


def _in_pages(items: Iterator[T]) -> Iterator[list[T]]:
    while page := list(islice(items, _PAGE)):
        yield page
