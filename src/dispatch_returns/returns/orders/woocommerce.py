"""Orders from WooCommerce's REST API, version 3 (``wc/v3``).

Source: https://woocommerce.github.io/woocommerce-rest-api-docs/#orders
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict

from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.shop_api import checked_url
from dispatch_returns.refunds.adapters.woocommerce import WooCommerceOptions
from dispatch_returns.refunds.order_ids import plain_id
from dispatch_returns.returns.orders.http import ShopApi
from dispatch_returns.returns.orders.model import Order, OrderLine
from dispatch_returns.returns.orders.records import (
    Reader,
    nearest,
    reference,
    rounded,
    whole_address,
)

if TYPE_CHECKING:
    import httpx

    from dispatch_returns.client import Ticket
    from dispatch_returns.returns.labels.provider import Address

FINAL_SALE = "final-sale"
"""The slug of the product tag that makes an article a final sale."""
_REMEDY = "check WOOCOMMERCE_KEY and WOOCOMMERCE_SECRET, which must be allowed to read"
_PAGE = "100"
_MOST_PAGES = 50
_EXACT = "6"
"""The decimals to request: more than money has, to see the amounts before the shop rounds them."""
_HOLDS = {
    "refunded": "is refunded in WooCommerce",
    "cancelled": "was cancelled in WooCommerce",
    "failed": "was not paid: its payment failed in WooCommerce",
    "trash": "is in the bin in WooCommerce",
    "pending": "is not paid yet in WooCommerce",
    "on-hold": "is not paid yet in WooCommerce (on hold)",
    "checkout-draft": "is not paid yet in WooCommerce (draft)",
    "auto-draft": "is not paid yet in WooCommerce (draft)",
}
"""Why an order of WooCommerce's own statuses is held. A plugin's status, such as ``shipped``, is
not.

Source: https://woocommerce.com/document/managing-orders/order-statuses/
"""
_REFUNDED_ITEM = "_refunded_item_id"
"""The meta key with which a line of a refund names the line of the order.

