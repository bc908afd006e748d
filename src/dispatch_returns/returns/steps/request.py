"""Reads the customer's request from the ticket, in whatever form it was written.

It is read completely, or a person must review it: no piece is dropped, and none is guessed. Every
text has a limit; a longer one needs a review.
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
"""Entries in a list of items, whether it is a list or a text."""
PIECES_LIMIT = 9999
"""Pieces of one SKU."""
TEXT_LIMIT = 20_000
"""Characters of a list of items written as a text."""

_COUNTED = re.compile(r"(?P<before>[0-9]{1,4}) x (?P<a>.+)|(?P<b>.+) x (?P<after>[0-9]{1,4})")
_WHOLE = re.compile(r"[0-9]{1,6}(?:\.0{1,6})?", re.ASCII)
_SKU = frozenset({"sku"})
_QUANTITY = ("quantity", "qty")
_BESIDE = frozenset(
    {"category", "condition", "currency", "id", "image", "line_id", "name", "note", "price"}
    | {"reason", "title", "url"}
)
"""The keys of an item that are certainly not its quantity. An unknown key might be."""
_JOINED = 5
"""The most pieces of a text that are joined to find an SKU with separators in it."""


class UnreadError(ValueError):
    """Something on a ticket can't be read. Its message is for people, and does not quote it."""


RECEIPT = ("received_date", "condition")
"""The fields in which a warehouse records what arrived."""


def claimed_by(ticket: Ticket, evidence: Iterable[str]) -> dict[str, str]:
    """Return digests of the receipt's fields, and those of `evidence`, that a request has set.

    What a customer wrote into them is no proof that anything arrived.
    """
    fields = ticket.custom_fields
    names = dict.fromkeys((*RECEIPT, *evidence))
    return {it: digest_of(fields[it]) for it in names if fields.get(it) is not None}


def request_of(ticket: Ticket, asked_at: datetime, order: Order | None = None) -> ReturnRequest:
    """Return the request on `ticket`; `asked_at` is when it became a return.

    A text that is an SKU of `order` is taken as that SKU, and not split. ``unclear`` of the result
    says what can't be read.
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
    """Read the guide's list of SKUs: one that is listed twice means two pieces.

    What else portals and forms write is read where its meaning is certain: a text with commas,
    ``2 x SKU-001``, JSON in a text, pairs of an SKU and a number, and objects with ``sku`` and
    ``quantity`` or ``qty``. ``skus`` are those of the order. Raises `UnreadError` for anything
    else, and for what is over a limit.
    """
    if isinstance(value, str):
        value = _split(value, skus)
    entries: list[Any] = value if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType] - JSON
    if len(entries) > ITEMS_LIMIT:
        raise UnreadError(f"more than {ITEMS_LIMIT} entries")
    counts = Counter[str]()
    for entry in entries:
        if entry is None or entry == "":
            continue
        if isinstance(entry, dict):
            sku, quantity = _of_object(cast("dict[str, Any]", entry))
        elif isinstance(entry, list):
            pair: list[Any] = entry  # pyright: ignore[reportUnknownVariableType] - JSON
            if len(pair) != 2 or not isinstance(pair[0], str):
                raise UnreadError("a list in the list is not an SKU and a number of pieces")
            sku, quantity = _sku(pair[0]), _pieces(pair[1])
        else:
            sku, quantity = _of_sku(_sku(entry), skus)
        if len(sku) > SKU_LIMIT:
            raise UnreadError(f"an SKU has more than {SKU_LIMIT} characters")
        counts[sku] += quantity
        if counts[sku] > PIECES_LIMIT:
            raise UnreadError(f"more than {PIECES_LIMIT} pieces of one SKU")
    return tuple(Item(sku, quantity) for sku, quantity in counts.items() if quantity)


def as_field(items: Iterable[Item]) -> list[str]:
    """Return `items` as the guide writes them: each SKU once for each piece."""
    return [item.sku for item in items for _ in range(item.quantity)]


def _split(text: str, skus: Collection[str]) -> Any:
    """Return the entries of a text: its JSON, or its pieces between commas and line ends."""
    if len(text) > TEXT_LIMIT:
        raise UnreadError(f"more than {TEXT_LIMIT} characters")
    if text.lstrip().startswith(("[", "{")) and plain_sku(text) not in skus:
        try:
            return loads(text.encode())
        except ValueError:  # an SKU can begin like JSON
            pass
    pieces = re.split(r"([,;\n])", text)
    entries = list[str]()
    while pieces:
        # An SKU of the order may have a comma in it.
        longest = min(len(pieces), 2 * _JOINED - 1)
        joined = (n for n in range(longest, 1, -2) if plain_sku("".join(pieces[:n])) in skus)
        taken = next(joined, 1) if longest % 2 else 1
        entries.append("".join(pieces[:taken]).strip())
        del pieces[: taken + 1]
    return entries


def _of_sku(text: str, skus: Collection[str]) -> tuple[str, int]:
    """Return the SKU and the quantity in a text: an SKU, with a number before or after it."""
    found = None if text in skus else _COUNTED.fullmatch(text)
    if found is None:
        return text, 1
    # "2 x M8 x 40" has two meanings: the order says which one is an SKU.
    if found["before"] and plain_sku(found["a"]) not in skus:
        *sku, after = text.rsplit(" x ", 1)
        if plain_sku(sku[0]) in skus and _WHOLE.fullmatch(after):
            return plain_sku(sku[0]), _pieces(after)
    return plain_sku(found["a"] or found["b"]), int(found["before"] or found["after"])


def _of_object(entry: Mapping[str, Any]) -> tuple[str, int]:
    fields = {str(name).strip().casefold(): value for name, value in entry.items()}
    if len(fields) < len(entry):
        raise UnreadError("an item has the same field twice")
    quantities = [fields[name] for name in _QUANTITY if name in fields]
    if "sku" not in fields:
        raise UnreadError("an item has no sku")
    if not quantities and fields.keys() - _SKU - _BESIDE:
        raise UnreadError("an item has no quantity, and an unknown field that may be it")
    pieces = {_pieces(it) for it in quantities} or {1}
    if len(pieces) > 1:
        raise UnreadError("an item has two quantities")
    return _sku(fields["sku"]), pieces.pop()


def _sku(value: Any) -> str:
    text = text_of(value)
    if text is None or not plain_sku(text):
        raise UnreadError("an entry is not an SKU")
    return plain_sku(text)


def _pieces(value: Any) -> int:
    """Return a number of pieces: ``2``, ``2.0`` or ``"2"``."""
    readable = isinstance(value, str | int | Decimal) and not isinstance(value, bool)
    text = str(value).strip() if readable else ""
    if not _WHOLE.fullmatch(text):
        raise UnreadError("a quantity is not a whole number of pieces")
    return int(Decimal(text))


def text_of(value: Any) -> str | None:
    """Return a field's text, None if it has none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # an order number typed into a number field
    return value.strip() or None if isinstance(value, str) else None
