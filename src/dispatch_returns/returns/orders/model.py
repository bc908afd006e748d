"""An order in one form, whichever shop system it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Protocol
from unicodedata import normalize

from dispatch_returns.errors import OrderError
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.returns.labels.provider import Address

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket

_NOTHING: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One line of an order, as it was charged.

    ``price`` is the list price of one piece; ``tax`` and ``discount`` are for the whole line.
    ``weight`` is that of one piece, in grams. ``id`` is unique in the order; two lines may have
    the same SKU. ``removed`` counts the pieces, of `quantity`, that the shop itself has taken out
    of the order or paid back since: they cannot be returned.
    """

    id: str
    sku: str
    quantity: int
    price: Money
    tax: Money
    discount: Money
    title: str | None = None
    category: str | None = None
    final_sale: bool = False
    weight: int | None = None
    removed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "sku", plain_sku(self.sku))


@dataclass(frozen=True, slots=True)
class Order:
    """An order: its lines, where and when it was shipped, and the payment it was paid with.

    ``id`` is the source's own id: it names the order everywhere, however the ticket spells it.
    ``number`` is what people call the order, if that differs.

    ``shipping`` is what the customer paid for the outbound shipping, tax included, and ``fees``
    what else was charged on top of the lines: gift wrap, duties, a tip. ``charged`` is what the
    payment was charged, and ``credit`` what was paid with a gift card or store credit.
    ``refunded`` is what the shop says has been paid back so far, by anyone. Each is None if the
    source does not say. ``hold`` is why a person must review the order because of its state in
    the shop, as the end of a sentence: ``was cancelled in Shopify``.

    ``prices_include_tax`` says whether ``price`` and ``discount`` of the lines do. ``country`` is
    where it was shipped to (ISO 3166-1, two letters, upper case), and ``address`` the complete
    address, from which a return is sent back. ``customer_email`` is the owner of the order: only
    they are shown it and get labels for it. It is None if the source does not know the owner.
    ``as_payment`` is the order itself as a payment, where its shop can refund it (D-171).
    ``from_ticket``: everything comes from the ticket itself, so it proves no owner, and shows the
    ticket's customer nothing new. ``customer_id`` is the shop's own. All times are aware.

    Raises `OrderError` if the order contradicts itself: an amount in another currency, a discount
    higher than the price, no pieces, no weight, the same line id twice, a time without its
    offset, more pieces removed than bought. Sums that do not add up are a `problem` instead.
    """

    id: str
    currency: str
    lines: tuple[OrderLine, ...]
    placed_at: datetime
    shipping: Money
    shipped_at: datetime | None = None
    delivered_at: datetime | None = None
    prices_include_tax: bool = False
    country: str | None = None
    customer_email: str | None = field(default=None, repr=False)
    customer_id: str | None = field(default=None, repr=False)
    from_ticket: bool = False
    payment: PaymentRef | None = None
    as_payment: PaymentRef | None = None
    address: Address | None = field(default=None, repr=False)
    fees: Money | None = None
    charged: Money | None = None
    credit: Money | None = None
    refunded: Money | None = None
    hold: str | None = None
    number: str | None = None

    def __post_init__(self) -> None:
        if wrong := next(_contradictions(self), None):
            raise OrderError(f"order {self.id}: {wrong}")

    def paid(self, line: OrderLine) -> Money:
        """Return what was paid for all pieces of `line`, with tax and discount."""
        full = line.price.minor * line.quantity - line.discount.minor
        tax = 0 if self.prices_include_tax else line.tax.minor
        return Money(full + tax, self.currency, self.shipping.decimals)

    @property
    def total(self) -> Money:
        """What was paid for the whole order, with shipping and fees."""
        charges = self.shipping if self.fees is None else self.shipping + self.fees
        return sum((self.paid(line) for line in self.lines), charges)

    def problem(self, returned: Mapping[str, int] = _NOTHING) -> str | None:
        """Return why a person must review this order before any of it is refunded; None if not.

        The one place where an order's sums are checked, to the minor unit: lines, shipping and
        fees are what was charged, and what was paid back belongs to pieces that the shop removed
        or that were `returned` (by SKU).
        """
        if self.hold is not None:
            return f"The order {self.hold}."
        if self.credit is not None and self.credit.minor:
            return (
                f"{self.credit} of the order was paid with a gift card or store credit, so how"
                " much goes back to the payment can't be calculated."
            )
        if self.charged is not None and self.total != self.charged:
            return (
                f"The order's lines, shipping and fees add up to {self.total}, but {self.charged}"
                " was charged, so the refund amount can't be calculated."
            )
        if self.refunded is not None and self.refunded.minor > self._most_paid_back(returned):
            return (
                f"The shop has already refunded {self.refunded} of the order, and not all of it"
                " for items that were removed or returned."
            )
        return None

    def _most_paid_back(self, returned: Mapping[str, int]) -> int:
        """Return the most that can be paid back for the pieces the customer no longer has."""
        left = dict(returned)
        back = Fraction(0)
        pieces, whole = 0, True
        for line in self.lines:
            came = min(line.quantity - line.removed, left.get(line.sku, 0))
            left[line.sku] = left.get(line.sku, 0) - came
            gone = line.removed + came
            pieces += gone
            back += Fraction(self.paid(line).minor * gone, line.quantity)
            whole = whole and gone == line.quantity
        # A shop rounds each piece by itself, by less than one minor unit.
        return self.total.minor if whole else ceil(back) + pieces