Source: https://woocommerce.github.io/woocommerce-rest-api-docs/#order-refunds
"""
_NUMBER = re.compile(r"[A-Za-z0-9#._/-]{1,64}", re.ASCII)


class _Answer(BaseModel):
    """The base of what is read of an answer. Other fields are ignored."""

    model_config = ConfigDict(frozen=True)


class _Item(_Answer):
    id: int
    name: str | None
    product_id: int
    variation_id: int
    quantity: int
    sku: str | None
    subtotal: str
    total: str
    total_tax: str


class _Address(_Answer):
    first_name: str | None = None
    last_name: str | None = None
    address_1: str | None = None
    address_2: str | None = None
    city: str | None = None
    state: str | None = None
    postcode: str | None = None
    country: str | None = None
    phone: str | None = None
    email: str | None = None


class _Fee(_Answer):
    total: str
    total_tax: str


class _RefundTotal(_Answer):
    total: str


class _Meta(_Answer):
    key: str
    value: Any = None


class _RefundedItem(_Answer):
    quantity: int
    meta_data: tuple[_Meta, ...] = ()


class _Refund(_Answer):
    line_items: tuple[_RefundedItem, ...] = ()


class _Found(_Answer):
    id: int
    number: str
    status: str
    currency: str
    total: str
    date_created_gmt: str
    date_completed_gmt: str | None
    customer_id: int = 0
    shipping_total: str
    shipping_tax: str
    transaction_id: str | None
    line_items: tuple[_Item, ...]
    fee_lines: tuple[_Fee, ...] = ()
    refunds: tuple[_RefundTotal, ...] = ()
    billing: _Address
    shipping: _Address


class _Term(_Answer):
    slug: str


class _Product(_Answer):
    id: int
    categories: tuple[_Term, ...] = ()
    tags: tuple[_Term, ...] = ()


class _Page(_Answer):
    entries: tuple[dict[str, Any], ...]


class WooCommerceOrders:
    """An `OrderSource` on a WooCommerce shop: its ``url``, and a consumer key and its secret.

    An order is found by its number: in one call if the number is also its id, otherwise by a
    search. WooCommerce does not know when a package arrived; an order counts as shipped when it
    became ``completed``. Safe to call from several threads.
    """

    name = "woocommerce"
    options_model = WooCommerceOptions

    def __init__(
        self, url: str, key: str, secret: str, *, http_client: httpx.Client | None = None
    ) -> None:
        self._api = ShopApi(
            "WooCommerce",
            f"{checked_url('url', url)}/wp-json/wc/v3",
            remedy=_REMEDY,
            auth=(key, secret),
            http_client=http_client,
        )

    @classmethod
    def from_options(cls, options: WooCommerceOptions) -> Self:
        """Build it from its options. Raises `ConfigurationError`."""
        return cls(options.url, options.key, options.secret.get_secret_value())

    def close(self) -> None:
        """Close the connections, unless the HTTP client is the caller's own."""
        self._api.close()

    def order(self, order_id: str, ticket: Ticket) -> Order | None:
        """Return the order from WooCommerce, None if there is none. Raises `OrderError`."""
        del ticket
        if not _NUMBER.fullmatch(order_id):
            return None
        found = self._find(plain_id(order_id))
        if found is None:
            return None
        return _order(order_id, found, self._products(found), self._removed(found))

    def _find(self, number: str) -> _Found | None:
        exact = {"dp": _EXACT}
        if number.isdecimal() and (
            answer := self._api.call("GET", f"/orders/{number}", params=exact)
        ):
            found = self._api.read(_Found, answer[0])
            # If a plugin numbers the orders, this id may be that of another order.
            if found.number == number:
                return found
        orders = (self._api.read(_Found, it) for it in self._all("/orders", search=number, **exact))
        same = [it for it in orders if it.number == number]
        if len(same) > 1:
            raise self._api.error(f"has several orders with the number {number}")
        return same[0] if same else None

    def _removed(self, found: _Found) -> Mapping[int, int]:
        """Return how many pieces of each line the shop has refunded, if its refunds name them."""
        removed = Counter[int]()
        if not found.refunds:
            return removed
        answer = self._api.call("GET", f"/orders/{found.id}/refunds", params={"per_page": _PAGE})
        entries = () if answer is None else self._api.read(_Page, {"entries": answer[0]}).entries
        for entry in entries:
            for item in self._api.read(_Refund, entry).line_items:
                named = [str(it.value) for it in item.meta_data if it.key == _REFUNDED_ITEM]
                if len(named) == 1 and named[0].isdecimal():
                    removed[int(named[0])] += abs(item.quantity)
        return removed

    def _products(self, found: _Found) -> dict[int, _Product]:
        """Return the products of an order, as its lines have neither categories nor tags."""
        ids = sorted({it.product_id for it in found.line_items if it.product_id})
        if not ids:
            return {}
        entries = self._all("/products", include=",".join(map(str, ids)))
        products = [self._api.read(_Product, it) for it in entries]
        return {it.id: it for it in products}

    def _all(self, path: str, **params: str) -> Iterator[Mapping[str, Any]]:
        """Return all entries of a list, page by page; the header X-WP-TotalPages counts them."""
        for page in range(1, _MOST_PAGES + 1):
            query = {**params, "per_page": _PAGE, "page": str(page)}
            answer = self._api.call("GET", path, params=query)
            if answer is None:
                raise self._api.error(
                    "has no REST API at that address (404): check WOOCOMMERCE_URL"
                )
            entries, headers = answer
            yield from self._api.read(_Page, {"entries": entries}).entries
            pages = headers.get("X-WP-TotalPages", "1")
            if not pages.isdecimal() or page >= int(pages):
                return
        raise self._api.error(f"has more than {_MOST_PAGES} pages of {path}")


