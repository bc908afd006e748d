"""The stand-in for Shopify: orders, their transactions and refunds, on the Admin API's GraphQL.

It runs no GraphQL: it answers the named operations of a refund and of an order source with all
their fields. What `refundCreate` takes is checked against the fields of `RefundInput` in version
2026-04.
"""

from __future__ import annotations

import hmac
import json
import re
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from itertools import count
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from dispatch_sandbox.shops.control import control_routes
from dispatch_sandbox.shops.faults import ShopApp, ShopFault, ShopFaults, ShopReply

SHOPIFY_TOKEN = "shpat_sandbox"  # noqa: S105 - a test double's own
_KEY_SECONDS = 24 * 3600
_NAME = re.compile(r"\b(?:query|mutation)\s+(\w+)")
_INPUT = {
    "allowOverRefunding",
    "currency",
    "discrepancyReason",
    "note",
    "notify",
    "orderId",
    "processedAt",
    "refundDuties",
    "refundLineItems",
    "refundMethods",
    "shipping",
    "transactions",
}
_TRANSACTION = {"amount", "gateway", "kind", "orderId", "parentId"}
_LINE = {"lineItemId", "locationId", "quantity", "restockType"}
Answer = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(slots=True)
class _Order:
    id: str
    currency: str
    transactions: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    refunds: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    disputes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    refund_status: str = "SUCCESS"
    email: str = "jane@example.com"


