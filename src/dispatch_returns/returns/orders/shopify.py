"""Orders from Shopify's GraphQL Admin API.

Source: https://shopify.dev/docs/api/admin-graphql/2026-01/objects/Order
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.shop_api import checked_url
from dispatch_returns.refunds.adapters.shopify.options import (
    API_VERSION,
    ShopifyOptions,
    graphql_path,
    shop_url,
)
from dispatch_returns.returns.orders.http import ShopApi
from dispatch_returns.returns.orders.model import Order, OrderLine
from dispatch_returns.returns.orders.records import Reader, reference, whole_address

if TYPE_CHECKING:
    import httpx

    from dispatch_returns.client import Ticket

FINAL_SALE = "final-sale"
"""The product tag that makes an article a final sale."""
_REMEDY = "check SHOPIFY_ACCESS_TOKEN and its scopes (read_orders, read_all_orders, read_products)"
_GID = re.compile(r"gid://shopify/Order/[0-9]{1,20}", re.ASCII)
_NAME = re.compile(r"#?[A-Za-z0-9._-]{1,64}", re.ASCII)
_HOLDS = {
    "AUTHORIZED": "is not paid yet in Shopify",
    "EXPIRED": "was never paid: its payment has expired in Shopify",
    "PARTIALLY_PAID": "is only partly paid in Shopify",
    "PENDING": "is not paid yet in Shopify",
    "REFUNDED": "is refunded in Shopify",
    "VOIDED": "was never paid: its payment was voided in Shopify",
}
"""Why an order is held whose financial status is neither paid nor partly refunded.

