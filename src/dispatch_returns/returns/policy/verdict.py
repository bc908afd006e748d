"""What a policy decides on, and what it decides."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dispatch_returns.errors import WorkflowError
from dispatch_returns.money import Money
from dispatch_returns.returns.orders.model import plain_sku


class Outcome(enum.StrEnum):
    """The decision on a request. If several rules have an outcome, the strictest counts."""

    APPROVE = "approve"
    REVIEW = "review"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Item:
    """A quantity of one article, in the condition given by the customer or the warehouse."""

    sku: str
    quantity: int = 1
    condition: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sku", plain_sku(self.sku))


@dataclass(frozen=True, slots=True)
class ReturnRequest:
    """What a customer wants to return, from the ticket. ``unclear`` says what can't be read."""

    ticket_id: str
    order_id: str | None
    items: tuple[Item, ...]
    reason: str | None
    requested_at: datetime
    customer: str | None = field(default=None, repr=False)
    unclear: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """The customer's earlier returns, and the pieces of this order that are in other returns.

    ``returned`` counts those pieces by SKU. Of a return that is over, such as a rejected one,
    it counts only what was paid back.
    """

    returns_by_age: tuple[datetime, ...] = ()
    """When each earlier return of this customer was requested."""
    returned: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class ShippingPaid:
    """How much of an order's outbound shipping was paid back before, in minor units.

    ``here`` with earlier packages of this return, ``elsewhere`` with other returns.
    """

    here: int
    elsewhere: int


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of a check or a rule: its outcome, and why, for a person to read."""

    rule: str
    outcome: Outcome
    why: str


SHIPPING = "shipping"
"""The line of a breakdown that is the outbound shipping, not an article."""


def part_of(sku: str) -> str:
    """Return the name of an article's line: never `SHIPPING`, whatever the shop's SKU is."""
    return f"{sku} (article)" if sku == SHIPPING else sku


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A refund amount, to the last minor unit: ``total`` is the sum of ``parts`` less ``fees``."""

    total: Money
    parts: tuple[tuple[str, Money], ...]
    """What is paid back: each article by its SKU (see `part_of`), and ``shipping``."""
    fees: tuple[tuple[str, Money], ...] = ()
    """What the shop keeps: ``restocking``, ``return_shipping``, ``condition``."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome with everything that explains it, so that it can be shown and replayed.

    ``results`` are the rule results; ``facts`` are what the rules saw (JSON values, without
    customers' data); ``policy`` is the policy version; ``at`` is when it was decided.
    ``assignee`` is who reviews it.
    """

    outcome: Outcome
    results: tuple[RuleResult, ...]
    facts: Mapping[str, Any]
    policy: str
    at: datetime
    assignee: str | None = None
    expected: Breakdown | None = None
    """The refund if everything arrives as announced; None if the order is not known."""
    returnless: bool = False
    """The customer keeps the items."""

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as JSON values, from which `from_json` makes an equal one."""
        written: dict[str, Any] = _WRITTEN.dump_python(self, mode="json")
        return written

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Verdict:
        """Read what `to_json` wrote. Raises `WorkflowError` for anything else."""
        try:
            return _WRITTEN.validate_python(written)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise WorkflowError(f"not a stored verdict: {where}") from None


_WRITTEN = TypeAdapter(Verdict)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What follows from a receipt: its refund, and whether a person must review it first.

    ``pays``: the receipt is refunded automatically; otherwise a person sets the status.
    """

    outcome: Outcome
    results: tuple[RuleResult, ...]
    breakdown: Breakdown
    pays: bool
    assignee: str | None = None