class ShopifyState:
    """A shop. Safe to use from any thread. ``clock`` gives seconds since 1970."""

    default_gateway = "shopify_payments"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.faults = ShopFaults()
        self.refunds_made: list[dict[str, Any]] = []
        """What every call of `refundCreate` was given that made a refund, in order."""
        self._clock = clock
        self._orders: dict[str, _Order] = {}
        self._keys: dict[str, tuple[str, dict[str, Any], float]] = {}
        self._ids = count(1001)
        self._lock = threading.RLock()

    def pay(
        self,
        amount: str,
        currency: str,
        *,
        gateway: str = "shopify_payments",
        lines: Sequence[tuple[str, int]] = (("SKU-1", 2),),
    ) -> str:
        """Add an order that was paid with `amount` major units; return its gid."""
        with self._lock:
            gid = self._gid("Order")
            paid = self._transaction("SALE", gateway, amount, currency)
            self._orders[gid] = _Order(
                gid,
                currency,
                [paid],
                [
                    {
                        "id": self._gid("LineItem"),
                        "sku": sku,
                        "quantity": quantity,
                        "refundableQuantity": quantity,
                    }
                    for sku, quantity in lines
                ],
            )
            return gid

    def pay_more(self, order_id: str, amount: str, gateway: str) -> None:
        """Pay another part of an order with another payment."""
        with self._lock:
            order = self._orders[order_id]
            order.transactions.append(self._transaction("SALE", gateway, amount, order.currency))

    def dispute(self, order_id: str) -> None:
        """Have the customer's bank dispute the payment."""
        self._orders[order_id].disputes.append({"id": "d", "status": "NEEDS_RESPONSE"})

    def bounce(self, order_id: str) -> None:
        """Have the order's refunds fail at the gateway, after they were accepted."""
        self._orders[order_id].refund_status = "FAILURE"

    def settle(self, order_id: str, status: str) -> None:
        """Give all refunds of an order a transaction status: ``PENDING``, ``SUCCESS``."""
        with self._lock:
            order = self._orders[order_id]
            moves = [it for refund in order.refunds for it in refund["transactions"]["nodes"]]
            for it in [*order.transactions, *moves]:
                if it["kind"] == "REFUND":
                    it["status"] = status

    def refund_externally(self, order_id: str, amount: str) -> str:
        """Refund a part in Shopify's admin, as a person does; return the refund's gid."""
        with self._lock:
            order = self._orders[order_id]
            taken = next(it for it in order.transactions if it["kind"] == "SALE")
            move = {"amount": amount, "gateway": taken["gateway"], "parentId": taken["id"]}
            made: str = self._refund(order, {"note": "too late", "transactions": [move]})["id"]
            return made

    def refunds_of(self, order_id: str) -> list[dict[str, Any]]:
        """Return an order's refunds, as Shopify shows them."""
        return list(self._orders[order_id].refunds)

    def webhook(self, order_id: str, secret: str) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the signed webhook that a refund of the order causes."""
        body = json.dumps({"id": 1, "order_id": int(order_id.rpartition("/")[2])}).encode()
        signature = b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
        headers = {
            "X-Shopify-Topic": "refunds/create",
            "X-Shopify-Event-Id": "evt-1",
            "X-Shopify-Hmac-Sha256": signature,
        }
        return headers, body

    def answer(self, request: Request, data: dict[str, Any]) -> ShopReply:
        """Answer one GraphQL request."""
        if request.headers.get("x-shopify-access-token") != SHOPIFY_TOKEN:
            return ShopReply(401, {"errors": "[API] Invalid API key or access token"})
        document = str(data.get("query"))
        variables: dict[str, Any] = data.get("variables") or {}
        named = _NAME.search(document)
        operations: Mapping[str, Answer] = {
            "RefundOrder": self._order,
            "RefundableLines": self._lines,
            "OrderById": lambda given: {"order": self._whole(given["id"])},
            "OrderByName": self._by_name,
            "RefundedOrders": self._refunded,
            "ShopOfToken": self._shop,
        }
        name = named[1] if named else ""
        if name == "Refund":
            return self._create(document, variables)
        if name not in operations:
            return ShopReply(200, _error("undefinedField", f"no operation {name}"))
        with self._lock:
            return ShopReply(200, {"data": operations[name](variables)})

    def _create(self, document: str, variables: dict[str, Any]) -> ShopReply:
        faults = self.faults
        if faults.take("rate_limited"):
            return ShopReply(200, _error("THROTTLED", "Throttled"))
        if faults.take("broken_before"):
            return ShopReply(500, {"errors": "Internal Server Error"})
        if faults.take("in_progress"):
            return ShopReply(200, _error("IDEMPOTENCY_CONCURRENT_REQUEST", "in progress"))
        refused = faults.take("refused")
        lost, broken = faults.take("lost_answer"), faults.take("broken_answer")
        content = self._refund_create(document, variables, refused)
        if broken:
            return ShopReply(500, {"errors": "Internal Server Error"})
        return ShopReply(200, content, lost=lost is not None)

    def _refund_create(
        self, document: str, variables: dict[str, Any], refused: ShopFault | None
    ) -> dict[str, Any]:
        if "@idempotent(key: $key)" not in document or not variables.get("key"):
            return _error("BAD_REQUEST", "The @idempotent directive is required for this mutation")
        given: dict[str, Any] = variables.get("input") or {}
        problem = _problem(given)
        if problem is not None:
            return _error("INVALID_VARIABLE", problem)
        key, written = str(variables["key"]), json.dumps(given, sort_keys=True)
        with self._lock:
            known = self._keys.get(key)
            if known is not None and self._clock() - known[2] < _KEY_SECONDS:
                if known[0] != written:
                    return _error("IDEMPOTENCY_KEY_PARAMETER_MISMATCH", "other parameters")
                return _created(known[1])  # as it is now
            order = self._orders.get(given["orderId"])
            if order is None:
                return _errors(["orderId"], "Order does not exist")
            if refused is not None:
                return _errors(["transactions"], refused.says)
            for it in given["transactions"]:
                if Decimal(it["amount"]) > self._left(order, it["parentId"]):
                    return _errors(["transactions"], "Refund amount exceeds the available amount")
            refund = self._refund(order, given)
            self._keys[key] = (written, refund, self._clock())
            self.refunds_made.append(given)
            return _created(refund)

    def _refund(self, order: _Order, given: Mapping[str, Any]) -> dict[str, Any]:
        moves: list[dict[str, Any]] = []
        for it in given["transactions"]:
            move = self._transaction("REFUND", it["gateway"], it["amount"], order.currency)
            move |= {"parentTransaction": {"id": it["parentId"]}, "status": order.refund_status}
            moves.append(move)
        order.transactions += moves
        for line in given.get("refundLineItems", ()):
            (it,) = (it for it in order.lines if it["id"] == line["lineItemId"])
            it["refundableQuantity"] -= line["quantity"]
        refund = {
            "id": self._gid("Refund"),
            "note": given.get("note"),
            "createdAt": f"{datetime.fromtimestamp(self._clock(), UTC):%Y-%m-%dT%H:%M:%SZ}",
            "transactions": {"nodes": [dict(it) for it in moves]},
        }
        order.refunds.append(refund)
        return refund

    def _left(self, order: _Order, parent: str) -> Decimal:
        def worth(it: Mapping[str, Any]) -> Decimal:
            return Decimal(it["amountSet"]["presentmentMoney"]["amount"])

        taken = sum(worth(it) for it in order.transactions if it["id"] == parent)
        back = (
            worth(it)
            for it in order.transactions
            if it["kind"] == "REFUND"
            and it["status"] not in {"ERROR", "FAILURE"}
            and it["parentTransaction"]["id"] == parent
        )
        return Decimal(taken) - sum(back)

    def _order(self, variables: dict[str, Any]) -> dict[str, Any]:
        order = self._orders.get(variables["id"])
        if order is None:
            return {"order": None}
        return {
            "order": {
                "id": order.id,
                "presentmentCurrencyCode": order.currency,
                "disputes": order.disputes,
                "transactions": order.transactions,
                "refunds": order.refunds,
            }
        }

    def _by_name(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Find an order by its name, which is # and the digits of its gid."""
        digits = re.sub(r"[^0-9]", "", str(variables["query"]))
        found = self._whole(f"gid://shopify/Order/{digits}")
        return {"orders": {"nodes": [] if found is None else [found]}}

    def _whole(self, gid: str) -> dict[str, Any] | None:
        """Return an order as an order source reads it: its price is divided among the pieces."""
        order = self._orders.get(gid)
        if order is None:
            return None

        def bag(amount: Decimal) -> dict[str, Any]:
            money = {"amount": str(amount), "currencyCode": order.currency}
            return {"presentmentMoney": money}

        def worth(kind: str) -> Decimal:
            found = (it["amountSet"] for it in order.transactions if it["kind"] == kind)
            return sum((Decimal(it["presentmentMoney"]["amount"]) for it in found), Decimal(0))

        paid, refunded = worth("SALE"), worth("REFUND")
        pieces = sum(line["quantity"] for line in order.lines)
        each = (paid / pieces).quantize(paid, ROUND_DOWN)
        status = "REFUNDED" if refunded >= paid else "PAID"
        return {
            "id": gid,
            "name": f"#{gid.rpartition('/')[2]}",
            "email": order.email,
            "createdAt": "2026-01-02T10:00:00Z",
            "presentmentCurrencyCode": order.currency,
            "taxesIncluded": True,
            "cancelledAt": None,
            "displayFinancialStatus": "PARTIALLY_REFUNDED" if paid > refunded > 0 else status,
            "totalRefundedSet": bag(refunded),
            "shippingAddress": None,
            "fulfillments": [],
            "shippingLines": {
                "nodes": [{"discountedPriceSet": bag(paid - each * pieces), "taxLines": []}]
            },
            "transactions": [
                it | {"authorizationCode": None, "paymentId": it["id"]} for it in order.transactions
            ],
            "lineItems": {
                "nodes": [
                    {
                        "id": line["id"],
                        "sku": line["sku"],
                        "title": line["sku"],
                        "quantity": line["quantity"],
                        "currentQuantity": line["quantity"],
                        "originalUnitPriceSet": bag(each),
                        "discountAllocations": [],
                        "taxLines": [],
                        "product": None,
                        "variant": None,
                    }
                    for line in order.lines
                ],
                "pageInfo": {"hasNextPage": False, "endCursor": None},
            },
        }

    def _lines(self, variables: dict[str, Any]) -> dict[str, Any]:
        order = self._orders.get(variables["id"])
        page = {"hasNextPage": False, "endCursor": None}
        lines = None if order is None else {"nodes": order.lines, "pageInfo": page}
        return {"order": None if lines is None else {"lineItems": lines}}

    def _refunded(self, variables: dict[str, Any]) -> dict[str, Any]:
        del variables  # an order too many does no harm: the adapter looks at each refund's time
        nodes = [
            {"id": it.id, "presentmentCurrencyCode": it.currency, "refunds": it.refunds}
            for it in self._orders.values()
            if it.refunds
        ]
        page = {"hasNextPage": False, "endCursor": None}
        return {"orders": {"nodes": nodes, "pageInfo": page}}

    def _shop(self, variables: dict[str, Any]) -> dict[str, Any]:
        del variables
        scopes = ("read_all_orders", "read_orders", "write_orders")
        return {
            "shop": {"id": "gid://shopify/Shop/1"},
            "currentAppInstallation": {"accessScopes": [{"handle": it} for it in scopes]},
        }

    def _transaction(self, kind: str, gateway: str, amount: str, currency: str) -> dict[str, Any]:
        return {
            "id": self._gid("OrderTransaction"),
            "kind": kind,
            "status": "SUCCESS",
            "gateway": gateway,
            "amountSet": {"presentmentMoney": {"amount": amount, "currencyCode": currency}},
            "parentTransaction": None,
        }

    def _gid(self, kind: str) -> str:
        return f"gid://shopify/{kind}/{next(self._ids)}"


