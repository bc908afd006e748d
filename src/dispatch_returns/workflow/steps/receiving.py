"""Steps 5 and 6: what arrived, what it is worth, and that it is paid back.

The refund's ordinal is the receipt's number, which only we count: who edits a ticket can make
no second refund.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from dispatch_returns.errors import MoneyError
from dispatch_returns.money import CurrencyRule, Money
from dispatch_returns.refunds.adapter import PaymentKind, PaymentRef
from dispatch_returns.refunds.facts import Facts, Parcel
from dispatch_returns.refunds.intake import Intake
from dispatch_returns.store import Store, ledger, receipts, returns
from dispatch_returns.store.ledger import Refund, State
from dispatch_returns.store.receipts import Receipt, ReceiptState
from dispatch_returns.store.returns import NewDecision, Return, Step
from dispatch_returns.workflow.policy.verdict import Breakdown, Item, Outcome
from dispatch_returns.workflow.steps.asked import text_of
from dispatch_returns.workflow.steps.eligibility import breakdown_json, item_lines
from dispatch_returns.workflow.steps.parts import Parts
from dispatch_returns.workflow.steps.plan import SOMEBODY, US, Move, Plan, Situation, money_json
from dispatch_returns.workflow.steps.terms import Terms

WAREHOUSE = "the warehouse"
if TYPE_CHECKING:
    from dispatch_returns.api import Ticket

_NO_ORDER = "Nobody knows the order, so nobody knows what this is worth."
_LOOK = "The policy wants a person to look."
Work = Callable[[Connection], object]


@dataclass(frozen=True, slots=True)
class Worth:
    """What a receipt is worth, or why a person must look."""

    amount: Money | None = None
    breakdown: Breakdown | None = None
    problem: str | None = None
    pays: bool = False
    payment: PaymentRef | None = None
    assignee: str | None = None


class Receiving:
    """Turns what arrived into an amount on the ticket, and an accepted one into a refund."""

    def __init__(self, store: Store, parts: Parts, intake: Intake) -> None:
        self._store = store
        self._parts = parts
        self._intake = intake

    def waiting(self, row: Return) -> Receipt | None:
        """Return the oldest receipt of which nothing has followed yet.

        None while an earlier one is not paid back: the ticket has one amount at a time.
        """
        known = self._all(row)
        open_ones = [r for r in known if r.state is not ReceiptState.ACCEPTED]
        first = open_ones[0] if open_ones else None
        if first is None or first.state is not ReceiptState.NOTED or self._owed(row, known):
            return None
        return first

    def is_held_up(self, row: Return) -> bool:
        """Whether a parcel waits for an earlier one to be paid back."""
        noted = any(r.state is ReceiptState.NOTED for r in self._all(row))
        return noted and self.waiting(row) is None

    def settle(self, now: Situation, receipt: Receipt) -> Plan:
        """Put what arrived on the ticket: what it is worth, or that a person must look."""
        worth = self._worth(now, receipt)
        fields: dict[str, str | None] = {
            "received_date": receipt.received_date,
            "condition": condition_of(receipt.lines),
        }
        fields |= payment_fields(now.ticket, worth.payment)
        if worth.amount is None:
            # What stands there may be an earlier parcel's.
            fields["refund_amount"] = None
        good = worth.problem is None
        state = ReceiptState.SETTLED if good else ReceiptState.REVIEW
        return Plan(
            move=Move(
                Step.RECEIVED if good else Step.REVIEW,
                fields=fields,
                amount=worth.amount,
                assignee=worth.assignee,
                reason=worth.problem,
            ),
            decisions=(_decision(receipt, "settled" if good else "review", worth),),
            notes=(_note(now.row, receipt, worth),),
            also=(_changing(receipt, now, state=state, **_kept(worth)),),
        )

    def received(self, now: Situation, terms: Terms) -> Plan:
        """Go on from a ticket that says that the item was received."""
        known = self._all(now.row)
        latest = _latest(known)
        if latest is not None and latest.state is ReceiptState.SETTLED:
            pays = bool(latest.breakdown and latest.breakdown["pays"])
            return self._accept(now, latest, US, pays=pays)
        if not now.arrived:
            return Plan()
        if latest is not None and latest.state is ReceiptState.REVIEW:
            return self._accept(now, latest, SOMEBODY, pays=terms.refund_on_receipt)
        if self._owed(now.row, known):
            # Held, corrected, and set to received once more: the same parcel.
            again = NewDecision("receipt", "again", SOMEBODY)
            return _pay(again, pays=terms.refund_on_receipt)
        return self._note_arrival(now, known)

    def _accept(self, now: Situation, receipt: Receipt, who: str, *, pays: bool) -> Plan:
        decision = NewDecision("receipt", "accepted", who, None, {"ordinal": receipt.ordinal})
        accepting = _changing(receipt, now, state=ReceiptState.ACCEPTED)
        return _pay(decision, accepting, pays=pays)

    def _note_arrival(self, now: Situation, known: Sequence[Receipt]) -> Plan:
        """The warehouse's own system has said it, by the guide's PATCH."""
        fields = now.ticket.custom_fields
        left = not_arrived(now.row, known)
        if known and not left:
            why = "Everything that was announced has arrived already. Look at this parcel."
            return review(now.row, "receipt", why)
        condition = text_of(fields.get("condition"))

        def note(conn: Connection) -> None:
            receipts.note(
                conn,
                now.row.id,
                now.now,
                lines=[{**item, "condition": condition} for item in left],
                received_date=text_of(fields.get("received_date")) or now.now.date().isoformat(),
                who=WAREHOUSE,
                amount=None,
            )

        return Plan(due_at=now.now, also=(note,))

    def returnless(self, now: Situation) -> Plan:
        """Pay back without anything being sent: the policy's word stands for the receipt."""
        if self._all(now.row):
            return Plan(move=Move(Step.REFUNDED))
        order = self._parts.order(now.row.order_id, now.ticket)
        if order is None:
            return review(now.row, "receipt", _NO_ORDER)
        breakdown = self._parts.book.in_force(order.placed_at).settle(
            order,
            _items(now.row.items),
            now.row.reason,
            elsewhere=self._elsewhere(now.row),
            returnless=True,
        )
        worth = Worth(breakdown.total, breakdown)
        who = f"policy {now.row.policy}"

        def accept(conn: Connection) -> None:
            receipts.note(
                conn,
                now.row.id,
                now.now,
                key="returnless",
                state=ReceiptState.ACCEPTED,
                lines=[dict(item) for item in now.row.items],
                received_date=None,
                who=who,
                **_kept(worth),
            )

        decision = NewDecision("receipt", "returnless", who, "Nothing needs to be sent back.")
        fields = payment_fields(now.ticket, order.payment)
        move = Move(Step.REFUNDED, fields=fields, amount=worth.amount)
        return Plan(move=move, decisions=(decision,), also=(accept,))

    def refunded(self, now: Situation) -> Plan:
        """Enter the refund of the newest parcel into the ledger; the refund path does the rest.

        The amount is the ticket's, as it was read just now. A receipt that a person had to look
        at is accepted, for `refunded` is that person's word.
        """
        known = self._all(now.row)
        latest = _latest(known)
        facts = Facts.of(now.ticket, now.row.workspace_id, parcel_of(latest))
        decision = self._intake.judge(facts)

        def enter(conn: Connection) -> None:
            refund = self._intake.enter(conn, decision)
            if known and latest is not known[-1] and refund.state is not State.HELD:
                returns.wake(conn, now.row.id, now.now)  # the next parcel waits for this one

        plan = Plan(also=(enter,))
        if latest is None or latest.state is ReceiptState.ACCEPTED:
            return plan
        accepted = NewDecision("receipt", "accepted", SOMEBODY, None, {"ordinal": latest.ordinal})
        accepting = _changing(latest, now, state=ReceiptState.ACCEPTED)
        return replace(plan, decisions=(accepted,), also=(accepting, *plan.also))

    # What there is, and what it is worth.

    def _all(self, row: Return) -> list[Receipt]:
        with self._store.read() as conn:
            return receipts.of_return(conn, row.id)

    def _owed(self, row: Return, known: Sequence[Receipt]) -> bool:
        """Whether an accepted parcel waits for its refund: to be entered, or to be released."""
        accepted = [r for r in known if r.state is ReceiptState.ACCEPTED]
        if not accepted:
            return False
        refund = ledger.refund_id(row.workspace_id, row.ticket_id, accepted[-1].ordinal)
        with self._store.read() as conn:
            entered = ledger.get(conn, refund)
        return entered is None or entered.state is State.HELD

    def _worth(self, now: Situation, receipt: Receipt) -> Worth:
        """Ask the policy what arrived is worth, and whether a person must look."""
        order = self._parts.order(now.row.order_id, now.ticket)
        if order is None:
            return Worth(problem=_NO_ORDER)
        earlier = [r for r in self._all(now.row) if r.ordinal < receipt.ordinal]
        found = self._parts.book.in_force(order.placed_at).inspect(
            order,
            _items(receipt.lines),
            now.row.reason,
            announced=_items(now.row.items),
            settled=[item for r in earlier for item in _items(r.lines)],
            elsewhere=self._elsewhere(now.row),
        )
        looks = found.outcome is not Outcome.APPROVE
        worth = Worth(
            amount=found.breakdown.total if found.breakdown.total.minor > 0 else None,
            breakdown=found.breakdown,
            problem=" ".join(it.why for it in found.spoken) or _LOOK if looks else None,
            pays=found.pays,
            payment=order.payment,
            assignee=found.assignee,
        )
        if worth.amount is None or receipt.who != WAREHOUSE:
            return worth
        return _with_the_warehouses_word(now, worth, earlier)

    def _elsewhere(self, row: Return) -> dict[str, int]:
        """Return the pieces of this order that other returns have settled.

        Pieces of which nobody has said yet what they are worth are not among them: their worth
        will be beyond what this return gets.
        """
        pieces = Counter[str]()
        with self._store.read() as conn:
            for other in returns.of_order(conn, row):
                for receipt in receipts.of_return(conn, other.id):
                    for line in receipt.lines if receipt.amount is not None else ():
                        pieces[line["sku"]] += line["quantity"]
        return dict(pieces)


