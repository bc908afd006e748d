"""The GraphQL documents of a refund, and the answers as Shopify documents them.

Sources: https://shopify.dev/docs/api/admin-graphql/2026-04/mutations/refundCreate and
https://shopify.dev/docs/api/usage/implementing-idempotency.

A query may cost 1,000 points, and each object costs one, whether it is there or not
(https://shopify.dev/docs/api/usage/limits). So the lists are short: `ORDER` costs some 450 points,
and `REFUNDED` some 460. A list that is full may be cut off: nothing is concluded from it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

_MONEY = "{ presentmentMoney { amount currencyCode } }"
MOST_REFUNDS, MOST_TRANSACTIONS, MOST_OF_REFUND, MOST_LISTED = 15, 25, 5, 3
"""Of an order; of a refund; and of both where many orders are listed."""


def _refund(transactions: int) -> str:
    return f"""
id note createdAt
transactions(first: {transactions}) {{
  nodes {{ id kind status amountSet {_MONEY} parentTransaction {{ id }} }}
}}
"""


_ORDER = f"""
id presentmentCurrencyCode
disputes {{ id status }}
transactions(first: {MOST_TRANSACTIONS}) {{
  id kind status gateway amountSet {_MONEY} parentTransaction {{ id }}
}}
refunds(first: {MOST_REFUNDS}) {{ {_refund(MOST_OF_REFUND)} }}
"""
ORDER = f"query RefundOrder($id: ID!) {{ order(id: $id) {{ {_ORDER} }} }}"
LINES = """
query RefundableLines($id: ID!, $after: String) {
  order(id: $id) {
    lineItems(first: 100, after: $after) {
      nodes { id sku refundableQuantity }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""
REFUND = f"""
mutation Refund($input: RefundInput!, $key: String!) {{
  refundCreate(input: $input) @idempotent(key: $key) {{
    refund {{ {_refund(MOST_OF_REFUND)} }}
    userErrors {{ field message }}
  }}
}}
"""
REFUNDED = f"""
query RefundedOrders($query: String!, $after: String) {{
  orders(first: 10, after: $after, query: $query, sortKey: UPDATED_AT) {{
    nodes {{
      id presentmentCurrencyCode
      refunds(first: {MOST_LISTED}) {{ {_refund(MOST_LISTED)} }}
    }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}
"""
SHOP = """
query ShopOfToken {
  shop { id }
  currentAppInstallation { accessScopes { handle } }
}
"""


class _Answer(BaseModel):
    """The base of what is read of an answer. Other fields are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class _Amount(_Answer):
    amount: str
    currency_code: str


class Bag(_Answer):
    """An amount; only the currency in which the customer paid is read."""

    presentment_money: _Amount


class _Node(_Answer):
    id: str


class ShopifyTransaction(_Answer):
    """A payment, or what went back of it. A sale, an authorisation and a capture are payments."""

    id: str
    kind: str
    status: str
    amount_set: Bag
    gateway: str | None = None
    parent_transaction: _Node | None = None


class _Transactions(_Answer):
    nodes: tuple[ShopifyTransaction, ...]


class ShopifyRefund(_Answer):
    """A refund of an order. Our own reference is in the note, as a refund has no metadata."""

    id: str
    note: str | None
    created_at: datetime
    transactions: _Transactions


class _Dispute(_Answer):
    status: str


class RefundedOrder(_Answer):
    """An order with its refunds, as the list of all orders has it."""

    id: str
    presentment_currency_code: str
    refunds: tuple[ShopifyRefund, ...] = ()


class PaidOrder(RefundedOrder):
    """An order with everything that a refund of it needs."""

    transactions: tuple[ShopifyTransaction, ...]
    disputes: tuple[_Dispute, ...] = ()


class OrderFound(_Answer):
    """The answer to `ORDER`."""

    order: PaidOrder | None


class Line(_Answer):
    """A line of an order. What was refunded already is not refundable."""

    id: str
    sku: str | None
    refundable_quantity: int


class _PageInfo(_Answer):
    has_next_page: bool
    end_cursor: str | None


class _Lines(_Answer):
    nodes: tuple[Line, ...]
    page_info: _PageInfo


class _LinesOfOrder(_Answer):
    line_items: _Lines


class LinesFound(_Answer):
    """The answer to `LINES`."""

    order: _LinesOfOrder | None


class UserError(_Answer):
    """Why Shopify did not do it. It has no code."""

    message: str
    field: tuple[str, ...] | None = None


class _Created(_Answer):
    refund: ShopifyRefund | None
    user_errors: tuple[UserError, ...]


class RefundCreated(_Answer):
    """The answer to `REFUND`."""

    refund_create: _Created | None


class _Orders(_Answer):
    nodes: tuple[RefundedOrder, ...]
    page_info: _PageInfo


class OrdersFound(_Answer):
    """The answer to `REFUNDED`."""

    orders: _Orders


class _Scope(_Answer):
    handle: str


class _Installation(_Answer):
    access_scopes: tuple[_Scope, ...]


class TokenInfo(_Answer):
    """The answer to `SHOP`."""

    shop: _Node
    current_app_installation: _Installation


class _Extensions(_Answer):
    code: str | None = None


class _Error(_Answer):
    message: str = ""
    extensions: _Extensions | None = None


class GraphQL(_Answer):
    """The whole answer: GraphQL reports errors with status 200."""

    data: dict[str, Any] | None = None
    errors: tuple[_Error, ...] = ()
