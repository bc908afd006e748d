"""A stand-in for Klarna's Order Management: a test double, not Klarna, and it says so.

It answers what a refund path asks, in Klarna's shapes, and keeps ``Klarna-Idempotency-Key`` the way
Klarna documents it: for a day, a repeat gets the first answer. Klarna sends no webhooks about
refunds, so it sends none.
"""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import uuid4

from dispatch_sandbox.processors.base import (
    OutgoingEvent,
    ProcessorReply,
    ProcessorRequest,
    StandIn,
)

__all__ = ["PASSWORD", "USERNAME", "KlarnaStandIn"]

USERNAME = "PK00000_sandbox"
PASSWORD = "sandbox-klarna-password"  # noqa: S105 - everybody knows it
_KEYS_LAST = 86_400
_MOST_REFUNDS = 200
_NO_DECIMALS = frozenset({"ISK", "JPY"})


@dataclass(slots=True)
class _Order:
    id: str
    amount: int
    captured: int
    currency: str
    made_at: float
    number: str | None
    refunds: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def refunded(self) -> int:
        return sum(it["refunded_amount"] for it in self.refunds)


class KlarnaStandIn(StandIn):
    """Klarna's memory: see `StandIn`. A refund is final at once.

    Example::

        klarna = KlarnaStandIn()
        order = klarna.pay("149.00", "EUR")
        klarna.fail("lost_response")
    """

    name: ClassVar = "klarna"
    about: ClassVar = (
        "A test double for Klarna's Order Management. It is not Klarna, and moves no money."
    )

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self._orders: dict[str, _Order] = {}
        self._keys: dict[tuple[str, str], tuple[ProcessorReply, float]] = {}

    # What a test does to it.

    def pay(
        self,
        value: str,
        currency: str = "EUR",
        *,
        captured: str | None = None,
        number: str | None = None,
    ) -> str:
        """Have a customer order and the merchant capture all of it; return the order's id.

        ``captured`` is what the merchant has captured where that is less, ``number`` the merchant's
        own order number.
        """
        with self.lock:
            amount = _minor(value, currency)
            part = amount if captured is None else _minor(captured, currency)
            made = _Order(f"{uuid4()}", amount, part, currency, self.now(), number)
            self._orders[made.id] = made
            return made.id

    def refunded(self, payment: str) -> int:
        """Return the minor units that were refunded of an order."""
        return sum(minor for _, minor in self.refunds_of(payment))

    def refunds_of(self, payment: str) -> list[tuple[str, int]]:
        """Return the refunds of an order: id and minor units."""
        with self.lock:
            refunds = self._orders[payment].refunds
            return [(it["refund_id"], it["refunded_amount"]) for it in refunds]

    def refund_externally(self, payment: str, value: str) -> str:
        """Make a refund as a person does in the Merchant Portal; return its id."""
        with self.lock:
            order = self._orders[payment]
            return self._make(order, {"refunded_amount": _minor(value, order.currency)})

    # What Klarna answers.

    def answer(self, request: ProcessorRequest) -> ProcessorReply:
        """Answer one request."""
        given = b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {given}":
            return ProcessorReply(401)
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["ordermanagement", "v1", "orders", order] if order in self._orders:
                return ProcessorReply(200, self._shown(self._orders[order]))
            case "POST", ["ordermanagement", "v1", "orders", order, "refunds"]:
                return self._refund(request, order)
            case _:
                return _error(404, "NO_SUCH_ORDER")

    def _refund(self, request: ProcessorRequest, order: str) -> ProcessorReply:
        key = (order, request.headers.get("klarna-idempotency-key", ""))
        if fault := self.take(order, "rate_limit"):
            reply = _error(429, "TOO_MANY_REQUESTS")
            return ProcessorReply(429, reply.content, {"retry-after": f"{fault.seconds:g}"})
        if self.take(order, "in_flight"):
            return _error(409, "CONFLICT")
        lost = self.take(order, "lost_response")
        broken = None if lost else self.take(order, "server_error")
        if broken is not None and not broken.acted:
            return _error(500, "INTERNAL_SERVER_ERROR")
        first, used_at = self._keys.get(key, (None, 0.0))
        if first is not None and key[1] and self.now() - used_at < _KEYS_LAST:
            reply = first
        else:
            reply = self._carry_out(request, order)
            # Klarna does not say whether it keeps a refusal.
            if reply.status < 300:
                self._keys[key] = reply, self.now()
        if broken is not None:
            return _error(500, "INTERNAL_SERVER_ERROR")
        return ProcessorReply(0, lost=True) if lost else reply

    def _carry_out(self, request: ProcessorRequest, order_id: str) -> ProcessorReply:
        order = self._orders.get(order_id)
        if order is None:
            return _error(404, "NO_SUCH_ORDER")
        try:
            asked = request.json()
            amount = asked["refunded_amount"]
            lines = asked.get("order_lines", [])
            total = sum(it["total_amount"] for it in lines)
            named = all(it["name"] and it["unit_price"] * it["quantity"] >= 0 for it in lines)
        except (ValueError, KeyError, TypeError):
            return _error(400, "BAD_VALUE")
        texts = [asked.get(it, "") for it in ("reference", "description")]
        if type(amount) is not int or amount <= 0 or any(len(it) > 255 for it in texts):
            return _error(400, "BAD_VALUE")
        if lines and (total != amount or not named):
            return _error(400, "BAD_VALUE")
        if fault := self.take(order_id, "refused"):
            return _error(403, fault.code or "REFUND_NOT_ALLOWED")
        if amount > order.captured - order.refunded or len(order.refunds) >= _MOST_REFUNDS:
            return _error(403, "REFUND_NOT_ALLOWED")
        refund = self._make(order, asked)
        where = f"{self.base_url}{request.path}/{refund}"
        return ProcessorReply(201, None, {"refund-id": refund, "location": where})

    def _make(self, order: _Order, asked: Mapping[str, Any]) -> str:
        known = ("refunded_amount", "reference", "description", "order_lines")
        made = {name: asked[name] for name in known if name in asked}
        refund_id = f"{uuid4()}"
        order.refunds.append(made | {"refund_id": refund_id, "refunded_at": _time(self.now())})
        return refund_id

    def signed(self, url: str, event: Mapping[str, Any]) -> OutgoingEvent:
        """Return an event as it is: Klarna signs none, and sends none about refunds."""
        return OutgoingEvent(url, {"content-type": "application/json"}, json.dumps(event).encode())

    def _shown(self, order: _Order) -> dict[str, Any]:
        part = "PART_CAPTURED" if order.captured else "AUTHORIZED"
        shown: dict[str, Any] = {
            "order_id": order.id,
            "status": "CAPTURED" if order.captured == order.amount else part,
            "fraud_status": "ACCEPTED",
            "order_amount": order.amount,
            "original_order_amount": order.amount,
            "captured_amount": order.captured,
            "refunded_amount": order.refunded,
            "remaining_authorized_amount": order.amount - order.captured,
            "purchase_currency": order.currency,
            "created_at": _time(order.made_at),
            "refunds": order.refunds,
        }
        return shown if order.number is None else shown | {"merchant_reference1": order.number}


def _minor(value: str, currency: str) -> int:
    return int(Decimal(value).scaleb(0 if currency in _NO_DECIMALS else 2))


def _time(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _error(status: int, code: str) -> ProcessorReply:
    content = {
        "error_code": code,
        "error_messages": [code.replace("_", " ").capitalize()],
        "correlation_id": f"{uuid4()}",
    }
    return ProcessorReply(status, content)


def __dir__() -> list[str]:
    return __all__
