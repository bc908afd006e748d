"""The 25 returns: what each is, what goes wrong with it, and how it must end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from dispatch_returns.money import Money

End = Literal["refunded", "held", "failed", "rejected", "expired"]
Way = Literal[
    "plain", "review", "damaged", "parcels", "returnless", "late", "never", "insisted", "unknown"
]
"""What people do: see `play`. All but ``plain`` differ from the policy's straight way."""


@dataclass(frozen=True, slots=True)
class Return:
    """One return of the demo.

    ``paid`` is what the customer paid, ``asked`` what is to be paid back in all. ``trouble``
    is for people; ``fault`` is what the Stripe stand-in is told to do to this refund.
    """

    order_id: str
    paid: Money
    asked: Decimal
    way: Way = "plain"
    end: End = "refunded"
    trouble: str = ""
    fault: dict[str, object] = field(default_factory=dict[str, object])
    names_payment: bool = True
    known_order: bool = True

    @property
    def items(self) -> tuple[tuple[str, Money], ...]:
        """Return what was bought and comes back, each with its price."""
        if self.way != "parcels":
            return (("SKU-001", self.paid),)
        half = replace(self.paid, minor=self.paid.minor // 2)
        return (("SKU-001", half), ("SKU-002", self.paid - half))


_TROUBLED: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("149.00", "its answer is lost after Stripe acted", {"kind": "lost_response"}),
    ("89.90", "Stripe answers 500, and had acted", {"kind": "stored_500", "acted": True}),
    ("59.00", "Stripe answers 409: key in use", {"kind": "conflict_409"}),
    ("240.00", "Stripe answers 429", {"kind": "rate_limit_429", "retry_after": 1}),
)
_PEOPLE: tuple[tuple[Way, str, str, str, End], ...] = (
    ("review", "35.00", "35.00", "no reason given: a person approves it", "refunded"),
    ("damaged", "80.00", "40.00", "arrives damaged: half of the price is kept", "refunded"),
    ("parcels", "75.00", "75.00", "comes in two parcels, each paid back", "refunded"),
    ("returnless", "6.50", "6.50", "not worth sending back: paid without a parcel", "refunded"),
    ("late", "55.00", "0", "asked for after 90 days: rejected", "rejected"),
    ("never", "45.00", "0", "the parcel never comes: expired", "expired"),
)
_PLAIN = (
    ("19.99", "EUR"),
    ("49.00", "USD"),
    ("12980", "JPY"),
    ("99.95", "GBP"),
    ("7.450", "KWD"),
    ("129.00", "USD"),
)


def returns() -> list[Return]:
    """Return the 25 returns, the troubled ones among the plain ones."""
    special = [*_with_faults(), *_refused(), *_of_people()]
    plain = list(_plain(25 - len(special)))
    for place, one in enumerate(special):
        plain.insert(2 * place + 1, one)
    return plain


def _with_faults() -> Iterator[Return]:
    for number, (amount, trouble, fault) in enumerate(_TROUBLED, start=2001):
        paid = Money.from_decimal(Decimal(amount), "USD")
        yield Return(str(number), paid, paid.major, trouble=trouble, fault=fault)
    paid = Money.from_decimal(Decimal("75.00"), "EUR")
    yield Return(
        "2005",
        paid,
        paid.major,
        end="failed",
        trouble="the bank sends it back later",
        fault={
            "kind": "fail_later",
            "seconds": 1.5,
            "failure_reason": "expired_or_canceled_card",
        },
    )


def _refused() -> Iterator[Return]:
    paid = Money.from_decimal(Decimal("120.00"), "USD")
    yield Return(
        "2006",
        paid,
        Decimal("160.00"),
        way="insisted",
        end="held",
        trouble="a person asks for more than was paid",
    )
    yield Return(
        "9999",
        paid,
        paid.major,
        way="unknown",
        end="held",
        trouble="an order nobody knows, and a person insists",
        names_payment=False,
        known_order=False,
    )


def _of_people() -> Iterator[Return]:
    for number, (way, paid, asked, trouble, end) in enumerate(_PEOPLE, start=3001):
        amount = Money.from_decimal(Decimal(paid), "USD")
        yield Return(str(number), amount, Decimal(asked), way=way, end=end, trouble=trouble)


def _plain(count: int) -> Iterator[Return]:
    for number in range(count):
        amount, currency = _PLAIN[number % len(_PLAIN)]
        paid = Money.from_decimal(Decimal(amount), currency)
        # Every third ticket names no payment: the merchant's own orders know it.
        yield Return(str(1001 + number), paid, paid.major, names_payment=number % 3 != 2)
