"""The three books: what the tickets say, what the ledger says, what Stripe's own list says."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from dispatch_returns.client import Ticket
from dispatch_returns.money import Money, stripe_rule
from dispatch_returns.refunds import Refund, State
from dispatch_sandbox.demo.cast import End, Return
from dispatch_sandbox.demo.play import ENDS
from dispatch_sandbox.demo.stage import STEPS, Stage

Totals = dict[str, Money]

_NOTED = re.compile(r"Refund amount: ([0-9.]+) ([A-Z]{3})")
"""What the note about a receipt says."""


@dataclass(frozen=True, slots=True)
class Line:
    """One return in all three books."""

    one: Return
    ticket: Ticket
    path: list[str]
    """The statuses the ticket went through, as its own history has them."""
    rows: list[Refund]
    """Its refunds in the ledger, one for each parcel."""
    at_stripe: dict[str, list[dict[str, Any]]]
    """Every refund that Stripe has for each row, whatever became of it."""
    noted: list[Money]
    """What the ticket's own notes say is to be paid back, parcel by parcel."""

    @property
    def row(self) -> Refund | None:
        """The newest refund."""
        return self.rows[-1] if self.rows else None

    def paid_for(self, row: Refund) -> list[dict[str, Any]]:
        """Return the refunds of a row that moved money and did not give it back."""
        return [r for r in self.at_stripe[row.id] if r["status"] not in {"failed", "canceled"}]

    @property
    def paid(self) -> list[dict[str, Any]]:
        """The refunds that moved money and did not give it back."""
        return [refund for row in self.rows for refund in self.paid_for(row)]

    @property
    def says(self) -> list[Money]:
        """What the ticket says was paid back."""
        fields = self.ticket.custom_fields
        if fields.get("refund_status") != State.SUCCEEDED:
            return []
        if len(self.noted) > 1:
            return self.noted  # the field has room for one parcel
        return [Money.from_decimal(fields["refund_amount"], self.one.paid.currency)]

    @property
    def duplicates(self) -> int:
        """How many refunds were paid a second time."""
        return sum(max(0, len(self.paid_for(row)) - 1) for row in self.rows)

    @property
    def is_lost(self) -> bool:
        """Whether money is owed and was not paid."""
        return self.one.end == "refunded" and (
            not self.rows or any(not self.paid_for(row) for row in self.rows)
        )

    @property
    def problems(self) -> list[str]:
        """Where the books differ, for a person."""
        wanted = ENDS.get(self.one.end)
        if wanted is None:
            ends = self.ticket.status == self.one.end and not self.rows
            return [] if ends else [f"it is {self.ticket.status}, {self.one.end} was expected"]
        if not self.rows:
            return ["there is no row in the ledger"]
        found = [problem for row in self.rows for problem in self._problems_of(row, wanted)]
        if self.ticket.custom_fields.get("refund_status") != self.rows[-1].state:
            found.append("the ticket does not say what the ledger says")
        asked = sum(row.amount.minor for row in self.rows if row.amount is not None)
        if wanted is State.SUCCEEDED and asked != self._asked.minor:
            found.append(f"the ledger has {asked} in minor units, {self._asked} was expected")
        return found

    @property
    def _asked(self) -> Money:
        return Money.from_decimal(self.one.asked, self.one.paid.currency)

    def _problems_of(self, row: Refund, wanted: State) -> list[str]:
        paid = self.paid_for(row)
        found: list[str] = []
        if row.state is not wanted:
            found.append(f"the ledger says {row.state}, {self.one.end} was expected")
        if len(paid) != (row.state is State.SUCCEEDED):
            found.append(f"Stripe has {len(paid)} refunds of it")
        found += [f"amounts differ: {r['amount']}" for r in paid if not _same(r, row)]
        return found


def _same(refund: dict[str, Any], row: Refund) -> bool:
    amount = _money(refund["amount"], refund["currency"])
    return refund["id"] == row.processor_id and amount == row.amount


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
        return sum(line.duplicates for line in self.lines)

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
        """Return how many returns have their refunds in `state`."""
        return sum(line.row is not None and line.row.state is state for line in self.lines)

    def ended(self, end: End) -> int:
        """Return how many returns ended without a refund, in this way."""
        return sum(line.ticket.status == end for line in self.lines)


def close(stage: Stage, tickets: dict[str, Return]) -> Books:
    """Read the three books, each from its own place."""
    rows = {ticket_id: stage.connector.refunds_of(ticket_id) for ticket_id in tickets}
    at_stripe: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for refund in stage.stripe.v1.refunds.list({"limit": 100}).auto_paging_iter():
        data = refund.to_dict()
        at_stripe[data["metadata"].get("dispatch_refund_id", "")].append(data)
    lines = [
        _line(stage, ticket_id, one, rows[ticket_id], at_stripe)
        for ticket_id, one in tickets.items()
    ]
    strangers = set(at_stripe) - {row.id for of_ticket in rows.values() for row in of_ticket}
    succeeded = [row for line in lines for row in line.rows if row.state is State.SUCCEEDED]
    paid = [refund for line in lines for refund in line.paid]
    totals = {
        "tickets": _sum(amount for line in lines for amount in line.says),
        "ledger": _sum(row.amount for row in succeeded if row.amount is not None),
        "stripe": _sum(_money(refund["amount"], refund["currency"]) for refund in paid),
    }
    return Books(lines, sum(len(at_stripe[row_id]) for row_id in strangers), totals)


def _line(
    stage: Stage,
    ticket_id: str,
    one: Return,
    rows: list[Refund],
    at_stripe: dict[str, list[dict[str, Any]]],
) -> Line:
    comments = stage.client.comments.list(ticket_id)
    changes = [c.body.split() for c in comments if c.author_type == "SYSTEM"]
    notes = [_NOTED.search(c.body) for c in comments if c.internal]
    return Line(
        one,
        stage.client.tickets.get(ticket_id),
        # "Status changed from A to B"
        [STEPS[0], *(words[-1] for words in changes)],
        rows,
        {row.id: at_stripe[row.id] for row in rows},
        [Money.from_decimal(Decimal(found[1]), found[2]) for found in notes if found],
    )


def _sum(amounts: Iterable[Money]) -> Totals:
    totals: Totals = {}
    for amount in amounts:
        known = totals.get(amount.currency)
        totals[amount.currency] = amount if known is None else known + amount
    return dict(sorted(totals.items()))


def _money(minor: int, currency: str) -> Money:
    return Money(minor, currency, stripe_rule(currency).decimals)
