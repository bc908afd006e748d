"""Steps 5 and 6: what arrived, its refund amount, and the refund.

The refund's ordinal is the receipt's number, which is counted in our store only: nobody can cause
a second refund by editing a ticket.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from sqlalchemy import Connection

from dispatch_returns.refunds.adapter import PaymentKind, PaymentRef
from dispatch_returns.refunds.details import RefundDetails, RefundLine, RefundReason
from dispatch_returns.refunds.intake import Intake
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.ticket_facts import Parcel, TicketFacts, digest_of
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns import receipts, records
from dispatch_returns.returns.policy.verdict import SHIPPING, part_of
from dispatch_returns.returns.receipts import Receipt, ReceiptChanges, ReceiptState
from dispatch_returns.returns.records import NewDecision, Return, ReturnChanges
from dispatch_returns.returns.steps.eligibility import breakdown_json, item_lines
from dispatch_returns.returns.steps.plan import (
    SOMEBODY,
    US,
    Move,
    Plan,
    Situation,
    money_json,
    money_of,
)
from dispatch_returns.returns.steps.request import RECEIPT, text_of
from dispatch_returns.returns.steps.siblings import of_others, unless_changed
from dispatch_returns.returns.steps.terms import ReturnTerms
from dispatch_returns.returns.steps.valuation import NO_ORDER, WAREHOUSE, Valuation, Worths
from dispatch_returns.returns.steps.workflow import Workflow
from dispatch_returns.returns.transitions import ReturnAction, Step
from dispatch_returns.store import Store

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket

Work = Callable[[Connection], object]

_TEXT_LIMIT = 100
"""The most characters of a condition, or a date, that a warehouse writes onto a ticket."""


class Receiving:
    """Turns a receipt into an amount on the ticket, and an accepted receipt into a refund."""

    def __init__(self, store: Store, parts: Workflow, intake: Intake) -> None:
        self._store = store
        self._parts = parts
        self._intake = intake
        self._valuations = Worths(store, parts)

    def waiting(self, row: Return) -> Receipt | None:
        """Return the oldest receipt that has not been settled yet.

        None while an earlier one is not refunded: the ticket has one amount at a time.
        """
        known = self._all(row)
        open_ones = [r for r in known if r.state is not ReceiptState.ACCEPTED]
        first = open_ones[0] if open_ones else None
        if first is None or first.state is not ReceiptState.NOTED or self._owed(row, known):
            return None
        return first

    def is_held_up(self, row: Return) -> bool:
        """Return whether a package waits for the refund of an earlier one."""
        noted = any(r.state is ReceiptState.NOTED for r in self._all(row))
        return noted and self.waiting(row) is None

    def has_all(self, row: Return) -> bool:
        """Return whether everything announced has arrived."""
        known = self._all(row)
        return bool(known) and not not_arrived(row, known)

    def settle(self, now: Situation, receipt: Receipt) -> Plan:
        """Write the refund amount of a receipt onto the ticket, or send it to review."""
        return self._put(
            now, receipt, self._valuations.of(now, receipt, self._earlier(now.row, receipt))
        )

    def _put(self, now: Situation, receipt: Receipt, valuation: Valuation) -> Plan:
        fields: dict[str, str | None] = {
            "received_date": receipt.received_date,
            "condition": condition_of(receipt.lines),
        }
        fields |= payment_fields(now.ticket, valuation.payment)
        if valuation.amount is None:
            # The amount on the ticket may be that of an earlier package.
            fields["refund_amount"] = None
        good = valuation.problem is None
        state = ReceiptState.SETTLED if good else ReceiptState.REVIEW
        data = {
            "ordinal": receipt.ordinal,
            "lines": [dict(line) for line in receipt.lines],
            "received_date": receipt.received_date,
            "amount": valuation.amount and money_json(valuation.amount),
            "breakdown": valuation.breakdown and breakdown_json(valuation.breakdown),
        }
        return Plan(
            move=Move(
                Step.RECEIVED if good else Step.REVIEW,
                ReturnAction.RECEIVE,
                fields=fields,
                amount=valuation.amount,
                assignee=valuation.assignee,
                reason=valuation.problem,
            ),
            decisions=(NewDecision("receipt", str(state), receipt.who, valuation.problem, data),),
            notes=(_note(now.row, receipt, valuation),),
            also=(
                unless_changed(valuation.row, valuation.others, of_others),
                _changing(receipt, now, **(valuation.kept() | {"state": state})),
            ),
            values={"order_key": valuation.row.order_key},
        )

    def received(self, now: Situation, terms: ReturnTerms) -> Plan:
        """Go on from a ticket with the status received."""
        known = self._all(now.row)
        latest = _latest(known)
        if latest is not None and latest.state is ReceiptState.SETTLED:
            pays = bool(latest.breakdown and latest.breakdown["pays"])
            return self._accept(now, latest, US, pays=pays)
        if not now.arrived:
            return Plan()
        if latest is not None and latest.state is ReceiptState.REVIEW:
            accepted = self._accept(now, latest, SOMEBODY, pays=terms.refund_on_receipt)
            return self._agreed(now, latest, accepted)
        if self._owed(now.row, known):
            # Its refund was held, and a person has set the ticket to received again.
            again = NewDecision("receipt", "again", SOMEBODY)
            return _pay(again, pays=terms.refund_on_receipt)
        return self._note_arrival(now, known)

    def _accept(self, now: Situation, receipt: Receipt, who: str, *, pays: bool) -> Plan:
        decision = NewDecision("receipt", "accepted", who, None, {"ordinal": receipt.ordinal})
        accepting = _changing(receipt, now, state=ReceiptState.ACCEPTED)
        return _pay(decision, accepting, pays=pays)

    def _agreed(self, now: Situation, receipt: Receipt, accepted: Plan) -> Plan:
        """Return `accepted`, or ask again if the amount that a person agreed to has changed."""
        others = self._valuations.others(now.row)
        fresh = self._valuations.anew(now, receipt, self._earlier(now.row, receipt), others)
        if fresh is not None:
            return self._put(now, receipt, fresh)
        return replace(accepted, also=(unless_changed(now.row, others, of_others), *accepted.also))

    def _note_arrival(self, now: Situation, known: Sequence[Receipt]) -> Plan:
        """Write the receipt that a warehouse's own system reported with the guide's PATCH."""
        left = not_arrived(now.row, known)
        if known and not left:
            why = "Everything announced has already arrived. Check this package."
            return review(now.row, "receipt", why)

        def written(name: str) -> str | None:
            value = now.ticket.custom_fields.get(name)
            if (now.row.claimed or {}).get(name) == digest_of(value):
                return None  # it was there with the request, so the warehouse did not write it
            text = text_of(value)
            # A condition cut off here is unknown to every policy, so it needs a review.
            too_long = text is not None and len(text) > _TEXT_LIMIT
            return f"{text[:_TEXT_LIMIT]}..." if text is not None and too_long else text

        day, condition = (written(name) for name in RECEIPT)

        def note(conn: Connection) -> None:
            receipts.note(
                conn,
                now.row.id,
                now.now,
                lines=[{**item, "condition": condition} for item in left],
                received_date=day or now.now.date().isoformat(),
                who=WAREHOUSE,
                amount=None,
            )

        return Plan(due_at=now.now, also=(note,))

    def returnless(self, now: Situation) -> Plan:
        """Refund without a package: the policy's decision takes the place of the receipt."""
        if self._all(now.row):
            return Plan(move=Move(Step.REFUNDED, ReturnAction.REFUND))
        order = self._parts.order(now.row.order_id, now.ticket)
        if order is None:
            return review(now.row, "receipt", NO_ORDER)
        valuation = self._valuations.returnless(now, order)
        who = f"policy {now.row.policy}"

        def note(conn: Connection) -> None:
            values = valuation.kept()
            values["state"] = ReceiptState.REVIEW if valuation.problem else ReceiptState.ACCEPTED
            values["lines"] = [dict(item) for item in now.row.items]
            values["received_date"] = None
            values["who"] = who
            receipts.note(conn, now.row.id, now.now, key="returnless", **values)

        also = (unless_changed(valuation.row, valuation.others, of_others), note)
        values: ReturnChanges = {"order_key": valuation.row.order_key}
        if valuation.problem is not None:
            return replace(review(now.row, "receipt", valuation.problem), also=also, values=values)
        decision = NewDecision("receipt", "returnless", who, "The customer keeps the items.")
        fields = payment_fields(now.ticket, order.payment)
        move = Move(Step.REFUNDED, ReturnAction.REFUND, fields=fields, amount=valuation.amount)
        return Plan(move=move, decisions=(decision,), also=also, values=values)

    def refunded(self, now: Situation) -> Plan:
        """Enter the refund of the newest package into the ledger; the refund service does the rest.

        The amount is the ticket's, as it was just read. A receipt in review is accepted, as a
        person has set the ticket to refunded.
        """
        row, known = now.row, self._all(now.row)
        latest = _latest(known)
        facts = TicketFacts.of(
            now.ticket, row.workspace_id, parcel_of(row, latest), row.requested_at
        )
        decision = self._intake.evaluate(facts)

        def enter(conn: Connection) -> None:
            refund = self._intake.enter(conn, decision)
            if refund is None:
                return  # settled before this installation went live
            if known and latest is not known[-1] and refund.state is not State.HELD:
                records.wake(conn, row.id, now.now)  # the next package waits for this refund

        plan = Plan(also=(enter,))
        if latest is None or latest.state is ReceiptState.ACCEPTED:
            return plan
        accepted = NewDecision("receipt", "accepted", SOMEBODY, None, {"ordinal": latest.ordinal})
        accepting = _changing(latest, now, state=ReceiptState.ACCEPTED)
        plan = replace(plan, decisions=(accepted,), also=(accepting, *plan.also))
        return plan if latest.state is ReceiptState.SETTLED else self._agreed(now, latest, plan)

    def over(self, now: Situation) -> Plan:
        """Note for agents what was not refunded of a return that is over."""
        known = self._all(now.row)
        latest = _latest(known)
        settled = latest is not None and latest.state is ReceiptState.SETTLED
        if latest is None or not (settled or self._owed(now.row, known)):
            return Plan()
        note = (
            f"{latest.amount or 'What arrived'} was not paid back, and other returns of the order"
            " do not count it. If this return goes on after all, check refund_amount first."
            f" (Return {now.row.number})"
        )
        if self._valuations.refund(now.row, latest) is not None:
            return Plan(notes=(note,))
        return Plan(notes=(note,), also=(_changing(latest, now, state=ReceiptState.REVIEW),))

    # The return's receipts.

    def _all(self, row: Return) -> list[Receipt]:
        with self._store.read() as conn:
            return receipts.of_return(conn, row.id)

    def _earlier(self, row: Return, receipt: Receipt) -> list[Receipt]:
        return [r for r in self._all(row) if r.ordinal < receipt.ordinal]

    def _owed(self, row: Return, known: Sequence[Receipt]) -> bool:
        """Return whether an accepted receipt's refund is not entered yet, or is held."""
        accepted = [r for r in known if r.state is ReceiptState.ACCEPTED]
        if not accepted:
            return False
        entered = self._valuations.refund(row, accepted[-1])
        return entered is None or entered.state is State.HELD