def _items(lines: Iterable[Mapping[str, Any]]) -> list[Item]:
    return [Item(it["sku"], it["quantity"], it.get("condition")) for it in lines]


def _with_the_warehouses_word(now: Situation, worth: Worth, earlier: Sequence[Receipt]) -> Worth:
    """Take the amount that the warehouse has written, where it is not more than the policy's."""
    assert worth.amount is not None
    said = now.ticket.custom_fields.get("refund_amount")
    if said is None or (earlier and _same(said, earlier[-1].amount)):
        return worth  # it says none; or what stands there is the parcel's before
    try:
        rule = CurrencyRule(worth.amount.decimals)
        amount = Money.from_decimal(Decimal(str(said)), worth.amount.currency, rule)
    except (MoneyError, ArithmeticError):
        return replace(worth, problem="The refund_amount on the ticket is not an exact amount.")
    if amount > worth.amount:
        problem = f"The ticket asks for {amount}; by the policy it is worth {worth.amount}."
        return replace(worth, problem=problem)
    return replace(worth, amount=amount)


def _latest(known: Sequence[Receipt]) -> Receipt | None:
    """Return the newest receipt of which something has followed."""
    decided = [r for r in known if r.state is not ReceiptState.NOTED]
    return decided[-1] if decided else None


def _same(said: object, amount: Money | None) -> bool:
    return amount is not None and str(said) == str(amount.major)


