"""Orders from WooCommerce's REST API, version 3 (``wc/v3``).

Source: https://woocommerce.github.io/woocommerce-rest-api-docs/#orders
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict

from dispatch_returns.money import Money
from dispatch_returns.refunds.orders import plain_id
from dispatch_returns.workflow.orders.http import ShopApi, checked_url
from dispatch_returns.workflow.orders.model import Order, OrderLine
from dispatch_returns.workflow.orders.records import Reader, reference, whole_address
from dispatch_returns.workflow.orders.registry import PLUGINS

if TYPE_CHECKING:
    import httpx

    from dispatch_returns.api import Ticket
    from dispatch_returns.workflow.labels.provider import Address

FINAL_SALE = "final-sale"
"""The slug of the product tag that makes an article a final sale."""
_REMEDY = "check WOOCOMMERCE_KEY and WOOCOMMERCE_SECRET, which must be allowed to read"
_PAGE = "100"
_MOST_PAGES = 50
_NUMBER = re.compile(r"[A-Za-z0-9#._/-]{1,64}", re.ASCII)


class _Answer(BaseModel):
    """What is read of an answer; whatever else there is, is left."""

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


class _Found(_Answer):
    id: int
    number: str
    currency: str
    date_created_gmt: str
    date_completed_gmt: str | None
    customer_id: int = 0
    shipping_total: str
    shipping_tax: str
    transaction_id: str | None
    line_items: tuple[_Item, ...]
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
    """An `OrderSource` on a WooCommerce shop: ``url``, and a consumer key and its secret.

    An order is found by its number: where that is its id too, in one call, and otherwise by a
    search. When a parcel arrived WooCommerce does not know: an order that is ``completed`` was
    shipped then. Safe to call from several threads.
    """

    name = "woocommerce"

    def __init__(
        self, url: str, key: str, secret: str, *, http_client: httpx.Client | None = None
    ) -> None:
        self._api = ShopApi(
            "WooCommerce",
            f"{checked_url('WOOCOMMERCE_URL', url)}/wp-json/wc/v3",
            remedy=_REMEDY,
            auth=(key, secret),
            http_client=http_client,
        )

    @classmethod
    def from_settings(cls, options: Mapping[str, str]) -> Self:
        """Build it from ``url``, ``key`` and ``secret``."""
        url, key, secret = (
            PLUGINS.required(cls.name, options, name) for name in ("url", "key", "secret")
        )
        return cls(url, key, secret)

    def close(self) -> None:
        """Close the connections, unless the HTTP client is yours."""
        self._api.close()

    def order(self, order_id: str, ticket: Ticket) -> Order | None:
        """Ask WooCommerce. Raises `OrderError`."""
        del ticket
        if not _NUMBER.fullmatch(order_id):
            return None
        found = self._find(plain_id(order_id))
        return None if found is None else _order(order_id, found, self._products(found))

    def _find(self, number: str) -> _Found | None:
        if number.isdecimal() and (answer := self._api.call("GET", f"/orders/{number}")):
            found = self._api.read(_Found, answer[0])
            # Where a plugin numbers the orders, another one may have this id.
            if found.number == number:
                return found
        orders = (self._api.read(_Found, it) for it in self._all("/orders", search=number))
        same = [it for it in orders if it.number == number]
        if len(same) > 1:
            raise self._api.error(f"knows several orders {number}")
        return same[0] if same else None

    def _products(self, found: _Found) -> dict[int, _Product]:
        """Return the products of an order: its lines say neither category nor tags."""
        ids = sorted({it.product_id for it in found.line_items if it.product_id})
        if not ids:
            return {}
        entries = self._all("/products", include=",".join(map(str, ids)))
        products = [self._api.read(_Product, it) for it in entries]
        return {it.id: it for it in products}

    def _all(self, path: str, **params: str) -> Iterator[Mapping[str, Any]]:
        """Give everything of a list, page after page, as the header X-WP-TotalPages counts them."""
        for page in range(1, _MOST_PAGES + 1):
            query = {**params, "per_page": _PAGE, "page": str(page)}
            answer = self._api.call("GET", path, params=query)
            if answer is None:
                raise self._api.error("has no REST API there (404): check WOOCOMMERCE_URL")
            entries, headers = answer
            yield from self._api.read(_Page, {"entries": entries}).entries
            pages = headers.get("X-WP-TotalPages", "1")
            if not pages.isdecimal() or page >= int(pages):
                return
        raise self._api.error(f"has more than {_MOST_PAGES} pages of {path}")


def _order(order_id: str, found: _Found, products: Mapping[int, _Product]) -> Order:
    read = Reader(order_id, found.currency)
    shipping = read.money("shipping_total", found.shipping_total)
    return Order(
        id=found.number,
        currency=shipping.currency,
        lines=tuple(_line(read, item, products) for item in found.line_items),
        placed_at=read.time("date_created_gmt", found.date_created_gmt),
        shipping=shipping + read.money("shipping_tax", found.shipping_tax),
        shipped_at=read.moment("date_completed_gmt", found.date_completed_gmt),
        # WooCommerce takes the tax out of the line totals even where the prices include it.
        prices_include_tax=False,
        country=found.shipping.country or found.billing.country or None,
        customer_email=found.billing.email or None,
        customer_id=str(found.customer_id) if found.customer_id else None,
        payment=reference(found.transaction_id) if found.transaction_id else None,
        address=_sent_to(found.shipping) or _sent_to(found.billing),
    )


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


def _line(read: Reader, item: _Item, products: Mapping[int, _Product]) -> OrderLine:
    if item.quantity < 1:
        raise read.wrong("quantity", "is less than 1")
    listed, paid = read.money("subtotal", item.subtotal), read.money("total", item.total)
    # The price of one piece need not come out even: it is rounded up, and the discount takes
    # the rest, so that the line costs what was paid for it.
    price = -(-max(listed, paid).minor // item.quantity)
    product = products.get(item.product_id, _Product(id=item.product_id))
    return OrderLine(
        id=str(item.id),
        sku=item.sku or str(item.variation_id or item.product_id),
        quantity=item.quantity,
        price=Money(price, paid.currency, paid.decimals),
        tax=read.money("total_tax", item.total_tax),
        discount=Money(price * item.quantity - paid.minor, paid.currency, paid.decimals),
        title=item.name,
        category=next((it.slug for it in product.categories), None),
        final_sale=any(it.slug == FINAL_SALE for it in product.tags),
    )
