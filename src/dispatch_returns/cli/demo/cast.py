"""The 25 returns: what each is, what goes wrong with it, and how it must end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from dispatch_returns.money import Money

End = Literal["refunded", "held", "failed"]


@dataclass(frozen=True, slots=True)
class Return:
    """One return of the demo.

    ``paid`` is what the customer paid, ``asked`` what the ticket asks to pay back. ``trouble``
    is for people; ``fault`` is what the Stripe stand-in is told to do to this refund.
    """

    order_id: str
    paid: Money
    asked: Decimal
    end: End = "refunded"
    trouble: str = ""
    fault: dict[str, object] = field(default_factory=dict[str, object])
    names_payment: bool = True
    known_order: bool = True


_TROUBLED: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("149.00", "its answer is lost after Stripe acted", {"kind": "lost_response"}),
    ("89.90", "Stripe answers 500, and had acted", {"kind": "stored_500", "acted": True}),
    ("59.00", "Stripe answers 409: key in use", {"kind": "conflict_409"}),
    ("240.00", "Stripe answers 429", {"kind": "rate_limit_429", "retry_after": 1}),
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
    troubled = [*_with_faults(), *_refused()]
    plain = list(_plain(25 - len(troubled)))
    for place, one in enumerate(troubled):
        plain.insert(3 * place + 1, one)
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
    yield Return("2006", paid, Decimal("160.00"), end="held", trouble="asks for more than was paid")
    yield Return(
        "9999",
        paid,
        paid.major,
        end="held",
        trouble="an order nobody knows",
        names_payment=False,
        known_order=False,
    )


def _plain(count: int) -> Iterator[Return]:
    for number in range(count):
        amount, currency = _PLAIN[number % len(_PLAIN)]
        paid = Money.from_decimal(Decimal(amount), currency)
        # Every third ticket names no payment: the merchant's own orders know it.
        yield Return(str(1001 + number), paid, paid.major, names_payment=number % 3 != 2)
