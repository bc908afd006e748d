"""Plans: what a step decides, before anything happens. Written in one commit, then carried out."""

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
from dispatch_returns.returns.notifications.notification import NotificationKind
from dispatch_returns.returns.records import NewDecision, Return, ReturnChanges
from dispatch_returns.returns.transitions import ReturnAction, Step

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket
    from dispatch_returns.client.exact_json import JsonValue

_AMOUNT = frozenset({"refund_amount", "currency"})
US = "dispatch-returns"
"""The actor of what happens automatically."""
SOMEBODY = "someone in Dispatch"
"""The actor of a change to a ticket: the API does not say who it was."""


@dataclass(frozen=True, slots=True)
class Move:
    """The ticket's next status, the action that leads to it, and the custom fields to write.

    An `amount` goes into ``refund_amount`` with its ``currency``; None in `fields` empties a field.
    `notification` goes to the customer once the ticket is there, if the step has none of its own.
    `reason` is for agents, `for_customer` is the reason for the customer. `seen` are digests of the
    fields' values at the time of the decision: see `still_written`.
    """

    step: Step
    by: ReturnAction
    fields: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    amount: Money | None = None
    assignee: str | None = None
    notification: NotificationKind | None = None
    reason: str | None = None
    for_customer: str | None = None
    seen: Mapping[str, str] = field(default_factory=dict[str, str])

    def stored(self) -> dict[str, Any]:
        """Return it as JSON values for the store."""
        return {
            "step": str(self.step),
            "by": str(self.by),
            "fields": dict(self.fields),
            "amount": None if self.amount is None else money_json(self.amount),
            "assignee": self.assignee,
            "notification": self.notification and str(self.notification),
            "reason": self.reason,
            "for_customer": self.for_customer,
            "seen": dict(self.seen),
        }

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Move:
        """Return the move that `stored` wrote."""
        return cls(
            step=Step(stored["step"]),
            by=ReturnAction(stored["by"]),
            fields=stored["fields"],
            amount=stored["amount"] and money_of(stored["amount"]),
            assignee=stored["assignee"],
            notification=NotificationKind(stored["notification"])
            if stored["notification"]
            else None,
            reason=stored["reason"],
            for_customer=stored["for_customer"],
            seen=stored["seen"],
        )

    @property
    def written(self) -> dict[str, str | Decimal | None]:
        """The custom fields that it writes."""
        if self.amount is None:
            return {**self.fields}
        amount, currency = self.amount.major, self.amount.currency
        return {**self.fields, "refund_amount": amount, "currency": currency}

    def decided_on(self, ticket: Ticket) -> Move:
        """Return it with digests of the fields that it writes, as they are on `ticket`."""
        seen = {name: _digest(ticket.custom_fields.get(name)) for name in self.written}
        return replace(self, seen=seen)

    def still_written(self, ticket: Ticket) -> dict[str, str | Decimal | None]:
        """Return the fields that must still be written onto `ticket` as it is now.

        A field that a person has changed since the decision keeps their value; the amount and its
        currency belong together.
        """
        now, written = ticket.custom_fields, self.written
        changed = {name for name in written if _digest(now.get(name)) != self.seen[name]}
        changed |= _AMOUNT if changed & _AMOUNT else set()
        return {
            name: value
            for name, value in written.items()
            if name not in changed and now.get(name) != value
        }


def _digest(value: JsonValue) -> str:
    """Return a digest by which two values of a field differ, without the value itself."""
    return hashlib.sha256(dumps(value).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class CustomerNotification:
    """A notification for the customer; ``facts`` are JSON values (see `messages`)."""

    kind: NotificationKind
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows for a return. `also` are further writes of the same commit.

    Without a `move` the return rests until `due_at`, or until its ticket changes. If `welcomes` is
    false, the customer gets no notification that the return has come to this step.
    """

    move: Move | None = None
    due_at: datetime | None = None
    decisions: tuple[NewDecision, ...] = ()
    notes: tuple[str, ...] = ()
    notifications: tuple[CustomerNotification, ...] = ()
    also: tuple[Callable[[Connection], object], ...] = ()
    values: ReturnChanges = field(default_factory=ReturnChanges)
    welcomes: bool = True


class OutdatedError(Exception):
    """What a plan was made from has changed: it is not written, and a new one is made."""


@dataclass(frozen=True, slots=True)
class Situation:
    """A return and its ticket at one moment.

    `arrived`: a person has just moved the ticket to this step, from the step `before`.
    """

    row: Return
    ticket: Ticket
    now: datetime
    arrived: bool
    before: Step


def money_json(amount: Money) -> dict[str, Any]:
    """Return an amount as JSON values for the store."""
    return {"minor": amount.minor, "currency": amount.currency, "decimals": amount.decimals}


def money_of(stored: Mapping[str, Any]) -> Money:
    """Return the amount that `money_json` wrote."""
    return Money(stored["minor"], stored["currency"], stored["decimals"])
