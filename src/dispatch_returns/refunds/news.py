"""Late news: what becomes of a row when the processor has a refund that it does not show.

An event of the processor's says only that something happened, and may be late, repeated or
reordered. So wherever it differs from the ledger, the processor is asked, and its answer is
what the ledger meets. Reconciling uses the same rules.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Iterable

from sqlalchemy import Connection

from dispatch_returns import telemetry
from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds import guard, notices
from dispatch_returns.refunds.adapter import (
    NO_MONEY_MOVED,
    KnownRefund,
    RefundNews,
    RefundStatus,
    SupportsListing,
)
from dispatch_returns.refunds.guard import Hold, Reason
from dispatch_returns.refunds.service import RefundService
from dispatch_returns.store import ledger, outside
from dispatch_returns.store.ledger import Refund, State
from dispatch_returns.store.outside import Outside

log = logging.getLogger(__name__)

_ORDER = {State.PENDING: 0, State.REQUIRES_ACTION: 0, State.SUCCEEDED: 1}
"""A refund never goes back in this order: what says so is old."""
_PAID = frozenset(_ORDER)


class Met(enum.Enum):
    """What came of it when the ledger met a refund of the processor's."""

    AGREES = enum.auto()
    APPLIED = enum.auto()
    """The row now says what the processor says."""
    ADOPTED = enum.auto()
    """A refund that somebody else made has become a row's."""
    NOTED = enum.auto()
    """No row's: kept, so that its payment is not paid back without a look at it."""
    ANOTHERS = enum.auto()
    """Of another workspace's ledger."""
    BUSY = enum.auto()
    """A call for this payment is under way: come back when its outcome is written."""
    FOR_A_PERSON = enum.auto()
    """Money may have moved twice. The ticket has a note."""


