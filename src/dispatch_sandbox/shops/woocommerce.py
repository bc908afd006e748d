"""The stand-in for WooCommerce: orders and their refunds on the REST API v3.

As in WooCommerce, a refund is written down first, then paid by the gateway, and deleted where the
gateway refuses; and every failure of the gateway is a 500.
"""

from __future__ import annotations

import hmac
import json
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from dispatch_sandbox.shops.control import control_routes
from dispatch_sandbox.shops.faults import ShopApp, ShopFaults, ShopReply

WOO_KEY = "ck_sandbox"
WOO_SECRET = "cs_sandbox"  # noqa: S105 - a test double's own
_GATEWAYS = {"stripe": ["products", "refunds"], "bacs": ["products"]}
_GIVEN = {"amount", "api_refund", "api_restock", "line_items", "meta_data", "reason"}
_PREFIX = "/wp-json/wc/v3"


@dataclass(slots=True)
class _Order:
    id: int
    currency: str
    total: str
    gateway: str
    lines: list[dict[str, Any]]
    paid: bool = True
    refunds: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


class WooState:
    """A shop. Safe to use from any thread. ``clock`` gives seconds since 1970."""

    default_gateway = "stripe"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.faults = ShopFaults()
        self.refunds_made: list[dict[str, Any]] = []
        """What every call that made a refund was given, in order."""
        self._clock = clock
        self._orders: dict[int, _Order] = {}
        self._ids = count(727)
        self._lock = threading.RLock()

    def pay(
        self,
        amount: str,
        currency: str,
        *,
        gateway: str = "stripe",
        lines: Sequence[tuple[str, int, str, str]] = (),
        paid: bool = True,
    ) -> str:
        """Add an order of `amount` major units; return its id.

        `lines`: SKU, quantity, total without tax, and the tax; by default one without tax.
        """
        with self._lock:
            order = _Order(next(self._ids), currency, amount, gateway, [], paid)
            for sku, quantity, total, tax in lines or (("SKU-1", 2, amount, "0.00"),):
                taxes = [{"id": 1, "total": tax}]
                entry = {"id": next(self._ids), "sku": sku, "quantity": quantity, "name": sku}
                entry |= {"product_id": 0, "variation_id": 0, "subtotal": total}
                order.lines.append(entry | {"total": total, "total_tax": tax, "taxes": taxes})
            self._orders[order.id] = order
            return str(order.id)

    def refund_externally(self, order_id: str, amount: str) -> None:
        """Write a refund down that was paid by hand, as a person does."""
        with self._lock:
            self._write(self._orders[int(order_id)], amount, "too late", paid=False)

    def stop_before_gateway(self, order_id: str, amount: str, reason: str) -> None:
        """Leave a refund as it is where the shop died while its gateway was paying."""
        with self._lock:
            self._write(self._orders[int(order_id)], amount, reason, paid=False)

    def refunds_of(self, order_id: str) -> list[dict[str, Any]]:
        """Return an order's refunds, as WooCommerce shows them."""
        return list(self._orders[int(order_id)].refunds)

    def webhook(self, order_id: str, secret: str) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the signed webhook that a change of the order causes."""
        body = json.dumps(self._shown(self._orders[int(order_id)])).encode()
        signature = b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
        headers = {
            "X-WC-Webhook-Topic": "order.updated",
            "X-WC-Webhook-ID": "1",
            "X-WC-Webhook-Delivery-ID": "2",
            "X-WC-Webhook-Signature": signature,
        }
        return headers, body

    def answer(self, request: Request, data: dict[str, Any]) -> ShopReply:
        """Answer one request."""
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        if b64decode(given or "", validate=False).decode("latin-1") != f"{WOO_KEY}:{WOO_SECRET}":
            return _refusal(401, "woocommerce_rest_cannot_view")
        what, *rest = request.url.path.removeprefix(f"{_PREFIX}/").split("/")
        with self._lock:
            if what == "payment_gateways" and rest:
                supports = _GATEWAYS.get(rest[0])
                if supports is None:
                    return _refusal(404, "woocommerce_rest_payment_gateway_invalid")
                return ShopReply(200, {"id": rest[0], "method_supports": supports})
            if what == "orders" and not rest:
                return ShopReply(200, [self._shown(it) for it in self._orders.values()])
            order = self._orders.get(int(rest[0])) if rest and rest[0].isdecimal() else None
            if what != "orders" or order is None:
                return _refusal(404, "woocommerce_rest_shop_order_invalid_id")
            if rest[1:] == ["refunds"] and request.method == "POST":
                return self._create(order, data)
            if rest[1:] == ["refunds"]:
                return ShopReply(200, order.refunds)
            return ShopReply(200, self._shown(order))

    def _create(self, order: _Order, data: dict[str, Any]) -> ShopReply:
        faults = self.faults
        if faults.take("rate_limited"):
            return _refusal(429, "too_many_requests")
        if "amount" not in data or not data.keys() <= _GIVEN:
            return _refusal(400, "rest_invalid_param")
        failed = ShopReply(500, {"code": "woocommerce_rest_cannot_create_order_refund"})
        left = Decimal(order.total) - sum(Decimal(it["amount"]) for it in order.refunds)
        if Decimal(data["amount"]) > left or faults.take("refused", "broken_before"):
            return failed
        lost, broken = faults.take("lost_answer"), faults.take("broken_answer")
        refund = self._write(order, data["amount"], data.get("reason", ""), paid=True)
        self.refunds_made.append(data)
        return failed if broken else ShopReply(201, refund, lost=lost is not None)

    def _write(self, order: _Order, amount: str, reason: str, *, paid: bool) -> dict[str, Any]:
        at = datetime.fromtimestamp(self._clock(), UTC)
        refund: dict[str, Any] = {
            "id": next(self._ids),
            "reason": reason,
            "amount": amount,
            "date_created_gmt": f"{at:%Y-%m-%dT%H:%M:%S}",
            "refunded_payment": paid,
            "line_items": [],
        }
        order.refunds.append(refund)
        return refund

    def _shown(self, order: _Order) -> dict[str, Any]:
        return {
            "id": order.id,
            "number": str(order.id),
            "currency": order.currency,
            "total": order.total,
            "status": "completed",
            "date_created_gmt": "2026-01-02T10:00:00",
            "date_completed_gmt": "2026-01-04T08:00:00",
            "shipping_total": "0.00",
            "shipping_tax": "0.00",
            "transaction_id": f"txn_{order.id}",
            "billing": {"email": "jane@example.com"},
            "shipping": {},
            "payment_method": order.gateway,
            "date_paid_gmt": "2026-01-15T10:00:00" if order.paid else None,
            "line_items": order.lines,
            "refunds": [
                {"id": it["id"], "reason": it["reason"], "total": f"-{it['amount']}"}
                for it in order.refunds
            ],
        }


def woocommerce_routes(state: WooState) -> list[BaseRoute]:
    """Return the routes of a stand-in on `state`."""
    methods = ["GET", "POST"]
    return [
        Route(f"{_PREFIX}/{{path:path}}", ShopApp(state.answer), methods=methods),
        *control_routes("woocommerce", state),
    ]


def _refusal(status: int, code: str) -> ShopReply:
    return ShopReply(status, {"code": code, "message": "", "data": {"status": status}})
