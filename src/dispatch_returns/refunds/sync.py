"""Late events: what happens to a row when the processor has a refund that the row does not show.

An event of the processor only says that something happened, and may be late, repeated or out of
order. So wherever it differs from the ledger, the service asks the processor and reconciles the
answer with the ledger. Reconciling uses the same rules.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection

from dispatch_returns import telemetry
from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds import calls, external, guard, ledger, messages
from dispatch_returns.refunds.adapter import (
    NO_MONEY_MOVED,
    KnownRefund,
    RefundResult,
    RefundStatus,
    RefundUpdate,
    SupportsListing,
    UnreadableRefund,
    readable_refunds,
)
from dispatch_returns.refunds.external import refunded_elsewhere, seen_of, settles_row
from dispatch_returns.refunds.guard import Hold, Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.service import RefundService
from dispatch_returns.refunds.transitions import ACCEPTED, RefundAction, State

log = logging.getLogger(__name__)

_ORDER = {State.PENDING: 0, State.REQUIRES_ACTION: 0, State.SUCCEEDED: 1, State.VOIDED: 1}
"""An event's own word never moves a refund back in this order, because it may be old."""


class Reconciled(enum.Enum):
    """The result of reconciling a processor's refund with the ledger."""

    AGREES = enum.auto()
    APPLIED = enum.auto()
    """The row now matches the processor."""
    ADOPTED = enum.auto()
    """A row has adopted an external refund."""
    NOTED = enum.auto()
    """No row has it: stored, so that its payment is not refunded without a look at it."""
    ANOTHERS = enum.auto()
    """It belongs to another workspace's ledger."""
    BUSY = enum.auto()
    """A call for this payment is under way, or the row has changed since: ask again later."""
    FOR_A_PERSON = enum.auto()
    """Money may have moved twice. The ticket has a note."""


_FIRST = (Reconciled.BUSY, Reconciled.FOR_A_PERSON, Reconciled.APPLIED)
"""What takes precedence where several rows concern the same refund."""


@dataclass(frozen=True, slots=True)
class PaymentRefunds:
    """What is known about a payment's refunds.

    ``claims``: the payment's rows and their `claims` when the processor was asked. A row that has
    not changed since is older than the answer. None for an event's own word, which may be old.
    """

    refunds: list[KnownRefund]
    claims: Mapping[str, int] | None = None


