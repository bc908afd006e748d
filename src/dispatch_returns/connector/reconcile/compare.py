"""Compares the tickets, the ledger and the processor's refunds, and fixes what is safe to fix.

They change while they are read, so a join shows only a suspicion: the row is read again, the
processor and the API are asked again, and what differs then is a discrepancy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, islice
from typing import TypeVar

from sqlalchemy import Connection

from dispatch_returns.client import DispatchClient, Ticket
from dispatch_returns.client.operation import UnreadableItem
from dispatch_returns.connector.processor_events import Found, ProcessorEvents
from dispatch_returns.connector.reconcile import discrepancies
from dispatch_returns.connector.reconcile.discrepancies import (
    FIXABLE,
    Cause,
    Discrepancy,
    ParcelRow,
)
from dispatch_returns.connector.reconcile.lists import (
    Books,
    OthersRefund,
    Progress,
    TicketLine,
    digits,
)
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
from dispatch_returns.refunds import calls, ledger
from dispatch_returns.refunds.adapter import (
    KnownRefund,
    PaymentRef,
    RefundUpdate,
    SupportsListing,
    UnreadableRefund,
    readable_refunds,
)
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.sync import Reconciled
from dispatch_returns.refunds.ticket_facts import TicketFacts, payment_on_ticket
from dispatch_returns.returns import receipts, records
from dispatch_returns.returns.receipts import ReceiptState
from dispatch_returns.store import Store, audit_log, go_live, inbox
from dispatch_returns.store.inbox import EventState
from dispatch_returns.telemetry import ids

T = TypeVar("T")

log = logging.getLogger(__name__)

_FIXED = frozenset({Reconciled.APPLIED, Reconciled.ADOPTED, Reconciled.AGREES})
_FIRST_ONLY = (1,)
"""The parcels of a ticket without receipts: its refund is the first."""
_PAGE = 100


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """The result of a comparison. ``lines``: how many entries were read, by list.

    ``silent`` are the adapters whose processors did not answer: their refunds were not compared.
    """

    lines: dict[str, int]
    discrepancies: int
    settled: int
    silent: Mapping[str, AdapterError] = field(default_factory=dict[str, AdapterError])

    @property
    def open(self) -> int:
        """How many discrepancies are left."""
        return self.discrepancies - self.settled


class Reconciler:
    """Compares, and fixes what it may. It never pays: workers do, for what it has entered."""

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        processor_events: ProcessorEvents,
        *,
        workspace: Callable[[], str],
        refunded_status: str,
    ) -> None:
        self._store = store
        self._client = client
        self._processor_events = processor_events
        self._workspace = workspace
        self._refunded_status = refunded_status

    def run(
        self,
        found: Callable[[Discrepancy], None],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        fix: bool = False,
        progress: Progress = lambda _list, _count: None,
    ) -> ReconcileReport:
        """Pass every discrepancy to `found`; with `fix`, fix what is safe first.

        `since` and `until` (UTC): refunds and rows made in that period, and tickets changed
        since. If one of several processors does not answer, the others are compared. Raises
        `UnsupportedFeatureError` if no adapter can list its refunds, and `APIError`,
        `AdapterError`, `StoreError` if something cannot be read.
        """
        silent: dict[str, AdapterError] = {}
        adapters = self._listing()
        count = settled = 0
        unreadable: list[UnreadableItem] = []
        unreadable_refunds: list[UnreadableRefund] = []
        with Books(progress) as lists:
            lines = lists.read(
                self._tickets(since, unreadable),
                self._rows(since, until),
                self._refunds(adapters, since, until, unreadable_refunds, silent),
            )
            compared = [name for name in adapters if name not in silent]
            if since is not None or until is not None:
                # A payment from last year may be refunded by hand today.
                for name in compared:
                    for names in _in_pages(lists.payments_of_others(name)):
                        with self._store.read() as conn:
                            page = ledger.of_payments(conn, name, names)
                        lists.add_rows(self._of_workspace(page))
            not_compared = [
                Discrepancy(Cause.UNREADABLE_TICKET, it.id, detail=it.problem) for it in unreadable
            ] + [
                Discrepancy(
                    Cause.UNREADABLE_REFUND, processor_id=it.processor_id, detail=it.problem
                )
                for it in unreadable_refunds
            ]
            for it in chain(not_compared, self._discrepancies(lists, compared)):
                count += 1
                progress("discrepancies", count)
                result = self._fix(it) if fix else it
                settled += result.settled
                found(result)
        return ReconcileReport(lines, count, settled, silent)

    # The three lists.

    def _listing(self) -> dict[str, SupportsListing]:
        adapters = self._processor_events.adapters
        listing: dict[str, SupportsListing] = {
            name: it for name, it in adapters.items() if isinstance(it, SupportsListing)
        }
        if not listing:
            raise UnsupportedFeatureError(
                f"the adapter {' or '.join(adapters)} cannot list its refunds: there is nothing to"
                " compare"
            )
        return listing

    def _refunds(
        self,
        adapters: Mapping[str, SupportsListing],
        since: datetime | None,
        until: datetime | None,
        unreadable: list[UnreadableRefund],
        silent: dict[str, AdapterError],
    ) -> Iterator[tuple[str, KnownRefund]]:
        """Yield the refunds of each adapter; note in `silent` those that do not answer."""
        for name, adapter in adapters.items():
            try:
                listed = adapter.refunds_between(since, until)
                for known in readable_refunds(listed, unreadable.append):
                    yield name, known
            except AdapterError as error:
                if len(silent) == len(adapters) - 1:
                    raise  # nothing is left to compare
                text = "the refunds of %s can't be compared now: %s"
                log.warning(text, name, error.kind, extra=ids())
                silent[name] = error

    def _tickets(
        self, since: datetime | None, unreadable: list[UnreadableItem]
    ) -> Iterator[TicketLine]:
        """Yield the refunded tickets that were changed since `since`.

        Those that can't be read are added to `unreadable`.
        """
        for tickets in _in_pages(self._changed_tickets(since, unreadable)):
            of_return = {self._return_id(it.id): it for it in tickets}
            with self._store.read() as conn:
                accepted = receipts.accepted(conn, of_return)
                before = go_live.among(conn, self._workspace(), [it.id for it in tickets])
            for return_id, ticket in of_return.items():
                if ticket.id in before:
                    continue
                facts = TicketFacts.of(ticket, self._workspace())
                # Only what the ticket itself names: a look-up would be a call for each ticket.
                payment = payment_on_ticket(facts)
                yield TicketLine(
                    ticket.id,
                    digits(facts.amount),
                    payment.id if payment else None,
                    tuple(
                        self._refund_id(ticket.id, ordinal)
                        for ordinal in accepted.get(return_id, _FIRST_ONLY)
                    ),
                )

    def _changed_tickets(
        self, since: datetime | None, unreadable: list[UnreadableItem]
    ) -> Iterator[Ticket]:
        """Yield the refunded tickets, newest change first, until one changed before `since`."""
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = self._client.tickets.list_page(
                status=self._refunded_status, sort="updated_at", order="desc", cursor=cursor
            )
            unreadable.extend(page.unreadable)
            for ticket in page.data:
                changed = ticket.updated_at
                if since is not None and changed is not None and changed < since:
                    return
                yield ticket
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

    def _rows(self, since: datetime | None, until: datetime | None) -> Iterator[Refund]:
        after: Refund | None = None
        while True:
            with self._store.read() as conn:
                page = ledger.page(conn, after, since=since, until=until)
            if not page:
                return
            yield from self._of_workspace(page)
            after = page[-1]

    def _of_workspace(self, rows: Sequence[Refund]) -> Iterator[Refund]:
        return (row for row in rows if row.workspace_id == self._workspace())

    # Each suspicion is checked again.

    def _discrepancies(self, lists: Books, compared: Sequence[str]) -> Iterator[Discrepancy]:
        """Yield each discrepancy once; refunds come first, because they settle rows and tickets.

        `compared` are the adapters whose refunds are known.
        """
        for adapter in compared:
            for processor_id, payment in lists.lost_refunds(adapter, self._workspace()):
                yield from self._check_lost_refund(processor_id, payment)
            for refund in lists.others_refunds(adapter):
                yield from self._check_external_refund(refund)
        for adapter in compared:
            for refund_id, ticket_id, processor_id in lists.claimed_twice(adapter):
                yield Discrepancy(Cause.CLAIMED_TWICE, ticket_id, refund_id, processor_id)
            for refund_id in lists.suspect_rows(adapter):
                yield from self._check_row(refund_id)
        for ticket_id in lists.suspect_tickets():
            yield from self._check_ticket(ticket_id)

    def _check_lost_refund(self, processor_id: str, payment: PaymentRef) -> Iterator[Discrepancy]:
        known = self._find(processor_id, payment)
        if known is None or known.refund_id is None:
            return
        with self._store.read() as conn:
            row = ledger.get(conn, known.refund_id)
            parcels = self._parcels(conn, known.ticket_id) if known.ticket_id else []
        if row is None:
            is_earlier = any(it.refund_id == known.refund_id for it in parcels[:-1])
            cause = Cause.PARCEL_NOT_ENTERED if is_earlier else Cause.NOT_IN_LEDGER
            yield discrepancies.of_refund(cause, known, payment)

    def _check_external_refund(self, refund: OthersRefund) -> Iterator[Discrepancy]:
        known = self._find(refund.processor_id, refund.payment)
        if known is None:
            return
        adapter = _whose(refund.payment)
        with self._store.read() as conn:
            taken = ledger.of_processor(conn, adapter, refund.processor_id)
            rows = ledger.of_payments(conn, adapter, [ref.id for ref in known.payments])
            waits = refund.waits is not None and ledger.get(conn, refund.waits) is None
        if taken is not None:
            return
        if waits:
            found = discrepancies.of_refund(Cause.MADE_ELSEWHERE, known, refund.payment)
            yield replace(found, ticket_id=refund.ticket_id)
        elif (newest := discrepancies.newest_unrelated(rows, known)) is not None:
            found = discrepancies.of_refund(Cause.EXTERNAL_REFUND, known, refund.payment)
            yield replace(found, ticket_id=newest.ticket_id)

    def _check_row(self, refund_id: str) -> Iterator[Discrepancy]:
        with self._store.read() as conn:
            row = ledger.get(conn, refund_id)
        if row is None or row.payment is None or row.adapter is None:
            return
        adapter = row.adapter
        unreadable: list[UnreadableRefund] = []
        listed = self._refunds_of(calls.payment_of(row), unreadable)
        if row.processor_id in {it.processor_id for it in unreadable}:
            return  # it is reported as such
        with self._store.read() as conn:
            fresh = ledger.get(conn, refund_id)
            claimed = (ledger.of_processor(conn, adapter, it.result.processor_id) for it in listed)
            others = {it.processor_id for it in claimed if it is not None and it.id != row.id}
        if fresh is not None and fresh.claims == row.claims:
            found = discrepancies.of_row(row, listed, others)
            if found is not None:
                yield found

    def _check_ticket(self, ticket_id: str) -> Iterator[Discrepancy]:
        try:
            ticket = self._client.tickets.get(ticket_id)
        except (NotFoundError, InvalidArgumentError):
            return  # it was deleted
        except APIResponseError as error:
            yield Discrepancy(Cause.UNREADABLE_TICKET, ticket_id, detail=error.message)
            return
        if ticket.status != self._refunded_status:
            return
        with self._store.read() as conn:
            waiting = inbox.newest(conn, limit=1, state=EventState.ACCEPTED, ticket_id=ticket_id)
            *earlier, newest = self._parcels(conn, ticket_id)
        if waiting:
            return
        found = [discrepancies.of_parcel(it, ticket_id) for it in earlier]
        # The ticket's own fields are about its newest parcel.
        amount = digits(TicketFacts.of(ticket, self._workspace()).amount)
        found.append(discrepancies.of_ticket(newest.row, ticket_id, amount))
        yield from (it for it in found if it is not None)

    def _parcels(self, conn: Connection, ticket_id: str) -> list[ParcelRow]:
        """Return the accepted parcels of a ticket, oldest first; one if it has no receipts."""
        accepted = [
            (it.ordinal, it.amount)
            for it in receipts.of_return(conn, self._return_id(ticket_id))
            if it.state is ReceiptState.ACCEPTED
        ]
        found: list[ParcelRow] = []
        for ordinal, amount in accepted or [(1, None)]:
            refund_id = self._refund_id(ticket_id, ordinal)
            actions = audit_log.of_refund(conn, refund_id)
            canceled = bool(actions) and actions[-1].action == "cancel"
            row = ledger.get(conn, refund_id)
            found.append(ParcelRow(refund_id, ordinal, amount, row, canceled=canceled))
        return found

    def _find(self, processor_id: str, payment: PaymentRef) -> KnownRefund | None:
        listed = self._refunds_of(payment)
        return next((it for it in listed if it.result.processor_id == processor_id), None)

    def _refunds_of(
        self, payment: PaymentRef, unreadable: list[UnreadableRefund] | None = None
    ) -> list[KnownRefund]:
        """Return a payment's refunds; those that can't be read are added to `unreadable`."""
        left_out = [] if unreadable is None else unreadable
        adapter = self._listing()[_whose(payment)]
        try:
            return list(readable_refunds(adapter.refunds_of(payment), left_out.append))
        except AdapterError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            return []

    # Fixes.

    def _fix(self, found: Discrepancy) -> Discrepancy:
        if found.cause not in FIXABLE | {Cause.EXTERNAL_REFUND}:
            return replace(found, fixed=False)
        try:
            if found.cause in {Cause.NEVER_ENTERED, Cause.NOT_PAID}:
                # As its event would: the workers and the guard decide if it is paid.
                assert found.ticket_id is not None
                decision = self._processor_events.decide(found.ticket_id)
                fixed = decision is not None
                if decision is not None:
                    adapter = decision.adapter or next(iter(self._listing()))
                    entry = Found(adapter, [], [decision])
                    self._store.write(
                        "reconcile.fix", lambda conn: self._processor_events.write(conn, entry)
                    )
            else:
                fixed = self._record_refund(found)
        except (APIError, AdapterError) as error:
            detail = f"{found.detail} ({error.message})".strip()
            return replace(found, fixed=False, detail=detail)
        except DispatchReturnsError as error:
            extra = ids(ticket_id=found.ticket_id, refund_id=found.refund_id)
            log.warning("a discrepancy was not fixed: %s", error, extra=extra)
            return replace(found, fixed=False)
        return replace(found, fixed=fixed and found.cause in FIXABLE)

    def _record_refund(self, found: Discrepancy) -> bool:
        """Record the refund of a discrepancy as the processor has it now."""
        if found.payment is None or found.payment.adapter not in self._processor_events.sync:
            return False
        name = _whose(found.payment)
        answer = self._processor_events.sync[name].ask(RefundUpdate((found.payment,), ()))
        refunds = [it for it in answer.refunds if it.result.processor_id == found.processor_id]
        if not refunds:
            return False
        update = self._processor_events.found(name, replace(answer, refunds=refunds))
        results = self._store.write(
            "reconcile.fix", lambda conn: self._processor_events.write(conn, update)
        )
        # The ticket that waits for it has no row yet, and finds it when it is entered.
        for_no_row = found.cause is Cause.MADE_ELSEWHERE and found.refund_id is None
        return (for_no_row and results == [Reconciled.NOTED]) or all(it in _FIXED for it in results)


def _whose(payment: PaymentRef) -> str:
    assert payment.adapter is not None  # each list says whose it is
    return payment.adapter


def _in_pages(items: Iterator[T]) -> Iterator[list[T]]:
    while page := list(islice(items, _PAGE)):
        yield page
