"""Orders for tests: built by hand, and any of them at all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from dispatch_returns.money import Money, stripe_rule
from dispatch_returns.returns.orders.model import Order, OrderLine
from dispatch_returns.returns.policy.verdict import Item, ReturnRequest

PLACED = datetime(2026, 1, 1, 12, tzinfo=UTC)


def money(minor: int, currency: str = "EUR") -> Money:
    return Money(minor, currency, stripe_rule(currency).decimals)


def line(sku: str = "A", quantity: int = 1, price: int = 1000, **more: Any) -> OrderLine:
    """A line without tax and discount, unless told otherwise (minor units)."""
    currency = more.pop("currency", "EUR")
    amounts = {name: money(more.pop(name, 0), currency) for name in ("tax", "discount")}
    values: dict[str, Any] = {"id": sku, **amounts, **more}
    return OrderLine(sku=sku, quantity=quantity, price=money(price, currency), **values)


def order(*lines: OrderLine, shipping: int = 0, **more: Any) -> Order:
    """An order that was delivered on the day it was placed, unless told otherwise."""
    currency = more.pop("currency", "EUR")
    values = {"placed_at": PLACED, "delivered_at": PLACED} | more
    return Order(
        id="1234",
        currency=currency,
        lines=lines or (line(),),
        shipping=money(shipping, currency),
        **values,
    )


def request(*items: Item, at: datetime = PLACED, **more: Any) -> ReturnRequest:
    """A request for one piece of A, unless told otherwise."""
    values = {"ticket_id": "tkt_1", "order_id": "1234", "reason": "wrong_size"} | more
    return ReturnRequest(items=items or (Item("A"),), requested_at=at, **values)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """Any order whose total can be paid: up to four lines, some with the same SKU."""
    currency = draw(st.sampled_from(["EUR", "JPY", "ISK", "UGX", "KWD", "USD"]))
    step = stripe_rule(currency).step
    lines = [draw(_line(str(number), currency)) for number in range(draw(st.integers(1, 4)))]
    inclusive = draw(st.booleans())
    bare = order(*lines, currency=currency, prices_include_tax=inclusive)
    # Lines may be uneven; what was paid in all is a multiple of the step.
    shipping = draw(st.integers(0, 20)) * step + -bare.total.minor % step
    return order(*lines, currency=currency, prices_include_tax=inclusive, shipping=shipping)


@st.composite
def _line(draw: st.DrawFn, number: str, currency: str) -> OrderLine:
    quantity, price = draw(st.integers(1, 5)), draw(st.integers(0, 2000))
    return line(
        draw(st.sampled_from("ABC")),
        quantity,
        price,
        id=number,
        currency=currency,
        tax=draw(st.integers(0, 700)),
        discount=draw(st.integers(0, quantity * price)),
    )


def pieces_of(bought: Order) -> list[str]:
    """Each piece of an order, by its SKU."""
    return [it.sku for it in bought.lines for _ in range(it.quantity)]


def split(items: Sequence[Item], draw: Callable[..., Any]) -> list[list[Item]]:
    """The same items in up to four parcels, in any order."""
    shuffled = draw(st.permutations(list(items)))
    cuts = sorted(draw(st.lists(st.integers(0, len(items)), max_size=3)))
    edges = [0, *cuts, len(items)]
    return [shuffled[a:b] for a, b in itertools.pairwise(edges)]