def _pay(decision: NewDecision, *also: Work, pays: bool) -> Plan:
    move = Move(Step.REFUNDED) if pays else None
    return Plan(move=move, decisions=(decision,), also=also)


def _changing(receipt: Receipt, now: Situation, **values: Any) -> Work:
    return lambda conn: receipts.change(conn, receipt, now.now, **values)


def _kept(worth: Worth) -> dict[str, Any]:
    """Return the values of a receipt's row that say what it is worth."""
    breakdown = None
    if worth.breakdown is not None:
        breakdown = breakdown_json(worth.breakdown) | {"pays": worth.pays}
    return {"amount": worth.amount, "breakdown": breakdown, "detail": worth.problem}


def facts_of(
    conn: Connection, ticket: Ticket, workspace: str, refund: Refund | None = None
) -> Facts:
    """Return what `ticket` says of `refund`, or of the refund of its newest parcel.

    Of an earlier parcel the ticket says nothing any more: its refund keeps its own amount.
    """
    known = receipts.of_return(conn, returns.return_id(workspace, ticket.id))
    accepted = [r for r in known if r.state is ReceiptState.ACCEPTED]
    newest = accepted[-1] if accepted else None
    if refund is None or newest is None or refund.ordinal >= newest.ordinal:
        return Facts.of(ticket, workspace, parcel_of(newest))
    amount = None if refund.amount is None else refund.amount.major
    earlier = next((r for r in known if r.ordinal == refund.ordinal), None)
    return Facts.of(ticket, workspace, replace(parcel_of(earlier), amount=amount))


