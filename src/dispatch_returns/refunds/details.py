"""What a refund is for, beside its amount: for the processors that want to know."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter

from dispatch_returns.money import Money


class RefundReason(enum.StrEnum):
    """Why money goes back, for adapters to map. None of them accuses the customer of fraud."""

    RETURN = "return"
    """Goods came back."""
    GOODWILL = "goodwill"
    """The customer keeps the goods."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class RefundLine:
    """An article that is refunded. ``amount`` is for the whole quantity, None where not known.

    ``condition`` is the state in which the goods arrived, in the merchant's words, None where they
    did not arrive or nobody said.
    """

    sku: str
    quantity: int = 1
    description: str | None = None
    amount: Money | None = None
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class RefundDetails:
    """What a refund is for, as far as it is known.

    The lines' amounts, ``shipping`` (outbound) and ``tax`` (included in the others) are None where
    they do not belong to exactly the amount that is refunded. ``reference`` is the merchant's own:
    the number of the return, for people who read the processor's reports.
    """

    reason: RefundReason | None = None
    reference: str | None = None
    lines: tuple[RefundLine, ...] = field(default=())
    shipping: Money | None = None
    tax: Money | None = None

    def without_amounts(self) -> RefundDetails:
        """Return the same for another amount, of which the shares are not known."""
        lines = tuple(replace(line, amount=None) for line in self.lines)
        return replace(self, lines=lines, shipping=None, tax=None)

    def to_json(self) -> dict[str, Any] | None:
        """Return JSON values, from which `from_json` makes an equal one; None if there are none."""
        written: dict[str, Any] = _WRITTEN.dump_python(self, mode="json", exclude_defaults=True)
        return written or None

    @classmethod
    def from_json(cls, written: Mapping[str, Any] | None) -> RefundDetails:
        """Return the details that `to_json` wrote."""
        return _WRITTEN.validate_python(written or {})


_WRITTEN = TypeAdapter(RefundDetails)
NO_DETAILS = RefundDetails()