Source: https://shopify.dev/docs/api/admin-graphql/2026-01/enums/OrderDisplayFinancialStatus
"""
_CREDIT = frozenset({"gift_card", "shopify_store_credit"})
"""Gateways that take no payment: a person pays such money back to where it came from."""
_STRIPE = ("pi_", "ch_", "py_")
_GRAMS = {
    "GRAMS": Decimal(1),
    "KILOGRAMS": Decimal(1000),
    "OUNCES": Decimal("28.349523125"),
    "POUNDS": Decimal("453.59237"),
}
_MOST_TRANSACTIONS = 30
"""A query may cost 1,000 points, and each object costs one, whether it is there or not
(https://shopify.dev/docs/api/usage/limits). So the lists are short, and lines come in pages."""
_MONEY = "{ presentmentMoney { amount currencyCode } }"
_LINES = f"""
lineItems(first: 30, after: $after) {{
  nodes {{
    id sku title quantity currentQuantity
    originalUnitPriceSet {_MONEY}
    discountAllocations {{ allocatedAmountSet {_MONEY} }}
    taxLines {{ priceSet {_MONEY} }}
    product {{ productType tags }}
    variant {{ inventoryItem {{ measurement {{ weight {{ unit value }} }} }} }}
  }}
  pageInfo {{ hasNextPage endCursor }}
}}
"""
_FIELDS = f"""
id name email createdAt presentmentCurrencyCode taxesIncluded cancelledAt displayFinancialStatus
totalRefundedSet {_MONEY}
totalTipReceivedSet {_MONEY}
originalTotalDutiesSet {_MONEY}
originalTotalAdditionalFeesSet {_MONEY}
shippingAddress {{ name address1 address2 city zip provinceCode countryCodeV2 phone }}
fulfillments(first: 50) {{ createdAt deliveredAt status }}
shippingLines(first: 20) {{
  nodes {{ discountedPriceSet {_MONEY} taxLines {{ priceSet {_MONEY} }} }}
}}
transactions(first: {_MOST_TRANSACTIONS}) {{
  id kind status gateway authorizationCode paymentId parentTransaction {{ id }} amountSet {_MONEY}
}}
{_LINES}
"""
BY_NAME = (
    "query OrderByName($query: String!) { orders(first: 5, query: $query) { nodes { id name } } }"
)
BY_ID = f"query OrderById($id: ID!, $after: String) {{ order(id: $id) {{ {_FIELDS} }} }}"
MORE_LINES = f"query MoreLines($id: ID!, $after: String) {{ order(id: $id) {{ {_LINES} }} }}"


class _Answer(BaseModel):
    """The base of what is read of an answer. Other fields are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class _Paid(_Answer):
    amount: str
    currency_code: str


class _Bag(_Answer):
    presentment_money: _Paid


class _Tax(_Answer):
    price_set: _Bag


class _Discount(_Answer):
    allocated_amount_set: _Bag


class _Product(_Answer):
    product_type: str | None = None
    tags: tuple[str, ...] = ()


class _Weight(_Answer):
    unit: str
    value: Decimal


class _Measurement(_Answer):
    weight: _Weight | None = None


class _InventoryItem(_Answer):
    measurement: _Measurement | None = None


class _Variant(_Answer):
    inventory_item: _InventoryItem | None = None


class _Item(_Answer):
    id: str
    sku: str | None
    title: str | None
    quantity: int
    original_unit_price_set: _Bag
    discount_allocations: tuple[_Discount, ...]
    tax_lines: tuple[_Tax, ...]
    product: _Product | None
    current_quantity: int | None = None
    variant: _Variant | None = None


class _PageInfo(_Answer):
    has_next_page: bool
    end_cursor: str | None


class _Items(_Answer):
    nodes: tuple[_Item, ...]
    page_info: _PageInfo


class _ShippingLine(_Answer):
    discounted_price_set: _Bag
    tax_lines: tuple[_Tax, ...]


class _ShippingLines(_Answer):
    nodes: tuple[_ShippingLine, ...]


class _Fulfillment(_Answer):
    created_at: str
    delivered_at: str | None
    status: str


class _Address(_Answer):
    country_code_v2: str | None
    name: str | None = None
    address1: str | None = None
    address2: str | None = None
    city: str | None = None
    zip: str | None = None
    province_code: str | None = None
    phone: str | None = None


class _Parent(_Answer):
    id: str


class _Transaction(_Answer):
    kind: str
    status: str
    authorization_code: str | None
    payment_id: str | None
    id: str | None = None
    gateway: str | None = None
    parent_transaction: _Parent | None = None
    amount_set: _Bag | None = None


class _Found(_Answer):
    id: str
    name: str
    email: str | None
    created_at: str
    presentment_currency_code: str
    taxes_included: bool
    shipping_address: _Address | None
    fulfillments: tuple[_Fulfillment, ...]
    shipping_lines: _ShippingLines
    transactions: tuple[_Transaction, ...]
    line_items: _Items
    cancelled_at: str | None = None
    display_financial_status: str | None = None
    total_refunded_set: _Bag | None = None
    total_tip_received_set: _Bag | None = None
    original_total_duties_set: _Bag | None = None
    original_total_additional_fees_set: _Bag | None = None


class _Named(_Answer):
    id: str
    name: str


class _Founds(_Answer):
    nodes: tuple[_Named, ...]


class _Search(_Answer):
    orders: _Founds


class _ById(_Answer):
    order: _Found | None


class _Rest(_Answer):
    line_items: _Items


class _MoreLines(_Answer):
    order: _Rest


class _Extensions(_Answer):
    code: str | None = None


class _Error(_Answer):
    extensions: _Extensions | None = None


class _GraphQL(_Answer):
    """The whole answer: GraphQL reports errors with status 200."""

    data: dict[str, Any] | None = None
    errors: tuple[_Error, ...] = ()


class ShopifyOrders:
    """An `OrderSource` on Shopify, in the currency that the customer paid in.

    ``shop`` is ``acme.myshopify.com`` or a complete address; ``access_token`` is that of a custom
    app with the scopes ``read_orders`` (``read_all_orders`` for orders older than 60 days) and
    ``read_products``. An order is found by its name (``1234`` is ``#1234``) or its gid. Safe to
    call from several threads.
    """

    name = "shopify"
    options_model = ShopifyOptions

    def __init__(
        self,
        shop: str,
        access_token: str,
        *,
        api_version: str = API_VERSION,
        http_client: httpx.Client | None = None,
    ) -> None:
        self._path = graphql_path(api_version)
        self._api = ShopApi(
            "Shopify",
            checked_url("shop", shop_url(shop)),
            remedy=_REMEDY,
            headers={"X-Shopify-Access-Token": access_token},
            http_client=http_client,
        )

    @classmethod
    def from_options(cls, options: ShopifyOptions) -> Self:
        """Build it from its options. Raises `ConfigurationError`."""
        token = options.access_token.get_secret_value()
        return cls(options.shop, token, api_version=options.api_version)

    def close(self) -> None:
        """Close the connections, unless the HTTP client is the caller's own."""
        self._api.close()

    def order(self, order_id: str, ticket: Ticket) -> Order | None:
        """Return the order from Shopify, None if there is none. Raises `OrderError`."""
        del ticket
        found = self._find(order_id)
        if found is None:
            return None
        page, items = found.line_items, list(found.line_items.nodes)
        while page.page_info.has_next_page:
            after = page.page_info.end_cursor
            data = self._ask(MORE_LINES, id=found.id, after=after)
            page = self._api.read(_MoreLines, data).order.line_items
            if not page.nodes or page.page_info.end_cursor == after:
                raise self._api.error("gave the same page of lines twice")
            items += page.nodes
        return _order(order_id, found, items)

    def _find(self, order_id: str) -> _Found | None:
        gid = order_id if _GID.fullmatch(order_id) else self._gid_of(order_id)
        return None if gid is None else self._api.read(_ById, self._ask(BY_ID, id=gid)).order

    def _gid_of(self, order_id: str) -> str | None:
        """Return the id of the order with this name: the search reads no more, for its cost."""
        if not _NAME.fullmatch(order_id):
            return None  # no Shopify order has such a name, and it must not go into a query
        name = f"#{order_id.removeprefix('#')}"
        found = self._api.read(_Search, self._ask(BY_NAME, query=f'name:"{name}"'))
        # The search is by words: "#12" also finds "#12-A".
        nodes = [it for it in found.orders.nodes if it.name in {name, name[1:]}]
        if len(nodes) > 1:
            raise self._api.error(f"has several orders {name}: write the gid on the ticket")
        return nodes[0].id if nodes else None

    def _ask(self, document: str, **variables: Any) -> dict[str, Any]:
        """Return the data of an answer. Raises `OrderError`."""
        body = {"query": document, "variables": variables}
        answer = self._api.call("POST", self._path, json=body)
        if answer is None:
            raise self._api.error(
                "has no API at that address (404): check SHOPIFY_SHOP and SHOPIFY_API_VERSION"
            )
        content = self._api.read(_GraphQL, answer[0])
        codes = {it.extensions.code for it in content.errors if it.extensions}
        if "THROTTLED" in codes:
            raise self._api.error("takes no more queries at the moment", retryable=True)
        if "ACCESS_DENIED" in codes:
            raise self._api.refused("ACCESS_DENIED")
        if "INTERNAL_SERVER_ERROR" in codes:
            raise self._api.error("failed (INTERNAL_SERVER_ERROR)", retryable=True)
        if content.errors or content.data is None:
            raise self._api.error("did not accept the query: check SHOPIFY_API_VERSION")
        return content.data


def _order(order_id: str, found: _Found, items: list[_Item]) -> Order:
    read = Reader(order_id, found.presentment_currency_code)
    nothing = read.money("shipping", 0)
    shipping = nothing
    for line in found.shipping_lines.nodes:
        shipping += _amount(read, line.discounted_price_set)
        if not found.taxes_included:
            shipping += _sum(read, [tax.price_set for tax in line.tax_lines])
    sent = [it for it in found.fulfillments if it.status == "SUCCESS"]
    address = found.shipping_address
    taken = _Taken.of(read, found.transactions)
    fees = (
        found.total_tip_received_set,
        found.original_total_duties_set,
        found.original_total_additional_fees_set,
    )
    refunded = found.total_refunded_set
    hold = _HOLDS.get(found.display_financial_status or "")
    if len(found.transactions) >= _MOST_TRANSACTIONS:
        hold = "has more transactions in Shopify than are read"
    if found.cancelled_at is not None:
        hold = "was cancelled in Shopify"
    return Order(
        id=found.id,
        number=found.name.removeprefix("#"),
        currency=nothing.currency,
        lines=tuple(_line(read, item) for item in items),
        placed_at=read.time("createdAt", found.created_at),
        shipping=shipping,
        shipped_at=_latest(read, [it.created_at for it in sent]),
        delivered_at=_latest(read, [it.delivered_at for it in sent]),
        prices_include_tax=found.taxes_included,
        country=None if address is None else address.country_code_v2,
        customer_email=found.email or None,
        payment=taken.payment,
        as_payment=PaymentRef("reference", found.id),
        address=None
        if address is None
        else whole_address(
            name=address.name,
            street=address.address1,
            street2=address.address2,
            city=address.city,
            postal_code=address.zip,
            state=address.province_code,
            country=address.country_code_v2,
            phone=address.phone,
        ),
        fees=_sum(read, [bag for bag in fees if bag is not None]),
        charged=taken.charged,
        credit=taken.credit,
        refunded=None if refunded is None else _amount(read, refunded),
        hold=hold or taken.hold,
    )


def _line(read: Reader, item: _Item) -> OrderLine:
    product = item.product or _Product()
    stored = item.variant and item.variant.inventory_item
    measured = stored and stored.measurement
    weight = measured and measured.weight
    grams = None
    if weight and weight.unit in _GRAMS and weight.value > 0:  # 0 means that it is not known
        grams = math.ceil(weight.value * _GRAMS[weight.unit])
    return OrderLine(
        id=item.id,
        sku=(item.sku or "").strip() or item.id,
        quantity=item.quantity,
        price=_amount(read, item.original_unit_price_set),
        tax=_sum(read, [tax.price_set for tax in item.tax_lines]),
        discount=_sum(read, [it.allocated_amount_set for it in item.discount_allocations]),
        title=item.title,
        category=product.product_type or None,
        final_sale=FINAL_SALE in product.tags,
        weight=grams,
        removed=0 if item.current_quantity is None else item.quantity - item.current_quantity,
    )


def _amount(read: Reader, bag: _Bag) -> Money:
    paid = bag.presentment_money
    if paid.currency_code != read.currency:
        raise read.wrong("presentmentMoney", "is in another currency than the order")
    return read.money("presentmentMoney", paid.amount)


def _sum(read: Reader, bags: list[_Bag]) -> Money:
    return sum((_amount(read, bag) for bag in bags), read.money("sum", 0))


def _latest(read: Reader, moments: list[str | None] | list[str]) -> datetime | None:
    """Return when the last package was shipped or delivered, None if one of them has not been."""
    known = [read.time("fulfillments", moment) for moment in moments if moment is not None]
    return max(known) if known and len(known) == len(moments) else None


@dataclass(frozen=True, slots=True)
class _Taken:
    """What was paid by the transactions of an order, and with which payment."""

    payment: PaymentRef | None
    charged: Money | None
    credit: Money | None
    hold: str | None

    @classmethod
    def of(cls, read: Reader, transactions: tuple[_Transaction, ...]) -> _Taken:
        """Read them. An authorisation that was voided, or never captured, paid nothing."""
        done = [it for it in transactions if it.status == "SUCCESS"]
        by_id = {it.id: it for it in done if it.id is not None}
        captured = [it for it in done if it.kind in {"SALE", "CAPTURE"}]
        voided = {_first(it, by_id).id for it in done if it.kind == "VOID"}
        open_ones = [
            it
            for it in done
            if it.kind == "AUTHORIZATION" and (it.id is None or it.id not in voided)
        ]
        paid = [it for it in captured if it.gateway not in _CREDIT]
        firsts = (_first(it, by_id) for it in paid or open_ones)
        payments = {id(it): it for it in firsts}.values()  # each sale or authorisation once
        several = len(payments) > 1
        return cls(
            payment=None if several else _payment([*payments, *paid]),
            charged=_total(read, paid),
            credit=_total(read, [it for it in captured if it.gateway in _CREDIT]),
            hold="was paid with several payments in Shopify" if several else None,
        )


def _first(transaction: _Transaction, by_id: Mapping[str, _Transaction]) -> _Transaction:
    """Return the sale or authorisation that `transaction` belongs to."""
    for _ in range(len(by_id)):
        parent = transaction.parent_transaction
        if parent is None or parent.id not in by_id:
            break
        transaction = by_id[parent.id]
    return transaction


def _total(read: Reader, transactions: list[_Transaction]) -> Money | None:
    """Return what was paid by `transactions`, None if one of them has no amount."""
    bags = [it.amount_set for it in transactions]
    known = [bag for bag in bags if bag is not None]
    return _sum(read, known) if transactions and len(known) == len(bags) else None


def _payment(transactions: Iterable[_Transaction]) -> PaymentRef | None:
    """Return the Stripe payment that a transaction names, None if there is none."""
    for it in transactions:
        for value in (it.payment_id, it.authorization_code):
            if value is not None and value.startswith(_STRIPE):
                return reference(value)
    return None
