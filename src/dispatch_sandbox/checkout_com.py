"""A stand-in for Checkout.com's payments and refunds: a test double, and it says so.

It answers what a refund path asks, in Checkout.com's shapes, and keeps ``Cko-Idempotency-Key`` the
way Checkout.com documents it: for a day, and only for a request that was accepted. After a 4xx or
5xx the same key runs again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

from dispatch_sandbox.processors.base import (
    OutgoingEvent,
    ProcessorFault,
    ProcessorReply,
    ProcessorRequest,
    StandIn,
)

__all__ = ["SECRET_KEY", "WEBHOOK_SECRET", "CheckoutComStandIn"]

SECRET_KEY = "sk_sbox_sandboxsandboxsandboxsandbo"  # noqa: S105 - everybody knows it
WEBHOOK_SECRET = "sandbox-checkout-com-signature-key"  # noqa: S105 - everybody knows it
_KEYS_LAST = 86_400
_DECIMALS = {"JPY": 0, "KRW": 0, "BHD": 3, "KWD": 3}
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(slots=True)
class _Payment:
    id: str
    amount: int
    currency: str
    made_at: float
    captured: bool = True
    refunds: list[_Refund] = field(default_factory=list["_Refund"])

    @property
    def refunded(self) -> int:
        return sum(it.amount for it in self.refunds if it.approved is not False)


@dataclass(slots=True)
class _Refund:
    id: str
    payment: _Payment
    amount: int
    made_at: float
    reference: str | None
    approved: bool | None = None


class CheckoutComStandIn(StandIn):
    """Checkout.com's memory: see `StandIn`. A refund is approved a second later, at `advance`.

    Example::

        checkout = CheckoutComStandIn()
        payment = checkout.pay("149.00", "EUR")
        checkout.fail("lost_response")
    """

    name: ClassVar = "checkout_com"
    about: ClassVar = "A test double for Checkout.com's API. It is not theirs, and moves no money."

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self._payments: dict[str, _Payment] = {}
        self._keys: dict[str, tuple[ProcessorReply, float]] = {}

    # What a test does to it.

    def pay(self, value: str, currency: str = "EUR", *, captured: bool = True) -> str:
        """Have a customer pay; return the payment's id."""
        with self.lock:
            minor = int(Decimal(value).scaleb(_DECIMALS.get(currency, 2)))
            made = _Payment(f"pay_{_new_id()}", minor, currency, self.now(), captured)
            self._payments[made.id] = made
            return made.id

    def refunded(self, payment: str) -> int:
        """Return the minor units that the refunds of a payment have moved, or will."""
        return sum(minor for _, minor in self.refunds_of(payment))

    def refunds_of(self, payment: str) -> list[tuple[str, int]]:
        """Return the refunds of a payment that move money: id and minor units."""
        with self.lock:
            made = self._payments[payment].refunds
            return [(it.id, it.amount) for it in made if it.approved is not False]

    def refund_externally(self, payment: str, value: str) -> str:
        """Make a refund as a person does in the dashboard; return its id."""
        with self.lock:
            found = self._payments[payment]
            minor = int(Decimal(value).scaleb(_DECIMALS.get(found.currency, 2)))
            return self._make(found, minor, None, None).id

    # What Checkout.com answers.

    def answer(self, request: ProcessorRequest) -> ProcessorReply:
        """Answer one request."""
        if request.headers.get("authorization") != f"Bearer {SECRET_KEY}":
            return _empty(401)
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["payments", payment] if payment in self._payments:
                return ProcessorReply(200, self._shown(self._payments[payment]))
            case "GET", ["payments", payment, "actions"] if payment in self._payments:
                return ProcessorReply(200, self._actions(self._payments[payment]))
            case "POST", ["payments", payment, "refunds"]:
                return self._refund(request, payment)
            case _:
                return _empty(404)

    def _refund(self, request: ProcessorRequest, payment_id: str) -> ProcessorReply:
        key = request.headers.get("cko-idempotency-key", "")
        if fault := self.take(payment_id, "rate_limit"):
            return ProcessorReply(429, headers={"retry-after": f"{fault.seconds:g}"})
        if self.take(payment_id, "in_flight"):
            return _empty(409)
        lost = self.take(payment_id, "lost_response")
        broken = None if lost else self.take(payment_id, "server_error")
        if broken is not None and not broken.acted:
            return _empty(502)
        kept, used_at = self._keys.get(key, (None, 0.0))
        if kept is not None and self.now() - used_at < _KEYS_LAST:
            reply = kept
        else:
            reply = self._carry_out(request, payment_id)
        if broken is not None:
            return _empty(502)  # and nothing is kept: the same key would run again
        if key and reply is not kept and reply.status < 300:
            self._keys[key] = reply, self.now()
        return ProcessorReply(0, lost=True) if lost else reply

    def _carry_out(self, request: ProcessorRequest, payment_id: str) -> ProcessorReply:
        payment = self._payments.get(payment_id)
        if payment is None:
            return _empty(404)
        try:
            asked = request.json()
            amount, reference = asked["amount"], asked.get("reference")
        except (ValueError, KeyError):
            return _invalid("amount_required")
        if fault := self.take(payment_id, "refused"):
            return _invalid(fault.code or "refund_authorization_declined")
        if not payment.captured:
            return _empty(403)
        if not isinstance(amount, int) or amount <= 0:
            return _invalid("amount_invalid")
        if amount > payment.amount - payment.refunded:
            return _invalid("refund_amount_exceeds_balance")
        fault = self.take(payment_id, "fail_later", "pending_then_succeed")
        made = self._make(payment, amount, reference, fault)
        link = {"href": f"{self.base_url}/payments/{payment.id}"}
        content = {"action_id": made.id, "reference": reference, "_links": {"payment": link}}
        return ProcessorReply(202, content, {"cko-request-id": _new_id()})

    def _make(
        self, payment: _Payment, amount: int, reference: str | None, fault: ProcessorFault | None
    ) -> _Refund:
        made = _Refund(f"act_{_new_id()}", payment, amount, self.now(), reference)
        payment.refunds.append(made)
        approved = fault is None or fault.kind != "fail_later"
        self.later(1.0 if fault is None else fault.seconds, lambda: self._end(made, approved))
        return made

    def _end(self, refund: _Refund, approved: bool) -> None:
        refund.approved = approved
        payment = refund.payment
        event = {
            "id": f"evt_{_new_id()}",
            "type": "payment_refunded" if approved else "payment_refund_declined",
            "version": "1.0.29",
            "created_on": _time(self.now()),
            "data": {
                **self._shown_refund(refund),
                "id": payment.id,
                "action_id": refund.id,
                "currency": payment.currency,
                "balances": self._balances(payment),
            },
        }
        self.tell(payment.id, event)

    def signed(self, url: str, event: Mapping[str, Any]) -> OutgoingEvent:
        """Return an event with Checkout.com's signature."""
        body = json.dumps(event).encode()
        signature = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "cko-signature": signature}
        return OutgoingEvent(url, headers, body)

    def _balances(self, payment: _Payment) -> dict[str, int]:
        captured = payment.amount if payment.captured else 0
        approved = sum(it.amount for it in payment.refunds if it.approved)
        return {
            "total_authorized": payment.amount,
            "total_voided": 0,
            "available_to_void": payment.amount - captured,
            "total_captured": captured,
            "available_to_capture": payment.amount - captured,
            "total_refunded": approved,
            "available_to_refund": max(captured - payment.refunded, 0),
        }

    def _shown(self, payment: _Payment) -> dict[str, Any]:
        return {
            "id": payment.id,
            "requested_on": _time(payment.made_at),
            "amount": payment.amount,
            "currency": payment.currency,
            "payment_type": "Regular",
            "status": "Captured" if payment.captured else "Authorized",
            "balances": self._balances(payment),
        }

    def _actions(self, payment: _Payment) -> list[dict[str, Any]]:
        paid = {
            "id": f"act_{payment.id.removeprefix('pay_')}",
            "type": "Authorization",
            "processed_on": _time(payment.made_at),
            "amount": payment.amount,
            "approved": True,
            "response_code": "10000",
        }
        refunds = [{"type": "Refund", **self._shown_refund(it)} for it in payment.refunds[::-1]]
        return [*refunds, paid]

    def _shown_refund(self, refund: _Refund) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": refund.id,
            "processed_on": _time(refund.made_at),
            "amount": refund.amount,
        }
        if refund.reference is not None:
            shown["reference"] = refund.reference
        if refund.approved is not None:
            shown["approved"] = refund.approved
            shown["response_code"] = "10000" if refund.approved else "20005"
        return shown


def _new_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(26))


def _time(second: float) -> str:
    # With seven digits, as Checkout.com writes it.
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def _empty(status: int) -> ProcessorReply:
    return ProcessorReply(status, headers={"cko-request-id": _new_id()})


def _invalid(code: str) -> ProcessorReply:
    content = {"request_id": _new_id(), "error_type": "request_invalid", "error_codes": [code]}
    return ProcessorReply(422, content)


def __dir__() -> list[str]:
    return __all__
