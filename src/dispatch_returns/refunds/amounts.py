"""An amount as its three columns, and back."""

from __future__ import annotations

from typing import Any

from dispatch_returns.money import Money


def spread(values: dict[str, Any], name: str = "amount") -> dict[str, Any]:
    """Return `values` with the amount `name`, if there is one, split into its columns."""
    if name not in values:
        return values
    rest = {key: value for key, value in values.items() if key != name}
    amount: Money | None = values[name]
    return rest | {
        "amount_minor": amount and amount.minor,
        "currency": amount and amount.currency,
        "decimals": amount and amount.decimals,
    }


def gather(values: dict[str, Any], name: str = "amount") -> dict[str, Any]:
    """Return `values` with the three columns joined into the amount `name`."""
    rest = dict(values)
    minor, currency = rest.pop("amount_minor"), rest.pop("currency")
    decimals = rest.pop("decimals")
    return rest | {name: None if minor is None else Money(minor, currency, decimals)}
