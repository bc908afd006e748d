"""What is asked of a policy, and what it answers."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dispatch_returns.errors import WorkflowError
from dispatch_returns.money import Money
from dispatch_returns.returns.orders.skus import plain_sku


class Outcome(enum.StrEnum):
    """What becomes of a request; of several rules the strictest counts."""

    APPROVE = "approve"
    REVIEW = "review"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Item:
    """So many of one article. ``condition`` is what the customer, or the warehouse, calls it."""

    sku: str
    quantity: int = 1
    condition: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sku", plain_sku(self.sku))


@dataclass(frozen=True, slots=True)
class ReturnRequest:
    """What a customer asks for, as the ticket says it. ``unclear`` is what of it can't be read."""

    ticket_id: str
    order_id: str | None
    items: tuple[Item, ...]
    reason: str | None
    requested_at: datetime
    customer: str | None = field(default=None, repr=False)
    unclear: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """What the customer sent back earlier, and what of this order is on its way or was paid back.

    ``returned`` counts the pieces of this order, by SKU, in other returns: of those that are
    over, such as rejected ones, only what was paid back.
    """

    returns_by_age: tuple[datetime, ...] = ()
    """When each earlier return of this customer was asked for."""
    returned: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class ShippingPaid:
    """What of an order's shipping was paid back before, in minor units.

    ``here`` to earlier parcels of this return, ``elsewhere`` to other returns.
    """

    here: int
    elsewhere: int


@dataclass(frozen=True, slots=True)
class Spoken:
    """A rule that spoke, and what it said to a person."""

    rule: str
    outcome: Outcome
    why: str


SHIPPING = "shipping"
"""The part of a breakdown that is the way out, and no article."""


def part_of(sku: str) -> str:
    """Return the name of an article's part: another than `SHIPPING`, whatever the shop calls it."""
    return f"{sku} (article)" if sku == SHIPPING else sku


@dataclass(frozen=True, slots=True)
class Breakdown:
    """What is paid back, to the last minor unit: ``total`` is the sum of ``parts``, less fees."""

    total: Money
    parts: tuple[tuple[str, Money], ...]
    """What is given: each line by its SKU (see `part_of`), and ``shipping``."""
    fees: tuple[tuple[str, Money], ...] = ()
    """What is kept: ``restocking``, ``return_shipping``, ``condition``."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome with everything that explains it, so that it can be shown and replayed.

    ``facts`` are what the rules saw (JSON values, no customer's data); ``policy`` names the
    policy and its version; ``at`` is the clock it used. ``assignee`` is who reviews.
    """

    outcome: Outcome
    spoken: tuple[Spoken, ...]
    facts: Mapping[str, Any]
    policy: str
    at: datetime
    assignee: str | None = None
    expected: Breakdown | None = None
    """What would be paid back if all arrives as announced; None where no order is known."""
    returnless: bool = False
    """Nothing need be sent back."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; `from_json` reads them back to an equal verdict."""
        written: dict[str, Any] = _WRITTEN.dump_python(self, mode="json")
        return written

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Verdict:
        """Read what `to_json` wrote. Raises `WorkflowError` for anything else."""
        try:
            return _WRITTEN.validate_python(written)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise WorkflowError(f"this is no verdict as it is kept: {where}") from None


_WRITTEN = TypeAdapter(Verdict)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What becomes of a receipt: what it pays back, and whether a person must look first.

    ``pays``: an accepted receipt refunds by itself; otherwise a person sets the status.
    """

    outcome: Outcome
    spoken: tuple[Spoken, ...]
    breakdown: Breakdown
    pays: bool
    assignee: str | None = None
