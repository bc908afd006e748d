"""Compares what the tickets, the ledger and Stripe's own list say about the returns of the demo."""

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
from dispatch_sandbox.demo.environment import STEPS, Environment
from dispatch_sandbox.demo.scenarios import End, Scenario
from dispatch_sandbox.demo.steps import ENDS

Totals = dict[str, Money]

_NOTED = re.compile(r"Refund amount: ([0-9.]+) ([A-Z]{3})")
"""How the note about a receipt names its amount."""


@dataclass(frozen=True, slots=True)
class Line:
    """One return in all three records."""

    scenario: Scenario
    ticket: Ticket
    path: list[str]
    """The statuses that the ticket went through, from its own history."""
    rows: list[Refund]
    """Its refunds in the ledger, one for each package."""
    at_stripe: dict[str, list[dict[str, Any]]]
    """Every refund that Stripe has for each row, in whatever status."""
    noted: list[Money]
    """The refund amounts in the ticket's own notes, one for each package."""

    @property
    def row(self) -> Refund | None:
        """The newest refund."""
        return self.rows[-1] if self.rows else None

    def paid_for(self, row: Refund) -> list[dict[str, Any]]:
        """Return the refunds of a row that paid, and did not fail later."""
        return [r for r in self.at_stripe[row.id] if r["status"] not in {"failed", "canceled"}]

    @property
    def paid(self) -> list[dict[str, Any]]:
        """The refunds that paid, and did not fail later."""
        return [refund for row in self.rows for refund in self.paid_for(row)]

    @property
    def on_ticket(self) -> list[Money]:
        """What was refunded, as the ticket says."""
        fields = self.ticket.custom_fields
        if fields.get("refund_status") != State.SUCCEEDED:
            return []
        if len(self.noted) > 1:
            return self.noted  # the field has room for one package
        return [Money.from_decimal(fields["refund_amount"], self.scenario.paid.currency)]

    @property
    def duplicates(self) -> int:
        """How many refunds were paid a second time."""
        return sum(max(0, len(self.paid_for(row)) - 1) for row in self.rows)

    @property
    def is_lost(self) -> bool:
        """Whether a refund is due and was not paid."""
        return self.scenario.end == "refunded" and (
            not self.rows or any(not self.paid_for(row) for row in self.rows)
        )

    @property
    def problems(self) -> list[str]:
        """How the three records differ."""
        end = self.scenario.end
        wanted = ENDS.get(end)
        if wanted is None:
            ends = self.ticket.status == end and not self.rows
            return [] if ends else [f"it is {self.ticket.status}, {end} was expected"]
        if not self.rows:
            return ["it is not in the ledger"]
        found: list[str] = []
        for row in self.rows:
            paid = self.paid_for(row)
            if row.state is not wanted:
                found.append(f"the ledger says {row.state}, {end} was expected")
            if len(paid) != (row.state is State.SUCCEEDED):
                found.append(f"Stripe has {len(paid)} refunds of it")
            for refund in paid:
                amount = _money(refund["amount"], refund["currency"])
                if (refund["id"], amount) != (row.processor_id, row.amount):
                    found.append(f"amounts differ: {refund['amount']}")
        if self.ticket.custom_fields.get("refund_status") != self.rows[-1].state:
            found.append("the ticket and the ledger differ")
        total = sum(row.amount.minor for row in self.rows if row.amount is not None)
        due = Money.from_decimal(self.scenario.due, self.scenario.paid.currency)
        if wanted is State.SUCCEEDED and total != due.minor:
            found.append(f"the ledger has {total} in minor units, {due} was expected")
        return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of the demo."""

    lines: list[Line]
    unknown: int
    """Refunds at Stripe that belong to no row of the ledger."""
    totals: dict[str, Totals] = field(default_factory=dict[str, Totals])

    @property
    def duplicates(self) -> int:
        """How many refunds were paid a second time."""
        return sum(line.duplicates for line in self.lines)

    @property
    def lost(self) -> int:
        """How many refunds are due and were not paid."""
        return sum(line.is_lost for line in self.lines)

    @property
    def agree(self) -> bool:
        """Whether the three records agree, return by return and in total."""
        tickets, ledger, stripe = self.totals.values()
        in_total = tickets == ledger == stripe and not self.unknown
        return in_total and not any(line.problems for line in self.lines)

    def count(self, state: State) -> int:
        """Return how many returns have their newest refund in `state`."""
        return sum(line.row is not None and line.row.state is state for line in self.lines)

    def ended(self, end: End) -> int:
        """Return how many returns ended in this status."""
        return sum(line.ticket.status == end for line in self.lines)


def compare(environment: Environment, tickets: dict[str, Scenario]) -> Comparison:
    """Read the three records, each from its own place, and compare them."""
    rows = {ticket_id: environment.connector.refunds_of(ticket_id) for ticket_id in tickets}
    at_stripe: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for refund in environment.stripe.v1.refunds.list({"limit": 100}).auto_paging_iter():
        data = refund.to_dict()
        at_stripe[data["metadata"].get("dispatch_refund_id", "")].append(data)
    lines: list[Line] = []
    for ticket_id, scenario in tickets.items():
        comments = environment.client.comments.list(ticket_id)
        # "Status changed from A to B"
        changes = [c.body.split() for c in comments if c.author_type == "SYSTEM"]
        notes = [_NOTED.search(c.body) for c in comments if c.internal]
        line = Line(
            scenario,
            environment.client.tickets.get(ticket_id),
            path=[STEPS[0], *(words[-1] for words in changes)],
            rows=rows[ticket_id],
            at_stripe={row.id: at_stripe[row.id] for row in rows[ticket_id]},
            noted=[Money.from_decimal(Decimal(found[1]), found[2]) for found in notes if found],
        )
        lines.append(line)
    unknown = set(at_stripe) - {row.id for of_ticket in rows.values() for row in of_ticket}
    succeeded = [row for line in lines for row in line.rows if row.state is State.SUCCEEDED]
    paid = [refund for line in lines for refund in line.paid]
    totals = {
        "tickets": _sum(amount for line in lines for amount in line.on_ticket),
        "ledger": _sum(row.amount for row in succeeded if row.amount is not None),
        "stripe": _sum(_money(refund["amount"], refund["currency"]) for refund in paid),
    }
    return Comparison(lines, sum(len(at_stripe[row_id]) for row_id in unknown), totals)


def _sum(amounts: Iterable[Money]) -> Totals:
    totals: Totals = {}
    for amount in amounts:
        known = totals.get(amount.currency)
        totals[amount.currency] = amount if known is None else known + amount
    return dict(sorted(totals.items()))


def _money(minor: int, currency: str) -> Money:
    return Money(minor, currency, stripe_rule(currency).decimals)
