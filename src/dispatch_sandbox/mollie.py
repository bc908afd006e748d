"""A stand-in for Mollie's payments and refunds: a test double, not Mollie, and it says so.

It answers what a refund path asks, in Mollie's shapes, and keeps ``Idempotency-Key`` the way Mollie
documents it: for a day, a repeat gets the first answer, another body is refused. Its events are
signed; with ``classic`` it also sends the older unsigned ones.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
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

__all__ = ["API_KEY", "WEBHOOK_SECRET", "MollieStandIn"]

API_KEY = "test_SandboxMollieKey0123456789ab"
WEBHOOK_SECRET = "sandbox-mollie-signing-secret"  # noqa: S105 - everybody knows it
_KEYS_LAST = 86_400
_NO_DECIMALS = frozenset({"ISK", "JPY"})
_UNPAID = frozenset({"failed", "canceled"})


@dataclass(slots=True)
class _Payment:
    id: str
    value: Decimal
    currency: str
    made_at: float
    status: str = "paid"
    charged_back: Decimal = Decimal(0)
    refunds: list[_Refund] = field(default_factory=list["_Refund"])

    @property
    def refunded(self) -> Decimal:
        return sum((it.value for it in self.refunds if it.status not in _UNPAID), Decimal(0))


@dataclass(slots=True)
class _Refund:
    id: str
    payment: _Payment
    value: Decimal
    made_at: float
    description: str
    metadata: Any
    status: str = "pending"


class MollieStandIn(StandIn):
    """Mollie's memory: see `StandIn`. A refund is ``pending`` first, and ``refunded`` at `advance`.

    Example::

        mollie = MollieStandIn()
        payment = mollie.pay("149.00", "EUR")
        mollie.fail("lost_response")
    """

    name: ClassVar = "mollie"
    about: ClassVar = "A test double for Mollie's API v2. It is not Mollie, and moves no money."

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self.classic = False
        """Whether it also sends the older deliveries, which nobody signs."""
        self._payments: dict[str, _Payment] = {}
        self._refunds: list[_Refund] = []
        self._keys: dict[str, tuple[bytes, ProcessorReply, float]] = {}

    # What a test does to it.

    def pay(self, value: str, currency: str = "EUR", *, status: str = "paid") -> str:
        """Have a customer pay; return the payment's id."""
        with self.lock:
            made = _Payment(f"tr_{new_id(22)}", Decimal(value), currency, self.now(), status)
            self._payments[made.id] = made
            return made.id

    def dispute(self, payment: str) -> None:
        """Have the customer's bank take the money back."""
        with self.lock:
            self._payments[payment].charged_back = self._payments[payment].value

    def refunded(self, payment: str) -> int:
        """Return the minor units that the refunds of a payment have moved, or will."""
        return sum(minor for _, minor in self.refunds_of(payment))

    def refunds_of(self, payment: str) -> list[tuple[str, int]]:
        """Return the refunds of a payment that move money: id and minor units."""
        with self.lock:
            found = self._payments[payment]
            digits = _digits(found.currency)
            moving = [it for it in found.refunds if it.status not in _UNPAID]
            return [(it.id, int(it.value.scaleb(digits))) for it in moving]

    def refund_externally(self, payment: str, value: str) -> str:
        """Make a refund as a person does in Mollie's dashboard; return its id."""
        with self.lock:
            return self._make(self._payments[payment], Decimal(value), "By hand", None, None).id

    # What Mollie answers.

    def answer(self, request: ProcessorRequest) -> ProcessorReply:
        """Answer one request."""
        if request.headers.get("authorization") != f"Bearer {API_KEY}":
            return _error(401, "Unauthorized Request", "Missing authentication, or failed.")
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["v2", "profiles", "me"]:
                return ProcessorReply(200, {"resource": "profile", "id": "pfl_sandbox"})
            case "GET", ["v2", "payments", payment] if payment in self._payments:
                return ProcessorReply(200, self._shown(self._payments[payment]))
            case "GET", ["v2", "refunds"]:
                return self._page(request, self._refunds, "/v2/refunds")
            case "GET", ["v2", "payments", payment, "refunds"] if payment in self._payments:
                refunds = self._payments[payment].refunds
                return self._page(request, refunds, request.path)
            case "POST", ["v2", "payments", payment, "refunds"]:
                return self._refund(request, payment)
            case _:
                return _error(404, "Not Found", "No such resource exists.")

    def _page(self, request: ProcessorRequest, refunds: list[_Refund], path: str) -> ProcessorReply:
        asked = parse_qs(request.query)
        limit, start = int(asked.get("limit", ["50"])[0]), asked.get("from", [""])[0]
        newest_first = refunds[::-1]
        ids = [it.id for it in newest_first]
        first = ids.index(start) if start in ids else 0
        shown, rest = newest_first[first : first + limit], ids[first + limit :]
        following = f"{self.base_url}{path}?from={rest[0]}&limit={limit}" if rest else None
        link = None if following is None else {"href": following, "type": "application/hal+json"}
        content = {
            "count": len(shown),
            "_embedded": {"refunds": [self._shown_refund(it) for it in shown]},
            "_links": {"next": link, "previous": None},
        }
        return ProcessorReply(200, content)

    def _refund(self, request: ProcessorRequest, payment_id: str) -> ProcessorReply:
        key = request.headers.get("idempotency-key")
        if fault := self.take(payment_id, "rate_limit"):
            reply = _error(429, "Too Many Requests", "Too many requests.")
            return ProcessorReply(429, reply.content, {"retry-after": f"{fault.seconds:g}"})
        if self.take(payment_id, "in_flight"):
            return _error(409, "Conflict", "Another request with this key is being processed.")
        lost = self.take(payment_id, "lost_response")
        broken = None if lost else self.take(payment_id, "server_error")
        if broken is not None and not broken.acted:
            return _error(500, "Internal Server Error", "An internal server error occurred.")
        reply = self._repeated(request, key) or self._carry_out(request, payment_id)
        if key is not None and key not in self._keys and reply.status < 300:
            self._keys[key] = request.body, reply, self.now()
        if broken is not None:
            return _error(500, "Internal Server Error", "An internal server error occurred.")
        return ProcessorReply(0, lost=True) if lost else reply

    def _repeated(self, request: ProcessorRequest, key: str | None) -> ProcessorReply | None:
        """Return the first answer to a key, a refusal for another body, None for a new key."""
        body, reply, used_at = self._keys.get(key or "", (b"", ProcessorReply(0), 0.0))
        if key is None or not reply.status or self.now() - used_at >= _KEYS_LAST:
            self._keys.pop(key or "", None)
            return None
        if body != request.body:
            return _error(400, "Bad Request", "This idempotency key was used for another request.")
        return ProcessorReply(
            reply.status, reply.content, {**reply.headers, "idempotent-replayed": "true"}
        )

    def _carry_out(self, request: ProcessorRequest, payment_id: str) -> ProcessorReply:
        payment = self._payments.get(payment_id)
        if payment is None:
            return _error(404, "Not Found", "No payment exists with this id.")
        try:
            asked = request.json()
            value, currency = Decimal(asked["amount"]["value"]), asked["amount"]["currency"]
            written = f"{value:.{_digits(currency)}f}" == asked["amount"]["value"]
        except (ValueError, KeyError, TypeError, InvalidOperation):
            return _error(422, "Unprocessable Entity", "The amount is missing.", "amount")
        left = payment.value - payment.refunded - payment.charged_back
        if fault := self.take(payment_id, "refused"):
            return _error(422, "Unprocessable Entity", "Not possible.", fault.code)
        if payment.status != "paid":
            return _error(422, "Unprocessable Entity", "The payment can't be refunded.")
        if currency != payment.currency or not written or value <= 0:
            named = "amount.currency" if currency != payment.currency else "amount.value"
            return _error(422, "Unprocessable Entity", "The amount is invalid.", named)
        if value > left:
            return _error(
                422, "Unprocessable Entity", "The amount is higher than what is left.", "amount"
            )
        made = self._make(
            payment,
            value,
            asked.get("description", ""),
            asked.get("metadata"),
            self.take(payment_id, "fail_later", "pending_then_succeed"),
        )
        return ProcessorReply(201, self._shown_refund(made))

    def _make(
        self,
        payment: _Payment,
        value: Decimal,
        description: str,
        metadata: Any,
        fault: ProcessorFault | None,
    ) -> _Refund:
        made = _Refund(f"re_{new_id(10)}", payment, value, self.now(), description, metadata)
        payment.refunds.append(made)
        self._refunds.append(made)
        self._announce(made)
        end = "failed" if fault is not None and fault.kind == "fail_later" else "refunded"
        self.later(1.0 if fault is None else fault.seconds, lambda: self._end(made, end))
        return made

    def _end(self, refund: _Refund, status: str) -> None:
        refund.status = status
        self._announce(refund)

    def _announce(self, refund: _Refund) -> None:
        event = {
            "resource": "event",
            "id": f"event_{new_id(20)}",
            "type": f"refund.{refund.status}",
            "entityId": refund.id,
            "createdAt": _time(self.now()),
            "_embedded": {"entity": self._shown_refund(refund)},
        }
        self.tell(refund.payment.id, event)
        if self.classic:
            form = {"content-type": "application/x-www-form-urlencoded"}
            hint = f"id={refund.payment.id}".encode()
            self._outgoing.extend(OutgoingEvent(url, form, hint) for url in self.listeners)

    def signed(self, url: str, event: Mapping[str, Any]) -> OutgoingEvent:
        """Return an event with Mollie's signature."""
        body = json.dumps(event).encode()
        signature = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "x-mollie-signature": f"sha256={signature}"}
        return OutgoingEvent(url, headers, body)

    def _shown(self, payment: _Payment) -> dict[str, Any]:
        currency = payment.currency
        left = payment.value - payment.refunded - payment.charged_back
        shown: dict[str, Any] = {
            "resource": "payment",
            "id": payment.id,
            "mode": "test",
            "amount": _money(payment.value, currency),
            "status": payment.status,
            "metadata": None,
            "createdAt": _time(payment.made_at),
            "_links": {"self": self._link(f"payments/{payment.id}")},
        }
        if payment.status == "paid":
            shown["paidAt"] = _time(payment.made_at)
            shown["amountRefunded"] = _money(payment.refunded, currency)
            shown["amountRemaining"] = _money(max(left, Decimal(0)), currency)
        if payment.charged_back:
            shown["amountChargedBack"] = _money(payment.charged_back, currency)
        return shown

    def _shown_refund(self, refund: _Refund) -> dict[str, Any]:
        payment = refund.payment
        return {
            "resource": "refund",
            "id": refund.id,
            "mode": "test",
            "amount": _money(refund.value, payment.currency),
            "description": refund.description,
            "metadata": refund.metadata,
            "status": refund.status,
            "paymentId": payment.id,
            "createdAt": _time(refund.made_at),
            "_links": {
                "self": self._link(f"payments/{payment.id}/refunds/{refund.id}"),
                "payment": self._link(f"payments/{payment.id}"),
            },
        }

    def _link(self, what: str) -> dict[str, str]:
        return {"href": f"{self.base_url}/v2/{what}", "type": "application/hal+json"}


def _digits(currency: str) -> int:
    return 0 if currency in _NO_DECIMALS else 2


def _money(value: Decimal, currency: str) -> dict[str, str]:
    return {"currency": currency, "value": f"{value:.{_digits(currency)}f}"}


def _time(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def _error(status: int, title: str, detail: str, named: str | None = None) -> ProcessorReply:
    content: dict[str, Any] = {"status": status, "title": title, "detail": detail}
    if named is not None:
        content["field"] = named
    return ProcessorReply(status, content)


def __dir__() -> list[str]:
    return __all__
