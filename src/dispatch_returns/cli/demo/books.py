"""The three books: what the tickets say, what the ledger says, what Stripe's own list says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dispatch_returns.api import Ticket
from dispatch_returns.cli.demo.cast import Return
from dispatch_returns.cli.demo.play import ENDS, rows_by_ticket
from dispatch_returns.cli.demo.stage import STEPS, Stage
from dispatch_returns.money import Money, stripe_rule
from dispatch_returns.store.ledger import Refund, State

Totals = dict[str, Money]


@dataclass(frozen=True, slots=True)
class Line:
    """One return in all three books."""

    one: Return
    ticket: Ticket
    path: list[str]
    """The statuses the ticket went through, as its own history has them."""
    row: Refund | None
    at_stripe: list[dict[str, Any]]
    """Every refund that Stripe has for this row, whatever became of it."""

    @property
    def paid(self) -> list[dict[str, Any]]:
        """The refunds that moved money and did not give it back."""
        return [r for r in self.at_stripe if r["status"] not in {"failed", "canceled"}]

    @property
    def is_lost(self) -> bool:
        """Whether money is owed and was not paid."""
        return self.one.end == "refunded" and not self.paid

    @property
    def problems(self) -> list[str]:
        """Where the books differ, for a person."""
        if self.row is None:
            return ["there is no row in the ledger"]
        found: list[str] = []
        if self.row.state is not ENDS[self.one.end]:
            found.append(f"the ledger says {self.row.state}, {self.one.end} was expected")
        if self.ticket.custom_fields.get("refund_status") != self.row.state:
            found.append("the ticket does not say what the ledger says")
        if len(self.paid) != (self.row.state is State.SUCCEEDED):
            found.append(f"Stripe has {len(self.paid)} refunds of it")
        found += [f"amounts differ: {r['amount']}" for r in self.paid if not self._same(r)]
        return found

    def _same(self, refund: dict[str, Any]) -> bool:
        assert self.row is not None
        assert self.row.amount is not None
        same_refund = refund["id"] == self.row.processor_id
        same_ticket = refund["id"] == self.ticket.custom_fields.get("refund_id")
        amount = _money(refund["amount"], refund["currency"])
        return same_refund and same_ticket and amount == self.row.amount


@dataclass(frozen=True, slots=True)
class Books:
    """The result of the demo."""

    lines: list[Line]
    strangers: int
    """Refunds at Stripe that belong to no row."""
    totals: dict[str, Totals] = field(default_factory=dict[str, Totals])

    @property
    def duplicates(self) -> int:
        """How many refunds were paid a second time."""
        return sum(max(0, len(line.paid) - 1) for line in self.lines)

    @property
    def lost(self) -> int:
        """How many refunds that are owed were not paid."""
        return sum(line.is_lost for line in self.lines)

    @property
    def agree(self) -> bool:
        """Whether the three books say the same, line by line and in sum."""
        tickets, book, stripe = self.totals.values()
        in_sum = tickets == book == stripe and not self.strangers
        return in_sum and not any(line.problems for line in self.lines)

    def count(self, state: State) -> int:
        """Return how many refunds are in `state`."""
        return sum(line.row is not None and line.row.state is state for line in self.lines)


def close(stage: Stage, tickets: dict[str, Return]) -> Books:
    """Read the three books, each from its own place."""
    rows = rows_by_ticket(stage)
    at_stripe: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for refund in stage.stripe.v1.refunds.list({"limit": 100}).auto_paging_iter():
        data = refund.to_dict()
        at_stripe[data["metadata"].get("dispatch_refund_id", "")].append(data)
    lines = [
        Line(
            one,
            stage.client.tickets.get(ticket_id),
            _path(stage, ticket_id),
            rows.get(ticket_id),
            at_stripe[rows[ticket_id].id] if ticket_id in rows else [],
        )
        for ticket_id, one in tickets.items()
    ]
    strangers = set(at_stripe) - {row.id for row in rows.values()}
    return Books(lines, sum(len(at_stripe[row_id]) for row_id in strangers), _totals(lines))


def _path(stage: Stage, ticket_id: str) -> list[str]:
    comments = stage.client.comments.list(ticket_id)
    changes = [c.body.split() for c in comments if c.author_type == "SYSTEM"]
    # "Status changed from A to B"
    return [STEPS[0], *(words[-1] for words in changes)]


def _totals(lines: list[Line]) -> dict[str, Totals]:
    paid = State.SUCCEEDED
    rows = [line.row for line in lines if line.row and line.row.state is paid]
    return {
        "tickets": _sum(
            Money.from_decimal(line.ticket.custom_fields["refund_amount"], line.one.paid.currency)
            for line in lines
            if line.ticket.custom_fields.get("refund_status") == paid
        ),
        "ledger": _sum(row.amount for row in rows if row.amount is not None),
        "stripe": _sum(
            _money(refund["amount"], refund["currency"]) for line in lines for refund in line.paid
        ),
    }


def _sum(amounts: Iterable[Money]) -> Totals:
    totals: Totals = {}
    for amount in amounts:
        known = totals.get(amount.currency)
        totals[amount.currency] = amount if known is None else known + amount
    return dict(sorted(totals.items()))


def _money(minor: int, currency: str) -> Money:
    return Money(minor, currency, stripe_rule(currency).decimals)
