"""What a step has decided, before anything of it happens: written in one commit, then done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from dispatch_returns.client.exact_json import dumps
from dispatch_returns.money import Money
from dispatch_returns.returns.notifications.notice import NoticeKind
from dispatch_returns.returns.records import NewDecision, Return, ReturnChanges
from dispatch_returns.returns.transitions import ReturnAction, Step

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket
    from dispatch_returns.client.exact_json import JsonValue

_AMOUNT = frozenset({"refund_amount", "currency"})
US = "dispatch-returns"
"""Who did what nobody did by hand."""
SOMEBODY = "somebody in Dispatch"
"""Who changed a ticket: the API does not say more."""


@dataclass(frozen=True, slots=True)
class Move:
    """The ticket's next status, by what it gets there, with what is written beside it.

    An `amount` goes into ``refund_amount``, with its ``currency``, and None among `fields` empties
    a field. `tell` is
    what the customer is told once the ticket is there, where the step itself tells nothing.
    `reason` is for people, `said` is the reason as the customer may read it. `seen` are digests of
    what stood in the fields that it writes when it was decided: see `still_written`.
    """

    step: Step
    by: ReturnAction
    fields: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    amount: Money | None = None
    assignee: str | None = None
    tell: NoticeKind | None = None
    reason: str | None = None
    said: str | None = None
    seen: Mapping[str, str] = field(default_factory=dict[str, str])

    def stored(self) -> dict[str, Any]:
        """Return it as the store keeps it."""
        return {
            "step": str(self.step),
            "by": str(self.by),
            "fields": dict(self.fields),
            "amount": None if self.amount is None else money_json(self.amount),
            "assignee": self.assignee,
            "tell": self.tell and str(self.tell),
            "reason": self.reason,
            "said": self.said,
            "seen": dict(self.seen),
        }

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Move:
        """Return what `stored` has kept."""
        return cls(
            step=Step(stored["step"]),
            by=ReturnAction(stored["by"]),
            fields=stored["fields"],
            amount=stored["amount"] and money_of(stored["amount"]),
            assignee=stored["assignee"],
            tell=NoticeKind(stored["tell"]) if stored["tell"] else None,
            reason=stored["reason"],
            said=stored["said"],
            seen=stored["seen"],
        )

    @property
    def written(self) -> dict[str, str | Decimal | None]:
        """Return the custom fields it writes."""
        if self.amount is None:
            return {**self.fields}
        amount, currency = self.amount.major, self.amount.currency
        return {**self.fields, "refund_amount": amount, "currency": currency}

    def decided_on(self, ticket: Ticket) -> Move:
        """Return it with what the ticket it was decided on has in the fields that it writes."""
        seen = {name: _digest(ticket.custom_fields.get(name)) for name in self.written}
        return replace(self, seen=seen)

    def still_written(self, ticket: Ticket) -> dict[str, str | Decimal | None]:
        """Return the fields to be written onto the ticket as it is now.

        What somebody has written into one since the decision stays: for an amount, its currency
        stays with it.
        """
        now, written = ticket.custom_fields, self.written
        theirs = {name for name in written if _digest(now.get(name)) != self.seen[name]}
        theirs |= _AMOUNT if theirs & _AMOUNT else set()
        return {
            name: value
            for name, value in written.items()
            if name not in theirs and now.get(name) != value
        }


def _digest(value: JsonValue) -> str:
    """Return what tells one value of a field from another, and keeps nothing of it."""
    return hashlib.sha256(dumps(value).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Told:
    """Something for the customer: ``facts`` are JSON values, see `telling`."""

    kind: NoticeKind
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows for a return. `also` are further writes of the same commit.

    Without a `move` the return rests until `due_at`, or until something happens to its ticket.
    Where `welcomes` is false, the customer is not told that somebody has brought it here.
    """

    move: Move | None = None
    due_at: datetime | None = None
    decisions: tuple[NewDecision, ...] = ()
    notes: tuple[str, ...] = ()
    told: tuple[Told, ...] = ()
    also: tuple[Callable[[Connection], object], ...] = ()
    values: ReturnChanges = field(default_factory=ReturnChanges)
    welcomes: bool = True


class OutdatedError(Exception):
    """What a plan was made from is no longer so: it is not written, and another one is made."""


@dataclass(frozen=True, slots=True)
class Situation:
    """A return and its ticket at one moment. `arrived`: somebody has just brought it here.

    `before` is the step from which it came, where it has just arrived.
    """

    row: Return
    ticket: Ticket
    now: datetime
    arrived: bool
    before: Step


def money_json(amount: Money) -> dict[str, Any]:
    """Return an amount as the store keeps it inside JSON."""
    return {"minor": amount.minor, "currency": amount.currency, "decimals": amount.decimals}


def money_of(stored: Mapping[str, Any]) -> Money:
    """Return the amount that `money_json` has kept."""
    return Money(stored["minor"], stored["currency"], stored["decimals"])
