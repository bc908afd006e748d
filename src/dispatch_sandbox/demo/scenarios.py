"""The 25 returns of the demo: what each is, what goes wrong with it, and how it must end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from dispatch_returns.money import Money

End = Literal["refunded", "held", "failed", "rejected", "expired"]
Course = Literal[
    "plain", "review", "damaged", "parcels", "returnless", "late", "never", "insisted", "unknown"
]
"""What people do: see `steps`. Only ``plain`` follows the policy without an exception."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One return of the demo.

    ``paid`` is what the customer paid, ``due`` what is to be refunded in all, in major units.
    ``trouble`` says for people what goes wrong; ``fault`` makes the Stripe test double do it.
    """

    order_id: str
    paid: Money
    due: Decimal
    course: Course = "plain"
    end: End = "refunded"
    trouble: str = ""
    fault: dict[str, object] = field(default_factory=dict[str, object])
    names_payment: bool = True
    known_order: bool = True

    @property
    def items(self) -> tuple[tuple[str, Money], ...]:
        """The SKUs that were bought and come back, each with its price."""
        if self.course != "parcels":
            return (("SKU-001", self.paid),)
        half = replace(self.paid, minor=self.paid.minor // 2)
        return (("SKU-001", half), ("SKU-002", self.paid - half))


_FAULTS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("149.00", "its answer is lost after Stripe acted", {"kind": "lost_response"}),
    ("89.90", "Stripe answers 500, and had acted", {"kind": "stored_500", "acted": True}),
    ("59.00", "Stripe answers 409: key in use", {"kind": "conflict_409"}),
    ("240.00", "Stripe answers 429", {"kind": "rate_limit_429", "retry_after": 1}),
)
_EXCEPTIONS: tuple[tuple[Course, str, str, str, End], ...] = (
    ("review", "35.00", "35.00", "no reason given: a person approves it", "refunded"),
    ("damaged", "80.00", "40.00", "arrives damaged: half of the price is kept", "refunded"),
    ("parcels", "75.00", "75.00", "comes in two packages, each refunded", "refunded"),
    (
        "returnless",
        "6.50",
        "6.50",
        "not worth sending back: refunded at once",
        "refunded",
    ),
    ("late", "55.00", "0", "requested after 90 days: rejected", "rejected"),
    ("never", "45.00", "0", "the package never comes: expired", "expired"),
)
_PLAIN = (
    ("19.99", "EUR"),
    ("49.00", "USD"),
    ("12980", "JPY"),
    ("99.95", "GBP"),
    ("7.450", "KWD"),
    ("129.00", "USD"),
)


def scenarios() -> list[Scenario]:
    """Return the 25 returns, the special ones among the plain ones."""
    special = list(_special())
    found: list[Scenario] = []
    for number in range(25 - len(special)):
        amount, currency = _PLAIN[number % len(_PLAIN)]
        paid = Money.from_decimal(Decimal(amount), currency)
        # Every third ticket names no payment: the merchant's own orders know it.
        names_payment = number % 3 != 2
        found.append(Scenario(str(1001 + number), paid, paid.major, names_payment=names_payment))
    for place, it in enumerate(special):
        found.insert(2 * place + 1, it)
    return found


def _special() -> Iterator[Scenario]:
    for number, (amount, trouble, fault) in enumerate(_FAULTS, start=2001):
        paid = Money.from_decimal(Decimal(amount), "USD")
        yield Scenario(str(number), paid, paid.major, trouble=trouble, fault=fault)
    paid = Money.from_decimal(Decimal("75.00"), "EUR")
    yield Scenario(
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
    paid = Money.from_decimal(Decimal("120.00"), "USD")
    yield Scenario(
        "2006",
        paid,
        Decimal("160.00"),
        course="insisted",
        end="held",
        trouble="a person asks for more than was paid",
    )
    yield Scenario(
        "9999",
        paid,
        paid.major,
        course="unknown",
        end="held",
        trouble="the order is not found, and a person insists",
        names_payment=False,
        known_order=False,
    )
    for number, (course, price, due, trouble, end) in enumerate(_EXCEPTIONS, start=3001):
        paid = Money.from_decimal(Decimal(price), "USD")
        yield Scenario(str(number), paid, Decimal(due), course=course, end=end, trouble=trouble)