def _order(
    order_id: str,
    found: _Found,
    products: Mapping[int, _Product],
    removed: Mapping[int, int],
) -> Order:
    read = Reader(order_id, found.currency)
    charged = nearest(read.exact("total", found.total))
    *paid, shipping, fees = _paid(read, found, charged)
    return Order(
        id=found.number,
        currency=read.minor(0).currency,
        lines=tuple(
            _line(read, item, products, minor, removed.get(item.id, 0))
            for item, minor in zip(found.line_items, paid, strict=True)
        ),
        placed_at=read.time("date_created_gmt", found.date_created_gmt),
        shipping=read.minor(shipping),
        shipped_at=read.moment("date_completed_gmt", found.date_completed_gmt),
        # WooCommerce takes the tax out of the line totals even if the prices include it.
        prices_include_tax=False,
        country=found.shipping.country or found.billing.country or None,
        customer_email=found.billing.email or None,
        payment=reference(found.transaction_id) if found.transaction_id else None,
        as_payment=PaymentRef("reference", str(found.id)),
        address=_sent_to(found.shipping) or _sent_to(found.billing),
        fees=read.minor(fees),
        charged=read.minor(charged),
        refunded=read.minor(
            nearest(sum((abs(read.exact("refunds", it.total)) for it in found.refunds), _ZERO))
        ),
        hold=_HOLDS.get(found.status),
    )


def _paid(read: Reader, found: _Found, charged: int) -> list[int]:
    """Return what was paid for each line, then for the shipping, then in fees, tax included.

    A fee below zero is a discount on the whole order: the lines share it by their price. Shops
    round each amount or only the total, so the amounts are adjusted to add up to the total, if
    they differ only by rounding.
    """
    lines = [
        read.exact("total", it.total) + read.exact("total_tax", it.total_tax)
        for it in found.line_items
    ]
    shipping = read.exact("shipping_total", found.shipping_total)
    shipping += read.exact("shipping_tax", found.shipping_tax)
    fees = [
        read.exact("fee_lines", it.total) + read.exact("fee_lines", it.total_tax)
        for it in found.fee_lines
    ]
    for number, amount in enumerate([*lines, shipping], start=1):
        if amount < 0:
            what = f"line {number}" if number <= len(lines) else "shipping"
            raise read.wrong(
                what,
                "is below zero (a trade-in, for example), so the price of the other lines can't"
                " be calculated. Work out the amount by hand, write it into refund_amount and set"
                " the ticket to refunded",
            )
    whole, off = sum(lines, _ZERO), -sum((it for it in fees if it < 0), _ZERO)
    if off > whole:
        raise read.wrong("fee_lines", "take off more than the lines cost")
    if off:
        lines = [amount * (whole - off) / whole for amount in lines]
    extra = sum((it for it in fees if it > 0), _ZERO)
    # Rounding moves each amount, each tax and the total by half a unit at most.
    slack = Fraction(2 * (len(lines) + 1 + len(fees)) + 1, 2)
    return rounded([*lines, shipping, extra], charged, slack)


def _sent_to(address: _Address) -> Address | None:
    return whole_address(
        name=" ".join(it for it in (address.first_name, address.last_name) if it),
        street=address.address_1,
        street2=address.address_2,
        city=address.city,
        postal_code=address.postcode,
        state=address.state,
        country=address.country,
        phone=address.phone,
    )


def _line(
    read: Reader, item: _Item, products: Mapping[int, _Product], minor: int, removed: int
) -> OrderLine:
    """Return a line for which `minor` units were paid, tax included."""
    if item.quantity < 1:
        raise read.wrong("quantity", "is less than 1")
    tax = min(minor, max(0, nearest(read.exact("total_tax", item.total_tax))))
    listed, paid = nearest(read.exact("subtotal", item.subtotal)), minor - tax
    # The price of one piece may not be a whole number: it is rounded up, and the discount takes
    # the difference, so that the line costs exactly what was paid for it.
    price = -(-max(listed, paid) // item.quantity)
    product = products.get(item.product_id, _Product(id=item.product_id))
    # A deleted product has no id any more; its line is still an article of its own.
    product_id = item.variation_id or item.product_id
    return OrderLine(
        id=str(item.id),
        sku=(item.sku or "").strip() or (str(product_id) if product_id else f"line-{item.id}"),
        quantity=item.quantity,
        price=read.minor(price),
        tax=read.minor(tax),
        discount=read.minor(price * item.quantity - paid),
        title=item.name,
        category=next((it.slug for it in product.categories), None),
        final_sale=any(it.slug == FINAL_SALE for it in product.tags),
        removed=min(removed, item.quantity),
    )


_ZERO = Fraction(0)
