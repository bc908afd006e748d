"""The table of docs/processors.md, made from the capabilities of all installed adapters.

``python -m tests.support.processor_table`` writes it; a test holds it current.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from dispatch_returns.refunds.capabilities import Capabilities
from dispatch_returns.refunds.registry import available, load_adapter

PAGE = Path(__file__).parents[2] / "docs" / "processors.md"
_TABLE = re.compile(r"^\| what it can do \|.*?(?=^$)", re.MULTILINE | re.DOTALL)
_CURRENCIES = re.findall(
    "[A-Z]+",
    "AED BHD BIF CLP CVE DJF EUR GNF HUF IDR IQD ISK JOD JPY KMF KRW KWD LYD MGA MRU OMR PYG RWF"
    " TND TWD UGX USD UYI VND VUV XAF XOF XPF",
)
"""Every currency that some processor or ISO 4217 counts with other than two decimals, and two."""
Says = Callable[[Any, Capabilities], str]


def _yes(it: object) -> str:
    return "yes" if it else "no"


def _time(it: timedelta) -> str:
    hours = it.total_seconds() / 3600
    return f"{hours:g} hours" if hours < 48 else f"{hours / 24:g} days"


def _key(can: Capabilities) -> str:
    if can.manual:
        return "not needed: nothing is sent"
    return "no key" if can.key_lifetime is None else _time(can.key_lifetime)


def _lookup(can: Capabilities) -> str:
    if can.lookup:
        late = f", up to {can.lookup_after.seconds} s late" if can.lookup_after else ", at once"
        return f"by our own id{late}"
    return "by the processor's id" if can.lookup_by_id else "no"


def _decimals(can: Capabilities, decimals: int) -> str:
    found = [code for code in _CURRENCIES if can.currency_rule(code).decimals == decimals]
    return ", ".join(found) or "none"


def _steps(can: Capabilities) -> str:
    rules = {code: can.currency_rule(code) for code in _CURRENCIES}
    found = (f"{code} {rule.step}" for code, rule in rules.items() if rule.step != 1)
    return ", ".join(found) or "none"


ROWS: dict[str, Says] = {
    "refunds a part of a payment": lambda _, can: _yes(can.partial),
    "voids a payment that is not settled": lambda _, can: _yes(can.void),
    "the outcome may come later": lambda _, can: _yes(can.asynchronous),
    "remembers an idempotency key": lambda _, can: _key(can),
    "characters of a key": lambda _, can: "-" if can.manual else str(can.longest_key),
    "a refund can be looked up": lambda _, can: _lookup(can),
    "sends webhooks": lambda it, _: _yes(hasattr(it, "verify_webhook")),
    "checks the webhook's URL with a GET": lambda it, _: _yes(hasattr(it, "answer_challenge")),
    "lists refunds, for `reconcile`": lambda it, _: _yes(hasattr(it, "refunds_between")),
    "says which account the key belongs to": lambda it, _: _yes(hasattr(it, "account")),
    "a payment can be refunded for": lambda _, can: (
        "no limit known" if can.refund_within is None else _time(can.refund_within)
    ),
    "refunds of one payment": lambda _, can: str(can.most_refunds or "no limit known"),
    "currencies without decimals": lambda _, can: _decimals(can, 0),
    "currencies with 3 decimals": lambda _, can: _decimals(can, 3),
    "minor units come in steps of": lambda _, can: _steps(can),
}


_FIELDS = {
    "remembers an idempotency key": "key_lifetime",
    "characters of a key": "longest_key",
    "a refund can be looked up": "lookup",
    "a payment can be refunded for": "refund_within",
    "refunds of one payment": "most_refunds",
}
"""The field that a row shows, where it may be one that nobody has verified."""


def _cell(what: str, says: Says, adapter: Any) -> str:
    can: Capabilities = adapter.capabilities
    mark = " (not verified)" if _FIELDS.get(what) in can.unverified else ""
    return f"{says(adapter, can)}{mark}"


def rows() -> Iterator[str]:
    adapters: dict[str, Any] = {name: load_adapter(name) for name in available()}
    names = " | ".join(f"`{name}`" for name in adapters)
    yield f"| what it can do | {names} |"
    yield "|---" * (len(adapters) + 1) + "|"
    for what, says in ROWS.items():
        cells = " | ".join(_cell(what, says, it) for it in adapters.values())
        yield f"| {what} | {cells} |"


def page() -> str:
    """Return docs/processors.md with the table as it should be."""
    table = "".join(f"{row}\n" for row in rows())
    return _TABLE.sub(lambda _: table, PAGE.read_text(encoding="utf-8"), count=1)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