def _latest(known: Sequence[Receipt]) -> Receipt | None:
    """Return the newest receipt that has been settled, reviewed or accepted."""
    decided = [r for r in known if r.state is not ReceiptState.NOTED]
    return decided[-1] if decided else None


def _pay(decision: NewDecision, *also: Work, pays: bool) -> Plan:
    move = Move(Step.REFUNDED, ReturnAction.REFUND) if pays else None
    return Plan(move=move, decisions=(decision,), also=also)


def _changing(receipt: Receipt, now: Situation, **values: Unpack[ReceiptChanges]) -> Work:
    return lambda conn: receipts.change(conn, receipt, now.now, **values)


def facts_of(
    conn: Connection, ticket: Ticket, workspace: str, refund: Refund | None = None
) -> TicketFacts:
    """Return what `ticket` says about `refund`, or about the refund of its newest package.

    The ticket no longer says anything about an earlier package: its refund keeps its own amount.
    """
    row = records.get(conn, records.return_id(workspace, ticket.id))
    requested_at = None if row is None else row.requested_at
    known = [] if row is None else receipts.of_return(conn, row.id)
    accepted = [r for r in known if r.state is ReceiptState.ACCEPTED]
    newest = accepted[-1] if accepted else None
    if refund is None or newest is None or refund.ordinal >= newest.ordinal:
        return TicketFacts.of(ticket, workspace, parcel_of(row, newest), requested_at)
    earlier = next((r for r in known if r.ordinal == refund.ordinal), None)
    amount = refund.amount or (None if earlier is None else earlier.amount)
    parcel = replace(parcel_of(row, earlier), amount=amount)
    return TicketFacts.of(ticket, workspace, parcel, requested_at)


