"""How an address is written down: one line after the other, as its country's post wants it."""

from __future__ import annotations

from dispatch_returns.returns.labels.provider import Address

_CODE_LAST = {"AU", "CA", "US"}
_CODE_ON_ITS_OWN_LINE = {"GB", "IE"}


def address_lines(address: Address) -> list[str]:
    """Return the lines of `address` without its country, none of them empty."""
    lines = [address.name, address.street, address.street2, *_place(address)]
    return [line.strip() for line in lines if line and line.strip()]


def _place(address: Address) -> list[str]:
    city, code, state = address.city, address.postal_code, address.state or ""
    country = address.country.upper()
    if country in _CODE_LAST:
        return [f"{city} {state} {code}".replace("  ", " ")]
    if country in _CODE_ON_ITS_OWN_LINE:
        return [city, state, code]
    return [f"{code} {city}", state]