def parcel_of(receipt: Receipt | None) -> Parcel:
    """Return which parcel's refund it is: its number is ours, and never the ticket's."""
    if receipt is None:
        return Parcel()
    return Parcel(receipt.ordinal, returnless=receipt.returnless)


_PAYMENT_FIELDS: Mapping[PaymentKind, str] = {
    "payment_intent": "payment_intent",
    "charge": "charge_id",
    "reference": "payment_reference",
}


def payment_fields(ticket: Ticket, payment: PaymentRef | None) -> dict[str, str | None]:
    """Return the field that names the order's payment, where the ticket names none."""
    named = any(ticket.custom_fields.get(name) for name in _PAYMENT_FIELDS.values())
    if payment is None or named or payment.account is not None:
        return {}  # a connected account's payment is found by the merchant's own function
    return {_PAYMENT_FIELDS[payment.kind]: payment.id}


def not_arrived(row: Return, known: Iterable[Receipt]) -> list[dict[str, Any]]:
    """Return what was announced and is in none of the receipts `known`."""
    left = Counter({item["sku"]: item["quantity"] for item in row.items})
    for receipt in known:
        for line in receipt.lines:
            left[line["sku"]] -= line["quantity"]
    return [{"sku": sku, "quantity": count} for sku, count in left.items() if count > 0]


def condition_of(lines: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the conditions of what arrived, as one text."""
    found = dict.fromkeys(line["condition"] for line in lines if line.get("condition"))
    return ", ".join(found) or None


def review(row: Return, kind: str, why: str) -> Plan:
    """Let a person look, and say why."""
    return Plan(
        move=Move(Step.REVIEW, reason=why),
        decisions=(NewDecision(kind, "review", US, why),),
        notes=(f"{why} (Return {row.number})",),
    )


def _decision(receipt: Receipt, outcome: str, worth: Worth) -> NewDecision:
    data = {
        "ordinal": receipt.ordinal,
        "lines": [dict(line) for line in receipt.lines],
        "received_date": receipt.received_date,
        "amount": worth.amount and money_json(worth.amount),
        "breakdown": worth.breakdown and breakdown_json(worth.breakdown),
    }
    return NewDecision("receipt", outcome, receipt.who, worth.problem, data)


def _note(row: Return, receipt: Receipt, worth: Worth) -> str:
    lines = [f"Received: {item_lines(receipt.lines)}. (Return {row.number})"]
    if worth.breakdown is not None:
        lines += [f"- {name}: {amount}" for name, amount in worth.breakdown.parts]
        lines += [f"- {name}: -{amount}" for name, amount in worth.breakdown.fees]
    if worth.amount is not None:
        lines.append(f"To be paid back: {worth.amount}.")
    if worth.problem is not None:
        lines.append(
            f"{worth.problem} A person must look: correct refund_amount and set the status to"
            " refunded, or to rejected."
        )
    return "\n".join(lines)