def _contradictions(order: Order) -> Iterator[str]:
    counted = (order.currency, order.shipping.decimals)
    for name in _AMOUNTS:
        amount: Money | None = getattr(order, name)
        if amount is not None and (amount.currency, amount.decimals) != counted:
            yield f"{name} is in {amount.currency}, the order in {order.currency}"
    if len({line.id for line in order.lines}) < len(order.lines):
        yield "two lines have the same id"
    if order.country is not None and not re.fullmatch(r"[A-Z]{2}", order.country):
        yield "its country is not two capital letters (ISO 3166-1)"
    for name in ("placed_at", "shipped_at", "delivered_at"):
        moment: datetime | None = getattr(order, name)
        if moment is not None and moment.tzinfo is None:
            yield f"{name} has no offset from UTC"
        if moment is not None and not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
            yield f"{name} is in the year {moment.year}"
    for line in order.lines:
        amounts = (line.price, line.tax, line.discount)
        if any((money.currency, money.decimals) != counted for money in amounts):
            yield f"line {line.id} is in another currency than the order ({counted[0]})"
        if line.quantity < 1:
            yield f"line {line.id} has {line.quantity} pieces"
        elif line.discount.minor > line.price.minor * line.quantity:
            yield f"the discount on line {line.id} is more than its price"
        elif not 0 <= line.removed <= line.quantity:
            yield f"line {line.id} has {line.quantity} pieces, of which {line.removed} were removed"
        if line.weight is not None and line.weight < 1:
            yield f"line {line.id} weighs {line.weight} grams"


_AMOUNTS = ("shipping", "fees", "charged", "credit", "refunded")

# So that adding days never leaves the range of Python's dates.
_FIRST_YEAR, _LAST_YEAR = 1970, 2999


class OrderSource(Protocol):
    """Where orders come from. Must be safe to call from several threads."""

    @property
    def name(self) -> str:
        """A name for people and records, such as ``shopify``."""
        ...

    def order(self, order_id: str, ticket: Ticket) -> Order | None:
        """Return the order as it is now, None if there is no such order.

        `order_id` is as the ticket spells it; the order's own ``id`` may be spelled differently.

        Raises `OrderError`, ``retryable`` if the shop system can't answer now.
        """
        ...


def plain_sku(text: str) -> str:
    """Return an SKU as it is compared: without outer spaces, in Unicode's form C.

    Forms and file systems send ``ö`` as one character or as two. Upper and lower case differ, and
    inner spaces count.
    """
    return normalize("NFC", text).strip()


def fits_glob(pattern: str, text: str) -> bool:
    """Return whether `text` matches `pattern`: ``*`` is any text, ``?`` any one character.

    Takes linear time. The first match of each piece between two stars is as good as a later one,
    so nothing is tried again. A regular expression would backtrack, and one long SKU could stop
    the process.
    """
    head, *rest = pattern.split("*")
    if not rest:
        return len(text) == len(head) and _is_at(head, text, 0)
    *middle, tail = rest
    end = len(text) - len(tail)
    start = len(head)
    if end < start or not _is_at(head, text, 0) or not _is_at(tail, text, end):
        return False
    for piece in middle:
        if "?" not in piece:
            found = text.find(piece, start, end)
        else:
            places = range(start, end - len(piece) + 1)
            found = next((place for place in places if _is_at(piece, text, place)), -1)
        if found < 0:
            return False
        start = found + len(piece)
    return True


def _is_at(piece: str, text: str, place: int) -> bool:
    if "?" not in piece:
        return text.startswith(piece, place)
    there = text[place : place + len(piece)]
    pairs = zip(piece, there, strict=False)
    return len(there) == len(piece) and all(a in ("?", b) for a, b in pairs)
