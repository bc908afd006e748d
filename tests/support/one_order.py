"""A shop with a policy as merchants write it, and one order of which several returns are opened."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from threading import Barrier
from typing import Any

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.policy.policy import ReturnPolicy
from tests.support.desk import usd
from tests.support.purchases import line, order
from tests.support.returns import Orders
from tests.support.returns_shop import ReturnsShop
from tests.support.workshop import EMAIL

BOUGHT = order(line("A", 3, 333, tax=1, currency="USD"), shipping=499, currency="USD")
"""Three pieces for 10.00, which no cent divides, and 4.99 for the way out."""


def policy(**keys: Any) -> ReturnPolicy:
    """A policy whose window is always open: the stand-in's tickets are of today."""
    return ReturnPolicy.of(version="1", window_days=36_500, **keys)


class Together:
    """A policy that two workers ask at once: two answers to one question wait for each other.

    A worker that has its answer has looked already at what else there is.
    """

    def __init__(self, asked: ReturnPolicy) -> None:
        self._asked = asked
        self._left: Counter[str] = Counter()
        self.barrier = Barrier(2, timeout=20)

    def next_two(self, question: str) -> None:
        """Let the next two who ask this wait for each other."""
        self._left[question] = 2

    def in_force(self, _placed_at: datetime) -> Together:
        return self

    def __getattr__(self, name: str) -> Any:
        said = getattr(self._asked, name)

        def answer(*given: Any, **named: Any) -> Any:
            found = said(*given, **named)
            self._left[name] -= 1
            if self._left[name] >= 0:
                self.barrier.wait()
            return found

        return answer if callable(said) else said


class OrderShop(ReturnsShop):
    """A shop with one order, and a policy that says `keys` (or a `book` of it)."""

    def __init__(
        self,
        box: dispatch_sandbox.Sandbox,
        folder: Path,
        *,
        bought: Order = BOUGHT,
        book: Together | None = None,
        workshop: dict[str, Any] | None = None,
        **keys: Any,
    ) -> None:
        self.orders = Orders({"1234": bought})
        self.book = book or Together(policy(**keys))
        parts = {"book": self.book, "orders": self.orders}
        super().__init__(box, folder, parts=parts, **(workshop or {}))
        self.fake.add_payment("pi_1234", usd("1000.00"))

    def request(self, *items: str) -> Ticket:
        """Open a return which no worker has dealt with yet."""
        return self.connector.returns.request(
            order_id="1234",
            items=items,
            reason="wrong_size",
            customer_email=EMAIL,
            fields={"payment_intent": "pi_1234"},
        )

    def open(self, *items: str, **fields: Any) -> Ticket:
        """Open a return that is approved, if need be by an agent."""
        ticket = self.ask(*(items or ["A"]), **fields)
        if self.status(ticket) == "needs_review":
            self.put(ticket, "approved")
        return ticket

    def note(self, ticket: Ticket, *lines: str, condition: str = "new") -> None:
        """Have the warehouse say what arrived."""
        self.connector.returns.receive(
            ticket.id, lines=lines or None, condition=condition, who="Bob"
        )

    def bring(self, ticket: Ticket, *lines: str, condition: str = "new") -> None:
        """Let a parcel arrive, and do all that follows."""
        self.note(ticket, *lines, condition=condition)
        self.work()

    def delete(self, ticket: Ticket) -> None:
        """Delete a ticket at Dispatch, and have its return looked at."""
        self.client.tickets.delete(ticket.id)
        self.event(ticket.id, kind="ticket.deleted")
        self.work()

    @property
    def paid(self) -> list[str]:
        """What was paid back, in order."""
        return [str(refund.amount.major) for refund in self.fake.refunds]
