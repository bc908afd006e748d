"""The types of values in a policy: percentages, amounts, SKU patterns, names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, StringConstraints

from dispatch_returns.emails import email_key
from dispatch_returns.errors import MoneyError
from dispatch_returns.money import CurrencyRule, Money, parse_amounts, stripe_rule
from dispatch_returns.returns.orders.model import fits_glob, plain_sku
from dispatch_returns.returns.policy.verdict import Outcome

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?) *%", re.ASCII)


def _percent(value: Any) -> Any:
    """Read ``12.5%``."""
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - what pydantic turns into a message
            'write a percentage as text with its sign: "15%"'
        )
    found = _PERCENT.fullmatch(value.strip())
    if found is None or Decimal(found.group(1)) > 100:
        raise ValueError('write a percentage between "0%" and "100%"')
    return Fraction(found.group(1)) / 100


def _written_percent(value: Fraction) -> str:
    return f"{Decimal((value * 1_000_000).numerator) / 10_000:f}%"


def _amounts(value: Any) -> Any:
    """Read ``4.90 EUR, 5 USD``, or ``0`` for nothing in any currency."""
    if isinstance(value, str):
        amounts = {} if value.strip() == "0" else parse_amounts(value)
        for currency, amount in amounts.items():
            try:
                Money.from_decimal(amount, currency)
            except MoneyError as error:
                raise ValueError(str(error)) from None
        return amounts
    if not isinstance(value, dict):
        raise ValueError(  # noqa: TRY004 - what pydantic turns into a message
            'write amounts as text with the currency: "4.90 EUR, 5 USD"'
        )
    return cast("dict[str, Decimal]", value)


def _written_amounts(value: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{value[code]:f} {code}" for code in sorted(value)) or "0"


def word(text: str) -> str:
    """Return a reason, condition or category as it is compared: ``Wrong Size`` → wrong_size."""
    return re.sub(r"[\s_-]+", "_", text.strip()).casefold()


def _globs(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if any("[" in pattern or not pattern.strip() for pattern in patterns):
        raise ValueError(
            "a pattern is an SKU in which * stands for any text and ? for one character"
        )
    return tuple(plain_sku(pattern) for pattern in patterns)


def fits(sku: str, patterns: tuple[str, ...]) -> bool:
    """Return whether `sku` matches one of the `patterns`. Upper and lower case differ."""
    return any(fits_glob(pattern, sku) for pattern in patterns)


def queue_of(assignee: str | None) -> str | None:
    """Return the review queue in ``queue:Customs``; None for a person, or no assignee."""
    kind, colon, name = (assignee or "").partition(":")
    return name.strip() if colon and kind.strip().casefold() == "queue" else None


def _reviewer(assignee: str) -> str:
    queue = queue_of(assignee)
    if queue == "":
        raise ValueError('the queue has no name: write "queue:Customs"')
    return assignee if queue is None else f"queue:{queue}"


Percent = Annotated[Fraction, BeforeValidator(_percent), PlainSerializer(_written_percent)]
Amounts = Annotated[
    dict[str, Decimal], BeforeValidator(_amounts), PlainSerializer(_written_amounts)
]
"""Major units by currency. Empty means zero in every currency."""
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
Reviewer = Annotated[Name, AfterValidator(_reviewer)]
"""The id of a person in Dispatch, or ``queue:`` and the name of a category."""
Word = Annotated[Name, AfterValidator(word)]
Days = Annotated[int, Field(ge=0, le=36_500)]
Some = Field(strict=False, min_length=1)
"""For a list that must not be empty."""
Words = Annotated[tuple[Word, ...], Some]
Customer = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=320),
    AfterValidator(lambda text: email_key(text) or text),
]
"""An address, an id, or a hash, compared as addresses are: ``_`` differs from ``-``."""
Customers = Annotated[tuple[Customer, ...], Some]
Globs = Annotated[tuple[Name, ...], Some, AfterValidator(_globs)]
Countries = Annotated[tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")], ...], Some]
Verdicts = Annotated[Outcome, Field(strict=False)]
Shipping = Literal["never", "share", "full_return", "always"]
"""When the outbound shipping is paid back, the least generous first."""

CheckName: TypeAlias = Literal[
    "unknown_order",
    "unclear_order",
    "unclear_request",
    "no_items",
    "unknown_item",
    "too_many",
    "blocked",
    "window",
    "not_delivered",
    "condition",
    "final_sale",
    "excluded",
    "max_value",
    "earlier_returns",
    "currency",
]


def in_minor(amounts: Mapping[str, Decimal], like: Money) -> int | None:
    """Return the amount in the currency of `like`, in minor units; None if there is none."""
    if not amounts:
        return 0
    if like.currency not in amounts:
        return None
    return Money.from_decimal(amounts[like.currency], like.currency, rule_of(like)).minor


def rule_of(money: Money) -> CurrencyRule:
    """Return decimals and step of the currency of `money`: Stripe's, if the decimals agree."""
    rule = stripe_rule(money.currency)
    return rule if rule.decimals == money.decimals else CurrencyRule(money.decimals)
