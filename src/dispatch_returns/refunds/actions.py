"""What a person may do to a refund. Each action is recorded with who did it and why.

Every function runs in one transaction and fences off a worker that holds the row, so an action and
a worker cannot both change it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from dispatch_returns.errors import InvalidArgumentError, RefundStateError
from dispatch_returns.refunds import external, guard, ledger, messages, owner_approvals
from dispatch_returns.refunds.adapter import RefundResult, RefundStatus
from dispatch_returns.refunds.decision import RefundDecision
from dispatch_returns.refunds.guard import APPROVABLE, Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.owner import Standing
from dispatch_returns.refunds.processors import SETTING
from dispatch_returns.refunds.service import RefundService
from dispatch_returns.refunds.ticket_facts import TicketFacts
from dispatch_returns.refunds.transitions import UNPAID, RefundAction, State
from dispatch_returns.store import audit_log

_Change = Callable[[Connection, Refund, datetime], Refund]

EVALUATED_AGAIN = UNPAID
"""In these states nothing was paid, and `retry` needs the ticket."""


def approve(
    service: RefundService, refund_id: str, *, who: str, facts: TicketFacts, why: str | None = None
) -> Refund:
    """Approve a refund that waits for a second person; return it as it is afterwards.

    The refund is evaluated again from `facts`, the ticket as it is now. The approval covers the
    amount, the payment and the reasons that the refund was held with; where the order belongs to
    another customer, it covers the order and the customer's address. If any of these change, the
    refund needs a new approval. Raises `RefundStateError` if it does not wait for an approval, and
    `AdapterError` when the processor cannot answer.
    """

    def check(refund: Refund) -> Refund:
        waits = refund.reason in {*APPROVABLE, Reason.CUSTOMER_DIFFERS}
        if not waits or refund.state is not State.HELD:
            raise RefundStateError(
                f"{refund.id} does not wait for an approval: it is {_standing(refund)}"
            )
        if refund.reason == Reason.CUSTOMER_DIFFERS:
            return refund
        assert refund.amount is not None
        return replace(
            refund,
            approved_by=who,
            approved_minor=refund.amount.minor,
            approved_detail=refund.detail,
        )

    return _evaluate_again(service, refund_id, "approve", facts, check, who=who, why=why)


def _agreed(
    conn: Connection, decision: RefundDecision, now: datetime, *, who: str
) -> RefundDecision:
    """Record a person's approval of the ticket's customer, or hold what they were not asked."""
    if decision.owner.standing is not Standing.DIFFERS:
        return decision
    if not owner_approvals.was_asked(conn, decision.question):
        return replace(decision, hold=guard.owner_differs(decision.facts.order_id))
    owner_approvals.approve(conn, decision.question, now, who=who)
    return decision


def cancel(service: RefundService, refund_id: str, *, who: str, why: str | None = None) -> Refund:
    """Cancel a refund of which nothing was sent; return it, `canceled`.

    Raises `RefundStateError` where money was moved, or may have been.
    """

    def change(conn: Connection, refund: Refund, now: datetime) -> Refund:
        unsent = refund.state is State.REQUESTED and not refund.uncertain
        if not (unsent or refund.state is State.HELD):
            raise RefundStateError(
                f"{refund.id} is {_standing(refund)}: only a refund of which nothing was sent"
                " can be canceled here. Cancel it at the processor."
            )
        canceled = ledger.move(
            conn,
            refund,
            now,
            State.CANCELED,
            by=RefundAction.CANCEL,
            reason=Reason.REFUND_CANCELED,
            detail=f"Canceled by {who}.",
            due_at=None,
        )
        messages.update_ticket(conn, canceled, now)
        service.listener(conn, canceled, now)
        return canceled

    return _act(service, refund_id, "cancel", change, who=who, why=why)


def confirm(
    service: RefundService,
    refund_id: str,
    *,
    who: str,
    why: str | None = None,
    reference: str | None = None,
) -> Refund:
    """Record that a person has paid a refund of the manual adapter; return it, `succeeded`.

    `reference` is the transfer's own number. Raises `RefundStateError` for any other refund, and
    for a reference that another refund already has.
    """

    def change(conn: Connection, refund: Refund, _now: datetime) -> Refund:
        adapter = service.adapters.get(refund.adapter or "")
        by_hand = adapter is not None and adapter.capabilities.manual
        if refund.adapter is None or not by_hand or refund.state is not State.PENDING:
            raise RefundStateError(
                f"{refund.id} is {_standing(refund)} at {refund.adapter}: only a refund that a"
                " person pays, and has not confirmed yet, can be confirmed"
            )
        assert refund.amount is not None
        paid_as = reference or refund.processor_id or refund.id
        other = ledger.of_processor(conn, refund.adapter, paid_as)
        if other is not None and other.id != refund.id:
            raise RefundStateError(
                f"{paid_as} is the reference of another refund, {other.id} (ticket"
                f" {other.ticket_id}): one transfer pays one refund. Give this one's own reference"
            )
        result = RefundResult(paid_as, RefundStatus.SUCCEEDED, refund.amount)
        return service.recorder.apply(conn, refund, result, by=RefundAction.CONFIRM)

    return _act(service, refund_id, "confirm", change, who=who, why=why)


def retry(
    service: RefundService,
    refund_id: str,
    *,
    who: str,
    why: str | None = None,
    facts: TicketFacts | None = None,
    nothing_was_paid: bool = False,
) -> Refund:
    """Try a refund again; return it as it is afterwards.

    A refund of which nothing was paid (`EVALUATED_AGAIN`) is evaluated again from `facts`, the
    ticket as it is now, and gets a new idempotency key if it was sent. An `unknown` refund is
    looked up again. It gets a new key only with `nothing_was_paid`, when a person has checked with
    the processor. Raises `RefundStateError` for a refund that is paid or under way, and
    `AdapterError` when the processor cannot answer.
    """
    if _get(service, refund_id).state in EVALUATED_AGAIN:
        return _evaluate_again(service, refund_id, "retry", facts, _nothing_paid, who=who, why=why)

    def change(conn: Connection, refund: Refund, now: datetime) -> Refund:
        if refund.state is State.UNKNOWN:
            return _unknown_again(service, conn, refund, now, nothing_was_paid=nothing_was_paid)
        if refund.state is State.REQUESTED:
            return ledger.take_over(conn, refund, now, due_at=now, entered_at=now)
        raise RefundStateError(f"{refund.id} is {_standing(refund)}: there is nothing to retry")

    return _act(service, refund_id, "retry", change, who=who, why=why)


def _evaluate_again(
    service: RefundService,
    refund_id: str,
    act: str,
    facts: TicketFacts | None,
    check: Callable[[Refund], Refund],
    *,
    who: str,
    why: str | None,
) -> Refund:
    refund = check(_get(service, refund_id))
    if facts is None:
        raise InvalidArgumentError("facts", "this refund is evaluated again from its ticket")
    if (facts.workspace_id, facts.ticket_id) != (refund.workspace_id, refund.ticket_id):
        raise InvalidArgumentError("facts", f"{refund.id} belongs to another ticket")
    differs = act == "approve" and refund.reason == Reason.CUSTOMER_DIFFERS
    decision = service.intake.evaluate(facts, agreed=differs)

    def change(conn: Connection, refund: Refund, now: datetime) -> Refund:
        agreed = _agreed(conn, decision, now, who=who) if differs else decision
        return service.intake.evaluate_again(conn, check(refund), agreed)

    return _act(service, refund_id, act, change, who=who, why=why, decision=decision)


def _nothing_paid(refund: Refund) -> Refund:
    if refund.state not in EVALUATED_AGAIN:
        raise RefundStateError(f"{refund.id} was {_standing(refund)} meanwhile")
    return refund


def _unknown_again(
    service: RefundService,
    conn: Connection,
    refund: Refund,
    now: datetime,
    *,
    nothing_was_paid: bool,
) -> Refund:
    if not nothing_was_paid:
        return ledger.take_over(conn, refund, now, due_at=now, reason=None)
    if refund.adapter not in service.adapters:
        raise RefundStateError(
            f"{refund.id} was begun with the adapter {refund.adapter}, which is not set up: add it"
            f" to {SETTING}"
        )
    if refund.due_at is not None:
        raise RefundStateError(
            f"{refund.id} is still being looked up: nobody can say yet that nothing was paid"
        )
    return ledger.move(
        conn,
        refund,
        now,
        State.REQUESTED,
        by=RefundAction.DENY,
        new_key=True,
        reason=None,
        detail=None,
        tries=0,
        due_at=now,
        entered_at=now,
        ticket_status=None,
        # Where the processor can look refunds up, look once more before the new key is used.
        uncertain=service.adapter_of(refund).capabilities.lookup,
    )


def _act(
    service: RefundService,
    refund_id: str,
    act: str,
    change: _Change,
    *,
    who: str,
    why: str | None,
    decision: RefundDecision | None = None,
) -> Refund:
    if not who.strip():
        raise InvalidArgumentError("who", "an act needs the name of the person who does it")

    def record(conn: Connection) -> Refund:
        now = service.now()
        # Lock the payment before the row, as an event does when it reconciles the payment.
        if decision is not None:
            adapter = decision.adapter or service.adapters.only
            external.look_alone(conn, f"{adapter}", decision.payment_ids)
        refund = ledger.lock(conn, refund_id)
        if refund is None:
            raise RefundStateError(f"there is no refund {refund_id}")
        changed = change(conn, refund, now)
        audit_log.record(conn, act, now, who=who, why=why, refund_id=refund.id)
        return changed

    return service.store.write(f"refund.{act}", record)


def _get(service: RefundService, refund_id: str) -> Refund:
    with service.store.read() as conn:
        refund = ledger.get(conn, refund_id)
    if refund is None:
        raise RefundStateError(f"there is no refund {refund_id}")
    return refund


def _standing(refund: Refund) -> str:
    return f"{refund.state} ({refund.reason})" if refund.reason else str(refund.state)