class News:
    """Brings the ledger and what the processor says together. It never pays."""

    def __init__(self, service: RefundService, workspace: str) -> None:
        self._service = service
        self._workspace = workspace

    def ask(self, news: RefundNews) -> list[KnownRefund]:
        """Return the refunds that an event is about, as the processor has them now.

        What agrees with the ledger already is not asked again, and an adapter that cannot list
        is taken at its event's word. Raises `AdapterError`.
        """
        if news.refunds and self._all_agree(news.refunds):
            return []
        adapter = self._service.adapter
        if not (news.payments and isinstance(adapter, SupportsListing)):
            return list(news.refunds)
        try:
            with telemetry.processor_call(adapter.name, "refunds_of"):
                return list(adapter.refunds_of(news.payments[0]))
        except AdapterError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            said = "an event is about a payment that the processor does not know"
            log.warning(said, extra=telemetry.ids())
            return []

    def missing(self, refunds: Iterable[KnownRefund]) -> set[str]:
        """Return the tickets of refunds that were made from our ledger, and are not in it."""
        with self._service.store.read() as conn:
            return {
                known.ticket_id
                for known in refunds
                if known.ticket_id is not None
                and self._is_ours(known)
                and self._row(conn, known) is None
            }

    def meet(self, conn: Connection, known: KnownRefund) -> Met:
        """Let the ledger meet a refund as the processor has it now.

        Inside a transaction that is alone with its payment (`outside.look_alone`). Raises
        `LeaseLostError` when a worker changes the row at this moment.
        """
        row = self._row(conn, known)
        if row is not None:
            return self._meet_row(conn, row, known)
        if known.refund_id is not None and not self._is_ours(known):
            return Met.ANOTHERS
        if known.refund_id is None and _moves(known):
            found = self._meet_payment(conn, known)
            if found is not None:
                return found
        outside.note(conn, self._outside(known), self._service.now())
        return Met.NOTED

    def _is_ours(self, known: KnownRefund) -> bool:
        return known.refund_id is not None and known.workspace_id == self._workspace

    def _all_agree(self, refunds: Iterable[KnownRefund]) -> bool:
        with self._service.store.read() as conn:
            return all(
                (row := self._row(conn, known)) is not None and _agrees(row, known)
                for known in refunds
            )

    def _row(self, conn: Connection, known: KnownRefund) -> Refund | None:
        if known.refund_id is not None:
            return ledger.get(conn, known.refund_id)
        adapter = self._service.adapter.name
        return ledger.of_processor(conn, adapter, known.result.processor_id)

    # A refund that has a row.

    def _meet_row(self, conn: Connection, row: Refund, known: KnownRefund) -> Met:
        if row.adapter != self._service.adapter.name or _agrees(row, known):
            return Met.AGREES
        if row.state is State.SENDING:
            return Met.BUSY
        if not _moves(known):
            return self._meet_failure(conn, row, known)
        if row.processor_id == known.result.processor_id:
            return self._meet_progress(conn, row, known)
        if row.processor_id is not None and row.state in _PAID:
            detail = f"{known.result.processor_id} was made as well as {row.processor_id}."
            return self._for_a_person(conn, row, detail)
        # Unknown, never sent as far as this store knows, or given up: and yet it was made.
        return self._apply(conn, row, known, Met.APPLIED)

    def _meet_failure(self, conn: Connection, row: Refund, known: KnownRefund) -> Met:
        """The failure of an earlier attempt says nothing of the present one."""
        same = row.processor_id == known.result.processor_id
        key = known.idempotency_key
        if row.state is State.UNKNOWN:
            same = same or (key is not None and key == row.idempotency_key)
        if same and (row.state is State.UNKNOWN or row.state in _PAID):
            return self._apply(conn, row, known, Met.APPLIED)
        return Met.AGREES

    def _meet_progress(self, conn: Connection, row: Refund, known: KnownRefund) -> Met:
        state = State(known.result.status)
        ahead = row.state in _PAID and _ORDER[state] >= _ORDER[row.state]
        if ahead or row.state is State.UNKNOWN:
            return self._apply(conn, row, known, Met.APPLIED)
        return Met.AGREES

    # A refund that somebody else made, and no row has.

    def _meet_payment(self, conn: Connection, known: KnownRefund) -> Met | None:
        """Let it settle what waits on its payment: exactly one row, and of just its amount."""
        ids = [ref.id for ref in known.payments]
        rows = ledger.of_payments(conn, self._service.adapter.name, ids)
        if any(row.state is State.SENDING for row in rows):
            return Met.BUSY
        waiting = [row for row in rows if _waits(row) and row.amount == known.result.amount]
        if len(waiting) == 1:
            return self._apply(conn, waiting[0], known, Met.ADOPTED)
        for row in rows:
            if row.state in _PAID and not row.adopted and row.amount == known.result.amount:
                detail = f"{known.result.processor_id} refunded the same amount elsewhere."
                self._for_a_person(conn, row, detail)
            elif row.state is State.REQUESTED and _waits(row):
                hold = guard.refunded_elsewhere(known.result.amount, known.result.processor_id)
                # An approval was given before anybody knew of this.
                self._service.hold(conn, row, hold, approved_by=None, approved_minor=None)
        return None

    def _for_a_person(self, conn: Connection, row: Refund, detail: str) -> Met:
        notices.tell_agents(conn, row, Hold(Reason.PAID_TWICE, detail), self._service.now())
        return Met.FOR_A_PERSON

    def _apply(self, conn: Connection, row: Refund, known: KnownRefund, met: Met) -> Met:
        self._service.apply(conn, row, known.result, call="event")
        return met

    def _outside(self, known: KnownRefund) -> Outside:
        first, second = ([ref.id for ref in known.payments] + [None, None])[:2]
        return Outside(
            adapter=self._service.adapter.name,
            processor_id=known.result.processor_id,
            payment_id=first,
            payment_also=second,
            refund_id=known.refund_id,
            ticket_id=known.ticket_id,
            amount=known.result.amount,
            status=known.result.status,
            made_at=known.created_at,
        )


def _agrees(row: Refund, known: KnownRefund) -> bool:
    result = known.result
    if row.processor_id != result.processor_id:
        return False
    if row.reason == Reason.AMOUNT_DIFFERS:
        return row.amount != result.amount
    same_amount = row.adopted or row.amount == result.amount
    new_arn = result.arn is not None and result.arn != row.arn
    return row.state == State(result.status) and same_amount and not new_arn


def _moves(known: KnownRefund) -> bool:
    return RefundStatus(known.result.status) not in NO_MONEY_MOVED


def _waits(row: Refund) -> bool:
    """Whether certainly nothing of this row was paid, and something may be."""
    unsent = row.state is State.REQUESTED and row.nothing_carried_out
    return unsent or row.state is State.HELD
