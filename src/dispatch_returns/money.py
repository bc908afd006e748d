"""Exact amounts of money, in minor units. Floats never come in or go out.

The processor, and not ISO, defines how many decimals a currency has (Stripe's table differs for
MGA, UGX, ISK and others), so a rule is an argument with Stripe's table as its default. Source:
https://docs.stripe.com/currencies
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from dispatch_returns.errors import MoneyError

__all__ = ["CurrencyRule", "Money", "stripe_rule"]


@dataclass(frozen=True, slots=True)
class CurrencyRule:
    """How a processor counts a currency.

    ``decimals``: digits after the point. ``step``: minor amounts are multiples of it.
    """

    decimals: int = 2
    step: int = 1


_ZERO_DECIMAL = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"}
    | {"PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"}
)
_TWO_DECIMALS_THAT_ARE_ZERO = frozenset({"ISK", "UGX"})
_THREE_DECIMAL = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
_MOST = 10**15
"""Minor units. No payment is this large; a database's integers hold thousands of such amounts."""
_TOO_LARGE = 20
"""Digits before the point. No amount has so many; the limit keeps absurd input from costing time.
"""


def stripe_rule(currency: str) -> CurrencyRule:
    """Return how Stripe counts `currency` (a three-letter code, any case)."""
    code = _code(currency)
    if code in _ZERO_DECIMAL:
        return CurrencyRule(decimals=0)
    if code in _TWO_DECIMALS_THAT_ARE_ZERO:
        return CurrencyRule(step=100)
    if code in _THREE_DECIMAL:
        return CurrencyRule(decimals=3, step=10)
    return CurrencyRule()


@dataclass(frozen=True, slots=True)
class Money:
    """An exact, non-negative amount: ``minor`` units of ``currency`` (upper case).

    ``decimals`` says where the point stands when it is shown: ``Money(14900, "USD")`` is
    149.00 USD. Raises `MoneyError` for anything that is not exact.
    """

    minor: int
    currency: str
    decimals: int = 2

    def __post_init__(self) -> None:
        if isinstance(self.minor, bool) or not isinstance(self.minor, int):
            raise MoneyError(f"minor units are whole numbers, not {type(self.minor).__name__}")
        if self.minor < 0:
            raise MoneyError("an amount is not negative")
        if self.minor >= _MOST:
            raise MoneyError("no payment is that large")
        object.__setattr__(self, "currency", _code(self.currency))

    @classmethod
    def from_decimal(
        cls, amount: Decimal | int, currency: str, rule: CurrencyRule | None = None
    ) -> Money:
        """Return `amount` major units as `Money`, by Stripe's rule unless another is given.

        Raises `MoneyError` when the amount is a float, negative, not finite, or has more
        decimals than the currency: nothing is rounded.
        """
        if isinstance(amount, bool) or not isinstance(amount, Decimal | int):
            raise MoneyError(
                f"an amount is a Decimal or an int, not {type(amount).__name__}:"
                ' write Decimal("149.00")'
            )
        rule = rule or stripe_rule(currency)
        exact = Decimal(amount)
        if not exact.is_finite() or exact < 0:
            raise MoneyError(f"{exact}: an amount is a finite number and not negative")
        if exact.adjusted() >= _TOO_LARGE:
            raise MoneyError("no payment is that large")
        # Digits and plain integers: Decimal arithmetic rounds to the context's precision.
        _, digits, exponent = exact.as_tuple()
        assert isinstance(exponent, int)
        shift = exponent + rule.decimals
        if shift < 0 and any(digits[shift:]):
            raise MoneyError(
                f"{exact} {_code(currency)}: {_code(currency)} has {rule.decimals} decimals;"
                " nothing is rounded"
            )
        kept = digits[:shift] if shift < 0 else digits + (0,) * shift
        minor = int("".join(map(str, kept)) or "0")
        if minor % rule.step:
            raise MoneyError(
                f"{amount} {_code(currency)}: the smallest step of this currency is"
                f" {Decimal(rule.step).scaleb(-rule.decimals)}"
            )
        return cls(minor, currency, rule.decimals)

    @property
    def major(self) -> Decimal:
        """The amount in major units, with all its decimals: ``Decimal("149.00")``."""
        # Built from its digits, because scaleb() rounds to the context's precision.
        return Decimal((0, tuple(map(int, str(self.minor))), -self.decimals))

    def __str__(self) -> str:
        return f"{self.major:f} {self.currency}"

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._minor_of(other), self.currency, self.decimals)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._minor_of(other), self.currency, self.decimals)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._minor_of(other)

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._minor_of(other)

    def __gt__(self, other: Money) -> bool:
        return self.minor > self._minor_of(other)

    def __ge__(self, other: Money) -> bool:
        return self.minor >= self._minor_of(other)

    def _minor_of(self, other: Money) -> int:
        if (other.currency, other.decimals) != (self.currency, self.decimals):
            raise MoneyError(f"{self.currency} and {other.currency} are not the same currency")
        return other.minor


def parse_amounts(text: str) -> dict[str, Decimal]:
    """Read ``500 USD, 60000 JPY``: major units by currency, one for each.

    Raises `ValueError`, which does not quote the text, for anything else.
    """
    amounts: dict[str, Decimal] = {}
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-z]{3})", part)
        if found is None:
            raise ValueError('write amounts as "500 USD, 60000 JPY"')
        number, currency = found.groups()
        amounts[currency.upper()] = Decimal(number)
    if not amounts or len(amounts) < len(parts):
        raise ValueError("give one amount for each currency, such as 500 USD, 60000 JPY")
    return amounts


def _code(currency: str) -> str:
    # Check before upper(), which turns other letters into plain ones ("ß" becomes "SS").
    if len(currency) != 3 or not (currency.isascii() and currency.isalpha()):
        raise MoneyError("a currency is a three-letter code such as USD")
    return currency.upper()
