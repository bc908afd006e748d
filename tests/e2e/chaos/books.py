"""The books at the end: the processor's list of refunds against what had to be paid."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select

from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store, schema
from dispatch_returns.store.inbox import EventState
from tests.e2e.chaos.plan import Kind, Plan
from tests.e2e.chaos.shop import Shop

_NOT_PAID = {"failed", "canceled"}


@dataclass
class Books:
    """What was found. Every entry of the lists is a sentence about one thing."""

    payable: int = 0
    paid: int = 0
    lost: list[str] = field(default_factory=list[str])
    """A payable ticket without its refund; an event that was acknowledged and is not there."""
    double: list[str] = field(default_factory=list[str])
    """A ticket with two refunds; a charge of which more was paid back than was charged."""
    wrong: list[str] = field(default_factory=list[str])
    """An amount, a ledger row or a ticket that says something else than the processor."""

    @property
    def balanced(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.double or self.wrong)


def to_do(store: Store) -> int:
    """Return how much there is to do, but for refunds of which nobody knows what became."""
    waiting = (
        schema.inbox.c.due_at.is_not(None),
        schema.outbox.c.due_at.is_not(None),
        schema.ledger.c.state.in_((State.REQUESTED, State.SENDING)),
    )
    # In one statement: what moves on between two of them would be seen by neither.
    counts = select(*(select(func.count()).where(it).scalar_subquery() for it in waiting))
    with store.read() as conn:
        return sum(conn.execute(counts).one())


def unknown(store: Store, *, waiting: bool | None = None) -> list[Refund]:
    """Return the refunds whose outcome is not known; `waiting`: that are looked at again."""
    with store.read() as conn:
        found = ledger.newest(conn, limit=10_000, state=State.UNKNOWN)
    return [it for it in found if waiting is None or waiting == (it.due_at is not None)]


def compare(plan: Plan, shop: Shop, store: Store, accepted: set[str]) -> Books:
    """Compare what the processor has paid with the plan, the ledger and the tickets."""
    books = Books()
    refunds: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    returned: Counter[str] = Counter()
    for refund in shop.refunds():
        if refund["status"] not in _NOT_PAID:
            refunds[refund["metadata"]["dispatch_ticket_id"]].append(refund)
            returned[refund["payment_intent"]] += refund["amount"]
    _charges(books, shop, returned)
    _tickets(books, plan, shop, refunds)
    _told(books, plan, shop, store, refunds)
    _events(books, store, accepted)
    return books


def _charges(books: Books, shop: Shop, returned: Mapping[str, int]) -> None:
    for charge in shop.charges.values():
        if returned.get(charge.payment_intent, 0) > charge.charged:
            books.double.append(f"{charge.payment_intent}: more was paid back than was charged")


def _tickets(
    books: Books, plan: Plan, shop: Shop, refunds: Mapping[str, list[Mapping[str, Any]]]
) -> None:
    rivals: defaultdict[int, int] = defaultdict(int)
    for planned in plan.returns:
        ticket = shop.tickets[planned.number]
        made = refunds.get(ticket, [])
        books.paid += len(made)
        if len(made) > 1:
            books.double.append(f"{ticket}: {len(made)} refunds")
        if any(it["amount"] != planned.amount for it in made):
            books.wrong.append(f"{ticket}: another amount")
        if planned.kind is Kind.RIVAL:
            rivals[planned.payment] += len(made)
        elif planned.kind is Kind.UNPAYABLE:
            books.wrong.extend(f"{ticket}: paid without evidence" for _ in made)
        else:
            books.payable += 1
            if not made:
                books.lost.append(f"{ticket}: not paid")
    books.payable += len(rivals)
    books.lost.extend(f"charge {n}: neither was paid" for n, paid in rivals.items() if not paid)


def _told(
    books: Books,
    plan: Plan,
    shop: Shop,
    store: Store,
    refunds: Mapping[str, list[Mapping[str, Any]]],
) -> None:
    """The ledger and the tickets say what the processor says, and each customer was told once."""
    with store.read() as conn:
        rows = {row.ticket_id: row for row in ledger.newest(conn, limit=len(plan.returns) + 1)}
    fields = shop.fields()
    for planned in plan.returns:
        ticket = shop.tickets[planned.number]
        made = [it["id"] for it in refunds.get(ticket, [])]
        row: Refund | None = rows.get(ticket)
        if row is None:
            books.lost.append(f"{ticket}: not in the ledger")
            continue
        state = State.SUCCEEDED if made else State.HELD
        if (row.state, row.processor_id) != (state, made[0] if made else None):
            books.wrong.append(f"{ticket}: the ledger says {row.state} {row.processor_id}")
        shown = fields[ticket]
        if (shown.get("refund_status"), shown.get("refund_id")) != (state, row.processor_id):
            books.wrong.append(f"{ticket}: the ticket says {shown.get('refund_status')}")
        if shop.comments(ticket) != len(made):
            books.wrong.append(f"{ticket}: the customer was told {shop.comments(ticket)} times")


def _events(books: Books, store: Store, accepted: set[str]) -> None:
    with store.read() as conn:
        states = select(schema.inbox.c.event_id, schema.inbox.c.state)
        kept = {row.event_id: row.state for row in conn.execute(states)}
    books.lost.extend(f"{it}: acknowledged, and not there" for it in accepted - kept.keys())
    books.wrong.extend(
        f"{name}: an event that is {state}"
        for name, state in kept.items()
        if state != EventState.DONE
    )