def shopify_routes(state: ShopifyState) -> list[BaseRoute]:
    """Return the routes of a stand-in on `state`."""
    return [
        Route("/admin/api/{version}/graphql.json", ShopApp(state.answer)),
        *control_routes("shopify", state),
    ]


def _problem(given: Mapping[str, Any]) -> str | None:
    """Return what Shopify's schema would say to a `RefundInput`, None if it fits."""
    if unknown := given.keys() - _INPUT:
        return f"RefundInput has no {', '.join(sorted(unknown))}"
    for it in given.get("transactions", ()):
        if it.keys() != _TRANSACTION or it["kind"] != "REFUND":
            return "OrderTransactionInput does not fit"
    for it in given.get("refundLineItems", ()):
        if not it.keys() <= _LINE or it["restockType"] not in {"CANCEL", "NO_RESTOCK", "RETURN"}:
            return "RefundLineItemInput does not fit"
    return None


def _created(refund: Mapping[str, Any]) -> dict[str, Any]:
    return {"data": {"refundCreate": {"refund": refund, "userErrors": []}}}


def _errors(path: Sequence[str], message: str) -> dict[str, Any]:
    said = [{"field": ["input", *path], "message": message}]
    return {"data": {"refundCreate": {"refund": None, "userErrors": said}}}


def _error(code: str, message: str) -> dict[str, Any]:
    return {"errors": [{"message": message, "extensions": {"code": code}}]}
