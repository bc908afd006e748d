"""How Stripe counts money, kept apart from `dispatch_returns.money` so that it checks it.

Source: Stripe's documentation, "Supported currencies": zero-decimal currencies, special cases,
and the last digit of three-decimal ones.
"""

from __future__ import annotations

from dispatch_sandbox.stripe.problems import invalid

_ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905 - a table
)
_THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
_WHOLE_UNITS_WITH_TWO_DECIMALS = frozenset({"isk", "ugx"})
_SYMBOLS = {"eur": "€", "gbp": "£", "jpy": "¥", "usd": "$"}


def check_amount(amount: int, currency: str) -> None:
    """Refuse an amount Stripe cannot move; ``amount`` is in the currency's minor units."""
    step = 1
    if currency in _WHOLE_UNITS_WITH_TWO_DECIMALS:
        step = 100
    elif currency in _THREE_DECIMAL:
        step = 10
    if amount % step:
        raise invalid(
            f"Invalid amount: in {currency} it must be divisible by {step}.",
            code="parameter_invalid_integer",
            param="amount",
        )


def display(amount: int, currency: str) -> str:
    """Return the amount as Stripe writes it in messages: ``$12.34``, or ``12.34 CHF``."""
    decimals = 0 if currency in _ZERO_DECIMAL else 3 if currency in _THREE_DECIMAL else 2
    whole, fraction = divmod(amount, 10**decimals)
    digits = f"{whole:,}.{fraction:0{decimals}}" if decimals else f"{whole:,}"
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{digits}" if symbol else f"{digits} {currency.upper()}"
