"""What a customer asks for, as the ticket says it: whoever wrote it, and however.

What stands there is read whole, or a person is told that it can't be: no piece is dropped, and
none is guessed. Every text has a limit, and over it a person looks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from dispatch_returns.client.exact_json import loads
from dispatch_returns.refunds.ticket_facts import digest_of
from dispatch_returns.returns.orders.model import plain_sku
from dispatch_returns.returns.policy.verdict import Item, ReturnRequest

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket
    from dispatch_returns.returns.orders.model import Order

ORDER_ID_LIMIT = 200
SKU_LIMIT = 200
REASON_LIMIT = 500
ITEMS_LIMIT = 1000
"""Entries of a list of items, or pieces of one that is written as a text."""
PIECES_LIMIT = 9999
"""Pieces of one SKU."""
TEXT_LIMIT = 20_000
"""Characters of a list of items that is written as a text."""

_COUNTED = re.compile(r"(?P<before>[0-9]{1,4}) x (?P<a>.+)|(?P<b>.+) x (?P<after>[0-9]{1,4})")
_WHOLE = re.compile(r"[0-9]{1,6}(?:\.0{1,6})?", re.ASCII)
_SKU = frozenset({"sku"})
_QUANTITY = ("quantity", "qty")
_BESIDE = frozenset(
    {"category", "condition", "currency", "id", "image", "line_id", "name", "note", "price"}
    | {"reason", "title", "url"}
)
"""What may stand beside an SKU and is no number of pieces. An unknown key might be one."""
_JOINED = 5
"""Parts of a text that one SKU with separators in it is looked for in."""


class UnreadError(ValueError):
    """Something on a ticket can't be read. Its text is for people, and shows none of it."""


RECEIPT = ("received_date", "condition")
"""The fields by which a warehouse says what arrived."""


def claimed_by(ticket: Ticket, evidence: Iterable[str]) -> dict[str, str]:
    """Return digests of the fields of a receipt, and of `evidence`, that stand on a request."""
    fields = ticket.custom_fields
    names = dict.fromkeys((*RECEIPT, *evidence))
    return {it: digest_of(fields[it]) for it in names if fields.get(it) is not None}


def request_of(ticket: Ticket, asked_at: datetime, order: Order | None = None) -> ReturnRequest:
    """Return what `ticket` asks for; `asked_at` is when it became a return.

    An SKU of `order` is that SKU, before its text is taken apart. ``unclear`` of what is
    returned says what can't be read.
    """
    fields = ticket.custom_fields
    unclear = list[str]()

    def bounded(name: str, limit: int) -> str | None:
        text = text_of(fields.get(name))
        if text is not None and len(text) > limit:
            unclear.append(f"{name} has more than {limit} characters.")
            return None
        return text

    skus = frozenset[str]() if order is None else frozenset(it.sku for it in order.lines)
    try:
        items = items_of(fields.get("items_to_return"), skus)
    except UnreadError as error:
        items = ()
        unclear.append(f"items_to_return: {error}.")
    return ReturnRequest(
        ticket_id=ticket.id,
        order_id=bounded("order_id", ORDER_ID_LIMIT),
        items=items,
        reason=bounded("return_reason", REASON_LIMIT),
        requested_at=asked_at,
        customer=ticket.customer_email,
        unclear=" ".join(unclear) or None,
    )


def items_of(value: Any, skus: Collection[str] = ()) -> tuple[Item, ...]:
    """Read the guide's list of SKUs: one that is named twice is meant twice.

    Portals and forms write other things too, and are understood where there is no doubt: a
    text with commas, ``2 x SKU-001``, JSON in a text, pairs of an SKU and a number, and objects
    with ``sku`` and ``quantity`` or ``qty``. ``skus`` are those of the order. Raises
    `UnreadError` for anything else, and for what is over a limit.
    """
    counts = Counter[str]()
    for entry in _entries(value, skus):
        sku, quantity = _entry(entry, skus)
        if len(sku) > SKU_LIMIT:
            raise UnreadError(f"an SKU has more than {SKU_LIMIT} characters")
        counts[sku] += quantity
        if counts[sku] > PIECES_LIMIT:
            raise UnreadError(f"more than {PIECES_LIMIT} pieces of one SKU")
    return tuple(Item(sku, quantity) for sku, quantity in counts.items() if quantity)


