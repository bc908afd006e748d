"""What was bought, in one shape, whichever shop system says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Protocol

from dispatch_returns.errors import OrderError
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.returns.labels.provider import Address
from dispatch_returns.returns.orders.skus import plain_sku

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket

_NOTHING: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One line of an order, as it was charged.

    ``price`` is of one piece, as listed; ``tax`` and ``discount`` are of the whole line.
    ``weight`` is of one piece, in grams. ``id`` is unique in its order; two lines may have the
    same SKU. ``removed`` counts the pieces, of `quantity`, that the shop itself has taken out of
    the order or paid back since: they cannot come back.
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
    """An order: what it held, when it went where, and which payment it was paid with.

    ``id`` is the source's own: it names the order everywhere, however the ticket spells it.
    ``number`` is what people call the order, where that is something else.

    ``shipping`` is what the customer paid for it, tax included, and ``fees`` what else was
    charged on top of the lines: gift wrap, duties, a tip. ``charged`` is what the payment was
    charged, and ``credit`` what was paid in another way, with a gift card or store credit.
    ``refunded`` is what the shop says was paid back of it so far, whoever paid it. Each is None
    where the source does not say. ``hold`` is why the shop's own state wants a person, as the end
    of a sentence: ``was cancelled in Shopify``.

    ``prices_include_tax`` says whether ``price`` and ``discount`` of the lines do. ``country`` is
    where it went (ISO 3166-1, two letters, upper case), and ``address`` is the whole of it: who
    sends a return back. ``customer_email`` is whose order it is: only they are shown it and get
    labels for it. It is None where the source does not know whose it is. ``from_ticket``: the
    ticket itself says all of it, so it proves nothing, and shows its customer nothing new.
    ``customer_id`` is the shop's own. All times are aware.

    Raises `OrderError` where it contradicts itself: an amount in another currency, a discount
    that is more than the price, no pieces, no weight, a line's id twice, a time without its
    offset, more pieces removed than bought. Sums that do not add up are no contradiction but a
    `problem`.
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
        """Return what was paid for the whole of `line`, tax and discount counted."""
        full = line.price.minor * line.quantity - line.discount.minor
        tax = 0 if self.prices_include_tax else line.tax.minor
        return Money(full + tax, self.currency, self.shipping.decimals)

    @property
    def total(self) -> Money:
        """What was paid for all of it, shipping and fees counted."""
        charges = self.shipping if self.fees is None else self.shipping + self.fees
        return sum((self.paid(line) for line in self.lines), charges)

    def problem(self, returned: Mapping[str, int] = _NOTHING) -> str | None:
        """Return why nothing of this order is paid back before a person has looked, if so.

        The one place where an order's sums are checked, to the minor unit: lines, shipping and
        fees are what was charged and credited, and what was paid back belongs to pieces that
        the shop removed or that were `returned` (by SKU).
        """
        return next(_problems(self, returned), None)


def _problems(order: Order, returned: Mapping[str, int]) -> Iterator[str]:
    if order.hold is not None:
        yield f"The order {order.hold}."
    if order.credit is not None and order.credit.minor:
        yield (
            f"{order.credit} of the order was paid with a gift card or store credit, so how much"
            " goes back to the payment can't be calculated."
        )
    charged = order.charged
    if charged is not None and order.total != charged:
        yield (
            f"The order's lines, shipping and fees add up to {order.total}, but {charged} was"
            " charged, so the refund amount can't be calculated."
        )
    if order.refunded is not None:
        known = _paid_back(order, returned)
        if order.refunded.minor > known:
            yield (
                f"The shop has already refunded {order.refunded} of the order, and not all of it"
                " for items that were removed or returned."
            )


def _paid_back(order: Order, returned: Mapping[str, int]) -> int:
    """Return what at most was paid for the pieces that are no longer the customer's."""
    left = dict(returned)
    back = Fraction(0)
    pieces, whole = 0, True
    for line in order.lines:
        came = min(line.quantity - line.removed, left.get(line.sku, 0))
        left[line.sku] = left.get(line.sku, 0) - came
        gone = line.removed + came
        pieces += gone
        back += Fraction(order.paid(line).minor * gone, line.quantity)
        whole = whole and gone == line.quantity
    # A shop rounds each piece by itself, by less than one minor unit.
    return order.total.minor if whole else ceil(back) + pieces


def _contradictions(order: Order) -> Iterator[str]:
    counted = (order.currency, order.shipping.decimals)
    for name in _AMOUNTS:
        amount: Money | None = getattr(order, name)
        if amount is not None and (amount.currency, amount.decimals) != counted:
            yield f"{name} is in {amount.currency}, the order in {order.currency}"
    if len({line.id for line in order.lines}) < len(order.lines):
        yield "two lines have the same id"
    if order.country is not None and not _is_country(order.country):
        yield "its country is not two capital letters (ISO 3166-1)"
    for name in ("placed_at", "shipped_at", "delivered_at"):
        moment: datetime | None = getattr(order, name)
        if moment is not None and moment.tzinfo is None:
            yield f"{name} has no offset from UTC"
        if moment is not None and not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
            yield f"{name} is in the year {moment.year}"
    for line in order.lines:
        yield from _contradictions_of(line, counted)


def _contradictions_of(line: OrderLine, counted: tuple[str, int]) -> Iterator[str]:
    amounts = (line.price, line.tax, line.discount)
    if any((money.currency, money.decimals) != counted for money in amounts):
        yield f"line {line.id} is not counted in {counted[0]} like the order"
    if line.quantity < 1:
        yield f"line {line.id} has {line.quantity} pieces"
    elif line.discount.minor > line.price.minor * line.quantity:
        yield f"the discount on line {line.id} is more than its price"
    elif not 0 <= line.removed <= line.quantity:
        yield f"of the {line.quantity} pieces of line {line.id} {line.removed} were removed"
    if line.weight is not None and line.weight < 1:
        yield f"line {line.id} weighs {line.weight} grams"


def _is_country(text: str) -> bool:
    return len(text) == 2 and text.isascii() and text.isalpha() and text.isupper()


_AMOUNTS = ("shipping", "fees", "charged", "credit", "refunded")

# Calendar arithmetic must not leave what dates can hold.
_FIRST_YEAR, _LAST_YEAR = 1970, 2999


class OrderSource(Protocol):
    """Where orders come from. Must be safe to call from several threads."""

    @property
    def name(self) -> str:
        """A word for people and records, such as ``shopify``."""
        ...

    def order(self, order_id: str, ticket: Ticket) -> Order | None:
        """Return the order as it is now, None if there is no such order.

        `order_id` is what the ticket says, and the order's own ``id`` may be spelled otherwise.

        Raises `OrderError`: ``retryable`` when the shop system cannot say now.
        """
        ...