def parcel_of(row: Return | None, receipt: Receipt | None) -> Parcel:
    """Return the package of a refund. Its number comes from our store, never from the ticket."""
    claimed = dict(row.claimed or {}) if row is not None else {}
    if receipt is None:
        return Parcel(claimed=claimed)
    for name in RECEIPT:
        claimed.pop(name, None)  # they come from the receipt now
    breakdown = receipt.breakdown or {}
    refunded = breakdown.get("refunded")
    return Parcel(
        receipt.ordinal,
        returnless=receipt.returnless,
        granted=receipt.amount,
        # A receipt with a problem was decided by a person.
        automatic=receipt.detail is None and bool(breakdown.get("pays") or receipt.returnless),
        accounted=None if refunded is None else money_of(refunded),
        claimed=claimed,
        without_order=receipt.detail == NO_ORDER,
        details=_details(row, receipt),
    )


def _details(row: Return | None, receipt: Receipt) -> RefundDetails:
    """Return what a receipt's refund is for; without shares where a fee belongs to no line."""
    breakdown = receipt.breakdown or {}
    parts = {} if breakdown.get("fees") else dict(breakdown.get("parts", ()))
    amounts = {name: money_of(amount) for name, amount in parts.items()}
    return RefundDetails(
        reason=RefundReason.GOODWILL if receipt.returnless else RefundReason.RETURN,
        reference=None if row is None else row.number,
        lines=tuple(
            RefundLine(
                line["sku"],
                line["quantity"],
                amount=amounts.get(part_of(line["sku"])),
                condition=line.get("condition"),
            )
            for line in receipt.lines
        ),
        shipping=amounts.get(SHIPPING),
    )


