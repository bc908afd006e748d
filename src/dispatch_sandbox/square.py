"""A stand-in for Square's payments and refunds: a test double, not Square, and it says so.

It answers what a refund path asks, in Square's shapes. A repeated ``idempotency_key`` gets the
refund as it is now, and another body an error. How long Square remembers a key is not documented;
here it is a day.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qs

from dispatch_sandbox.processors.base import (
    OutgoingEvent,
    ProcessorFault,
    ProcessorReply,
    ProcessorRequest,
    StandIn,
    new_id,
)

__all__ = ["ACCESS_TOKEN", "SIGNATURE_KEY", "SquareStandIn"]

ACCESS_TOKEN = "EAAA-sandbox-square-access-token"  # noqa: S105 - everybody knows it
SIGNATURE_KEY = "sandbox-square-signature-key"
_MERCHANT = "SANDBOXMERCHANT"
_KEYS_LAST = 86_400
_YEAR = 365 * 86_400
_MOST_REFUNDS = 20
_UNPAID = frozenset({"FAILED", "REJECTED"})


@dataclass(slots=True)
class _Payment:
    id: str
    amount: int
    currency: str
    made_at: float
    status: str
    disputed: bool = False
    without_funds: bool = False
    refunds: list[_Refund] = field(default_factory=list["_Refund"])

    @property
    def refunded(self) -> int:
        return sum(it.amount for it in self.refunds if it.status not in _UNPAID)


@dataclass(slots=True)
class _Refund:
    id: str
    payment: _Payment
    amount: int
    made_at: float
    reason: str
    status: str = "PENDING"


class SquareStandIn(StandIn):
    """Square's memory: see `StandIn`. A refund is ``PENDING``, and ``COMPLETED`` at `advance`.

    A refund that fails later with the code ``INSUFFICIENT_FUNDS`` is the payment's last.

    Example::

        square = SquareStandIn()
        payment = square.pay("149.00", "USD")
        square.fail("lost_response")
    """

    name: ClassVar = "square"
    about: ClassVar = "A test double for Square's API v2. It is not Square, and moves no money."

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self._payments: dict[str, _Payment] = {}
        self._refunds: dict[str, _Refund] = {}
        self._keys: dict[str, tuple[Mapping[str, Any], _Refund, float]] = {}

    # What a test does to it.

    def pay(self, value: str, currency: str = "USD", *, status: str = "COMPLETED") -> str:
        """Have a customer pay; return the payment's id."""
        with self.lock:
            minor = _minor(value, currency)
            made = _Payment(f"{new_id(27)}ZY", minor, currency, self.now(), status)
            self._payments[made.id] = made
            return made.id

    def dispute(self, payment: str) -> None:
        """Have the customer's bank dispute the payment."""
        with self.lock:
            self._payments[payment].disputed = True

    def refunded(self, payment: str) -> int:
        """Return the minor units that the refunds of a payment have moved, or will."""
        with self.lock:
            return self._payments[payment].refunded

    def refunds_of(self, payment: str) -> list[tuple[str, int]]:
        """Return the refunds of a payment that move money: id and minor units."""
        with self.lock:
            found = self._payments[payment].refunds
            return [(it.id, it.amount) for it in found if it.status not in _UNPAID]

    def refund_externally(self, payment: str, value: str) -> str:
        """Make a refund as a person does in Square's Dashboard; return its id."""
        with self.lock:
            found = self._payments[payment]
            return self._make(found, _minor(value, found.currency), "By hand", None).id

    # What Square answers.

    def answer(self, request: ProcessorRequest) -> ProcessorReply:
        """Answer one request."""
        if request.headers.get("authorization") != f"Bearer {ACCESS_TOKEN}":
            return _error(401, "UNAUTHORIZED", "AUTHENTICATION_ERROR")
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["v2", "merchants", "me"]:
                return ProcessorReply(200, {"merchant": {"id": _MERCHANT, "country": "US"}})
            case "GET", ["v2", "payments", payment] if payment in self._payments:
                return ProcessorReply(200, {"payment": self._shown(self._payments[payment])})
            case "GET", ["v2", "refunds"]:
                return self._page(request)
            case "GET", ["v2", "refunds", refund] if refund in self._refunds:
                return ProcessorReply(200, {"refund": _shown_refund(self._refunds[refund])})
            case "POST", ["v2", "refunds"]:
                return self._refund(request)
            case _:
                return _error(404, "NOT_FOUND")

    def _page(self, request: ProcessorRequest) -> ProcessorReply:
        asked = {name: values[0] for name, values in parse_qs(request.query).items()}
        limit, start = int(asked.get("limit", "100")), int(asked.get("cursor", "0"))
        begin = asked.get("begin_time", _time(self.now() - _YEAR))
        found = [it for it in self._refunds.values() if _time(it.made_at) >= begin]
        if asked.get("sort_order", "DESC") == "DESC":
            found.reverse()
        shown = found[start : start + limit]
        content: dict[str, Any] = {"refunds": [_shown_refund(it) for it in shown]}
        if found[start + limit :]:
            content["cursor"] = str(start + limit)
        return ProcessorReply(200, content)

    def _refund(self, request: ProcessorRequest) -> ProcessorReply:
        try:
            asked = request.json()
            key, payment_id = str(asked["idempotency_key"]), str(asked["payment_id"])
            amount, currency = asked["amount_money"]["amount"], asked["amount_money"]["currency"]
        except (ValueError, KeyError, TypeError):
            return _error(400, "BAD_REQUEST")
        if fault := self.take(payment_id, "rate_limit"):
            reply = _error(429, "RATE_LIMITED", "RATE_LIMIT_ERROR")
            return ProcessorReply(429, reply.content, {"retry-after": f"{fault.seconds:g}"})
        if self.take(payment_id, "in_flight"):
            return _error(409, "CONFLICT")
        lost = self.take(payment_id, "lost_response")
        broken = None if lost else self.take(payment_id, "server_error")
        if broken is not None and not broken.acted:
            return _error(500, "INTERNAL_SERVER_ERROR", "API_ERROR")
        reply = self._repeated(asked, key) or self._carry_out(asked, payment_id, amount, currency)
        if broken is not None:
            return _error(500, "INTERNAL_SERVER_ERROR", "API_ERROR")
        return ProcessorReply(0, lost=True) if lost else reply

    def _repeated(self, asked: Mapping[str, Any], key: str) -> ProcessorReply | None:
        """Return the refund of a key, a refusal for another body, None for a new key."""
        if key not in self._keys:
            return None
        body, refund, used_at = self._keys[key]
        if self.now() - used_at >= _KEYS_LAST:
            del self._keys[key]
            return None
        if body != asked:
            return _error(400, "IDEMPOTENCY_KEY_REUSED")
        return ProcessorReply(200, {"refund": _shown_refund(refund)})

    def _carry_out(
        self, asked: Mapping[str, Any], payment_id: str, amount: int, currency: str
    ) -> ProcessorReply:
        payment = self._payments.get(payment_id)
        if payment is None:
            return _error(404, "NOT_FOUND")
        if fault := self.take(payment_id, "refused"):
            return _error(400, fault.code or "REFUND_DECLINED", "REFUND_ERROR")
        old = self.now() - payment.made_at > _YEAR or len(payment.refunds) >= _MOST_REFUNDS
        if payment.disputed:
            return _error(400, "PAYMENT_NOT_REFUNDABLE_DUE_TO_DISPUTE", "REFUND_ERROR")
        if payment.status != "COMPLETED":
            return _error(400, "REFUND_ERROR_PAYMENT_NEEDS_COMPLETION", "REFUND_ERROR")
        if old or payment.without_funds:
            return _error(400, "PAYMENT_NOT_REFUNDABLE", "REFUND_ERROR")
        left = payment.amount - payment.refunded
        if currency != payment.currency or not 0 < amount <= left:
            return _error(400, "REFUND_AMOUNT_INVALID", "REFUND_ERROR")
        fault = self.take(payment_id, "fail_later", "pending_then_succeed")
        made = self._make(payment, amount, str(asked.get("reason", "")), fault)
        self._keys[str(asked["idempotency_key"])] = asked, made, self.now()
        return ProcessorReply(200, {"refund": _shown_refund(made)})

    def _make(
        self, payment: _Payment, amount: int, reason: str, fault: ProcessorFault | None
    ) -> _Refund:
        made = _Refund(f"{payment.id}_{new_id(43)}", payment, amount, self.now(), reason)
        payment.refunds.append(made)
        self._refunds[made.id] = made
        self._announce(made, "refund.created")

        def end() -> None:
            fails = fault is not None and fault.kind == "fail_later"
            made.status = "FAILED" if fails else "COMPLETED"
            if fault is not None and fault.code == "INSUFFICIENT_FUNDS":
                payment.without_funds = True
            self._announce(made, "refund.updated")

        self.later(1.0 if fault is None else fault.seconds, end)
        return made

    def _announce(self, refund: _Refund, kind: str) -> None:
        shown = _shown_refund(refund)
        event = {
            "merchant_id": _MERCHANT,
            "type": kind,
            "event_id": new_id(32),
            "created_at": _time(self.now()),
            "data": {"type": "refund", "id": refund.id, "object": {"refund": shown}},
        }
        self.tell(refund.payment.id, event)

    def signed(self, url: str, event: Mapping[str, Any]) -> OutgoingEvent:
        """Return an event with Square's signature, over the URL and the body."""
        body = json.dumps(event).encode()
        digest = hmac.new(SIGNATURE_KEY.encode(), url.encode() + body, hashlib.sha256).digest()
        signature = base64.b64encode(digest).decode()
        headers = {"content-type": "application/json", "x-square-hmacsha256-signature": signature}
        return OutgoingEvent(url, headers, body)

    def _shown(self, payment: _Payment) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": payment.id,
            "created_at": _time(payment.made_at),
            "amount_money": _money(payment.amount, payment.currency),
            "total_money": _money(payment.amount, payment.currency),
            "status": payment.status,
            "source_type": "CARD",
        }
        if payment.refunds:
            shown["refund_ids"] = [it.id for it in payment.refunds]
            shown["refunded_money"] = _money(payment.refunded, payment.currency)
        return shown


def _shown_refund(refund: _Refund) -> dict[str, Any]:
    return {
        "id": refund.id,
        "status": refund.status,
        "amount_money": _money(refund.amount, refund.payment.currency),
        "payment_id": refund.payment.id,
        "reason": refund.reason,
        "created_at": _time(refund.made_at),
    }


def _minor(value: str, currency: str) -> int:
    return int(Decimal(value).scaleb(0 if currency == "JPY" else 2))


def _money(minor: int, currency: str) -> dict[str, Any]:
    return {"amount": minor, "currency": currency}


def _time(second: float) -> str:
    at = datetime.fromtimestamp(second, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _error(status: int, code: str, category: str = "INVALID_REQUEST_ERROR") -> ProcessorReply:
    return ProcessorReply(status, {"errors": [{"category": category, "code": code}]})


def __dir__() -> list[str]:
    return __all__