def as_field(items: Iterable[Item]) -> list[str]:
    """Return `items` as the guide writes them: each SKU as often as it comes back."""
    return [item.sku for item in items for _ in range(item.quantity)]


def _entries(value: Any, skus: Collection[str]) -> list[Any]:
    if isinstance(value, str):
        value = _of_text(value, skus)
    if value is None:
        return []
    entries: list[Any] = value if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType] - JSON
    if len(entries) > ITEMS_LIMIT:
        raise UnreadError(f"more than {ITEMS_LIMIT} entries")
    return [it for it in entries if it is not None and it != ""]


def _of_text(text: str, skus: Collection[str]) -> Any:
    """Return the entries of a text: its JSON, or its parts between commas and line ends."""
    if len(text) > TEXT_LIMIT:
        raise UnreadError(f"more than {TEXT_LIMIT} characters")
    if text.lstrip().startswith(("[", "{")) and plain_sku(text) not in skus:
        try:
            return loads(text.encode())
        except ValueError:  # an SKU may begin so
            pass
    parts = re.split(r"([,;\n])", text)
    entries = list[str]()
    while parts:
        # An SKU of the order may have a comma in it.
        longest = min(len(parts), 2 * _JOINED - 1)
        joined = (n for n in range(longest, 1, -2) if plain_sku("".join(parts[:n])) in skus)
        taken = next(joined, 1) if longest % 2 else 1
        entries.append("".join(parts[:taken]).strip())
        del parts[: taken + 1]
    return entries


def _entry(entry: Any, skus: Collection[str]) -> tuple[str, int]:
    if isinstance(entry, dict):
        return _of_object(cast("dict[str, Any]", entry))
    if isinstance(entry, list):
        pair: list[Any] = entry  # pyright: ignore[reportUnknownVariableType] - JSON
        if len(pair) != 2 or not isinstance(pair[0], str):
            raise UnreadError("a list in the list is not an SKU and a number of pieces")
        return _sku(pair[0]), _pieces(pair[1])
    return _of_sku(_sku(entry), skus)


def _of_sku(text: str, skus: Collection[str]) -> tuple[str, int]:
    """Return what a text means: an SKU, or one with a number of pieces before or after it."""
    found = None if text in skus else _COUNTED.fullmatch(text)
    if found is None:
        return text, 1
    # "2 x M8 x 40" may be read two ways: the order says which one is an SKU.
    if found["before"] and plain_sku(found["a"]) not in skus:
        *sku, after = text.rsplit(" x ", 1)
        if plain_sku(sku[0]) in skus and _WHOLE.fullmatch(after):
            return plain_sku(sku[0]), _pieces(after)
    return plain_sku(found["a"] or found["b"]), int(found["before"] or found["after"])


def _of_object(entry: Mapping[str, Any]) -> tuple[str, int]:
    said = {str(name).strip().casefold(): value for name, value in entry.items()}
    if len(said) < len(entry):
        raise UnreadError("an item names a field twice")
    quantities = [said[name] for name in _QUANTITY if name in said]
    if "sku" not in said:
        raise UnreadError("an item has no sku")
    if not quantities and said.keys() - _SKU - _BESIDE:
        raise UnreadError("an item has no quantity, and a field that is not known and may be it")
    pieces = {_pieces(it) for it in quantities} or {1}
    if len(pieces) > 1:
        raise UnreadError("an item has two quantities")
    return _sku(said["sku"]), pieces.pop()


def _sku(value: Any) -> str:
    text = text_of(value)
    if text is None or not plain_sku(text):
        raise UnreadError("an entry is no SKU")
    return plain_sku(text)


def _pieces(value: Any) -> int:
    """Return a number of pieces: ``2``, ``2.0`` or ``"2"``."""
    written = isinstance(value, str | int | Decimal) and not isinstance(value, bool)
    text = str(value).strip() if written else ""
    if not _WHOLE.fullmatch(text):
        raise UnreadError("a quantity is no whole number of pieces")
    return int(Decimal(text))


def text_of(value: Any) -> str | None:
    """Return a field's text, None where there is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # an order number typed into a number field
    return value.strip() or None if isinstance(value, str) else None