_PAYMENT_FIELDS: Mapping[PaymentKind, str] = {
    "payment_intent": "payment_intent",
    "charge": "charge_id",
    "checkout_session": "payment_reference",
    "invoice": "payment_reference",
    "reference": "payment_reference",
}


def payment_fields(ticket: Ticket, payment: PaymentRef | None) -> dict[str, str | None]:
    """Return the field that names the order's payment, unless the ticket names one already."""
    named = any(ticket.custom_fields.get(name) for name in _PAYMENT_FIELDS.values())
    if payment is None or named or payment.account is not None:
        return {}  # the merchant's own function finds the payment of a connected account
    return {_PAYMENT_FIELDS[payment.kind]: payment.id}


def not_arrived(row: Return, known: Iterable[Receipt]) -> list[dict[str, Any]]:
    """Return the announced items that are in none of the receipts `known`."""
    left = Counter({item["sku"]: item["quantity"] for item in row.items})
    for receipt in known:
        for line in receipt.lines:
            left[line["sku"]] -= line["quantity"]
    return [{"sku": sku, "quantity": count} for sku, count in left.items() if count > 0]


def condition_of(lines: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the conditions of `lines` as one text."""
    found = dict.fromkeys(line["condition"] for line in lines if line.get("condition"))
    return ", ".join(found) or None


def review(row: Return, kind: str, why: str) -> Plan:
    """Return the plan that moves a return to review, with the reason."""
    return Plan(
        move=Move(Step.REVIEW, ReturnAction.RECEIVE, reason=why),
        decisions=(NewDecision(kind, "review", US, why),),
        notes=(f"{why} (Return {row.number})",),
    )


def _note(row: Return, receipt: Receipt, valuation: Valuation) -> str:
    lines = [f"Received: {item_lines(receipt.lines)}. (Return {row.number})"]
    if valuation.breakdown is not None:
        lines += [f"- {name}: {amount}" for name, amount in valuation.breakdown.parts]
        lines += [f"- {name}: -{amount}" for name, amount in valuation.breakdown.fees]
    if valuation.amount is not None:
        lines.append(f"Refund amount: {valuation.amount}.")
    if valuation.problem is not None:
        lines.append(
            f"{valuation.problem} Correct refund_amount and set the status to refunded, or set it"
            " to rejected."
        )
    return "\n".join(lines)