class RefundSync:
    """Reconciles the ledger with what one processor says. It never pays.

    `name` is the configured name of its adapter.
    """

    def __init__(self, service: RefundService, name: str, workspace: Callable[[], str]) -> None:
        self._service = service
        self._name = name
        self._adapter = service.adapters[name]
        self._workspace = workspace

    def ask(self, update: RefundUpdate) -> PaymentRefunds:
        """Return the refunds that an event is about, as the processor has them now.

        It does not ask about what agrees with the ledger already. Where the processor cannot list
        refunds, it asks for each of ours by its id; where it cannot do that either, the event's
        word counts. Raises `AdapterError`.
        """
        if update.refunds and self._all_agree(update.refunds):
            return PaymentRefunds([])
        adapter = self._adapter
        if not (update.payments and isinstance(adapter, SupportsListing)):
            return self._one_by_one(update.refunds)
        with self._service.store.read() as conn:
            rows = ledger.of_payments(conn, self._name, [ref.id for ref in update.payments])
        claims = {row.id: row.claims for row in rows}
        try:
            with telemetry.processor_call(self._name, "refunds_of"):
                listed = adapter.refunds_of(update.payments[0])
            return PaymentRefunds(list(readable_refunds(listed, say_unreadable)), claims)
        except AdapterError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            said = "an event is about a payment that the processor does not know"
            log.warning(said, extra=telemetry.ids())
            return PaymentRefunds([])

    def _one_by_one(self, refunds: Iterable[KnownRefund]) -> PaymentRefunds:
        """Return refunds as they are now, as far as the processor looks one up by its id."""
        found: list[KnownRefund] = []
        claims: dict[str, int] = {}
        for known in refunds:
            with self._service.store.read() as conn:
                row = ledger.get(conn, known.refund_id or "")
            can_ask = self._adapter.capabilities.lookup_by_id
            if not can_ask or row is None or row.adapter != self._name or row.payment is None:
                found.append(known)
                continue
            result = self._find(row, known.result.processor_id)
            if result is None:
                found.append(known)  # its own word, which may be old
                continue
            found.append(replace(known, result=result))
            claims[row.id] = row.claims
        return PaymentRefunds(found, claims or None)

    def _find(self, row: Refund, processor_id: str) -> RefundResult | None:
        """Return a refund by its id, None where the processor does not show it."""
        try:
            with telemetry.processor_call(self._name, "find"):
                return self._adapter.find(calls.request_of(row), processor_id)
        except AdapterError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            return None

    def missing(self, refunds: Iterable[KnownRefund]) -> set[str]:
        """Return the tickets of refunds that our ledger made, and that are not in it."""
        with self._service.store.read() as conn:
            return {
                known.ticket_id
                for known in refunds
                if known.ticket_id is not None
                and self._is_ours(known)
                and ledger.get(conn, known.refund_id or "") is None
            }

    def reconcile(
        self, conn: Connection, known: KnownRefund, claims: Mapping[str, int] | None = None
    ) -> Reconciled:
        """Reconcile one refund of the processor with the ledger; `claims` as in `PaymentRefunds`.

        Call it inside a transaction that has locked the payment (`external.look_alone`). Raises
        `LeaseLostError` when a worker changes the row at this moment.
        """
        rows = self._rows(conn, known)
        if rows:
            reconciled = {self._reconcile_row(conn, row, known, claims) for row in rows}
            if known.refund_id is None and any(row.adopted for row in rows):
                # When the row goes on to another refund, this one belongs to no row again.
                self._note(conn, known)
            return next((it for it in _FIRST if it in reconciled), Reconciled.AGREES)
        if known.refund_id is not None and not self._is_ours(known):
            return Reconciled.ANOTHERS
        if known.refund_id is None and moves(known):
            found = self._reconcile_payment(conn, known)
            if found is not None:
                return found
        self._note(conn, known)
        return Reconciled.NOTED

    def agrees(self, known: KnownRefund) -> bool:
        """Whether the ledger says the same about a refund as the processor."""
        return self._all_agree([known])

    def _is_ours(self, known: KnownRefund) -> bool:
        return known.refund_id is not None and known.workspace_id == self._workspace()

    def _all_agree(self, refunds: Iterable[KnownRefund]) -> bool:
        with self._service.store.read() as conn:
            found = [(known, self._rows(conn, known)) for known in refunds]
        return all(
            rows
            and (rows[0].id == known.refund_id or not self._is_ours(known))
            and all(_agrees(row, known) for row in rows)
            for known, rows in found
        )

    def _rows(self, conn: Connection, known: KnownRefund) -> list[Refund]:
        """Return the row that made a refund, and the one that has it: nearly always the same."""
        made = ledger.get(conn, known.refund_id) if known.refund_id is not None else None
        claims_it = ledger.of_processor(conn, self._name, known.result.processor_id)
        found = {row.id: row for row in (made, claims_it) if row is not None}
        return list(found.values())

    # A refund that has a row.

    def _reconcile_row(
        self,
        conn: Connection,
        row: Refund,
        known: KnownRefund,
        claims: Mapping[str, int] | None,
    ) -> Reconciled:
        if row.adapter != self._name:
            return self._reconcile_moved(conn, row, known)
        if _agrees(row, known):
            return Reconciled.AGREES
        if row.state is State.SENDING:
            return Reconciled.BUSY
        if not moves(known):
            return self._reconcile_failure(conn, row, known)
        if row.processor_id == known.result.processor_id:
            return self._reconcile_progress(conn, row, known, claims)
        if row.processor_id is not None and row.state in ACCEPTED:
            detail = f"{known.result.processor_id} was made as well as {row.processor_id}."
            return self._for_a_person(conn, row, detail)
        # Unknown, never sent as far as this store shows, or canceled: and yet it was made.
        return self._apply(conn, row, known, Reconciled.APPLIED)

    def _reconcile_moved(self, conn: Connection, row: Refund, known: KnownRefund) -> Reconciled:
        """Reconcile a refund of ours whose row has no adapter, or another one.

        A restored backup may show the row as it was before the payment of its ticket was corrected.
        Where the row was never sent, the refund is its own. The same id means that the adapter has
        a new name.
        """
        if not moves(known) or row.processor_id == known.result.processor_id:
            return Reconciled.AGREES
        if row.state is State.SENDING:
            return Reconciled.BUSY
        if row.was_sent:
            detail = (
                f"{known.result.processor_id} was made at {self._name}, and this refund was begun"
                f" at {row.adapter}."
            )
            if not (row.state is State.REQUESTED and row.nothing_carried_out):
                return self._for_a_person(conn, row, detail)
            self._service.recorder.hold(
                conn,
                row,
                Hold(Reason.REFUNDED_ELSEWHERE, detail),
                by=RefundAction.HOLD,
                keep_approval=False,
            )
            return Reconciled.FOR_A_PERSON
        return self._apply(conn, row, known, Reconciled.APPLIED)

    def _reconcile_failure(self, conn: Connection, row: Refund, known: KnownRefund) -> Reconciled:
        """Reconcile a failure; one of an earlier attempt says nothing about the current attempt.

        Until the current attempt has an id, the row carries the earlier one's: only the key tells
        them apart.
        """
        if row.state in ACCEPTED:
            present = row.processor_id == known.result.processor_id
        else:
            under_way = row.state in {State.UNKNOWN, State.REQUESTED}
            present = under_way and known.idempotency_key == row.idempotency_key
        return self._apply(conn, row, known, Reconciled.APPLIED) if present else Reconciled.AGREES

    def _reconcile_progress(
        self,
        conn: Connection,
        row: Refund,
        known: KnownRefund,
        claims: Mapping[str, int] | None,
    ) -> Reconciled:
        """Reconcile progress: a step forward is new; a step back may be old, unless we asked.

        So may the success of an earlier attempt, whose id the row carries while the outcome of the
        current one is unknown.
        """
        state = State(known.result.status)
        ahead = row.state in ACCEPTED and _ORDER[state] >= _ORDER[row.state]
        current = known.idempotency_key in {None, row.idempotency_key}
        if ahead or (row.state is State.UNKNOWN and current):
            return self._apply(conn, row, known, Reconciled.APPLIED)
        if claims is None or row.id not in claims:
            return Reconciled.AGREES
        if claims[row.id] != row.claims:
            return Reconciled.BUSY
        return self._apply(conn, row, known, Reconciled.APPLIED)

    # A refund that was made elsewhere, and no row has.

    def _reconcile_payment(self, conn: Connection, known: KnownRefund) -> Reconciled | None:
        """Settle the row that waits on its payment: exactly one row, with exactly its amount."""
        ids = [ref.id for ref in known.payments]
        rows = ledger.of_payments(conn, self._name, ids)
        if any(row.state is State.SENDING for row in rows):
            return Reconciled.BUSY
        dry = self._service.intake.is_dry(conn)
        seen = seen_of(self._name, known)
        waiting = [row for row in rows if _waits(row) and settles_row(seen, row)]
        if len(waiting) == 1 and not dry:
            return self._apply(conn, waiting[0], known, Reconciled.ADOPTED)
        listed = isinstance(self._adapter, SupportsListing)
        for row in rows:
            if listed and row.approved_by is not None and known.created_at < row.created_at:
                continue  # whoever approved the row's payment saw this refund in the list
            if row.state in ACCEPTED and not row.adopted and row.amount == known.result.amount:
                detail = f"{known.result.processor_id} refunded the same amount elsewhere."
                self._for_a_person(conn, row, detail)
            elif row.state is State.REQUESTED and _waits(row):
                hold = refunded_elsewhere([seen])
                if dry and row.amount is not None:
                    hold = guard.dry_run_hold(row.amount)
                # The approval was given before this refund was known.
                self._service.recorder.hold(
                    conn, row, hold, by=RefundAction.HOLD, keep_approval=False
                )
        return None

    def _for_a_person(self, conn: Connection, row: Refund, detail: str) -> Reconciled:
        messages.add_agent_note(conn, row, Hold(Reason.PAID_TWICE, detail), self._service.now())
        return Reconciled.FOR_A_PERSON

    def _apply(
        self, conn: Connection, row: Refund, known: KnownRefund, reconciled: Reconciled
    ) -> Reconciled:
        result = known.result
        if known.refund_id is not None and known.refund_id != row.id:
            result = replace(result, ours=False)
        if row.payment is None or row.adapter != self._name:
            # It was held before its payment was known, or is to go elsewhere; yet it was made here.
            row = ledger.change(
                conn,
                row,
                self._service.now(),
                adapter=self._name,
                payment=asdict(known.payments[0]) if known.payments else row.payment,
                amount=known.result.amount if row.amount is None else row.amount,
            )
        self._service.recorder.apply(conn, row, result, by=RefundAction.REPORT)
        return reconciled

    def _note(self, conn: Connection, known: KnownRefund) -> None:
        seen = seen_of(self._name, known)
        external.note(conn, seen, self._service.now())


def say_unreadable(refund: UnreadableRefund) -> None:
    """Log a refund that is left out here: reconcile reports it, and the guard holds its payment."""
    log.warning("left out what the processor lists: %s", refund, extra=telemetry.ids())


def _agrees(row: Refund, known: KnownRefund) -> bool:
    result = known.result
    if row.processor_id != result.processor_id:
        return False
    if row.reason == Reason.AMOUNT_DIFFERS:
        return row.amount != result.amount
    same_amount = row.amount == result.amount
    new_arn = result.arn is not None and result.arn != row.arn
    return row.state == State(result.status) and same_amount and not new_arn


def moves(known: KnownRefund) -> bool:
    """Whether a refund moves money, or has moved it."""
    return RefundStatus(known.result.status) not in NO_MONEY_MOVED


def _waits(row: Refund) -> bool:
    """Whether certainly nothing of this row was paid, and something may still be."""
    unsent = row.state is State.REQUESTED and row.nothing_carried_out
    return unsent or row.state is State.HELD
