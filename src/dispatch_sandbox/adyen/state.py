"""Payments and refunds as Adyen keeps them: it acknowledges every refund, and says more by webhook.

Made from the published description of Checkout v72 and Adyen's pages on idempotency and webhooks.
What they leave open is said where it is decided here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from dispatch_sandbox.processors.base import (
    OutgoingEvent,
    ProcessorReply,
    ProcessorRequest,
    StandIn,
    new_id,
)

API_KEY = "AQE-sandbox"
MERCHANT_ACCOUNT = "SandboxECOM"
HMAC_KEY = "5A" * 32
KEYS_LAST = 7 * 24 * 3600.0
"""Seconds. Adyen promises at least this."""
_LONGEST_KEY = 64
_REFUNDS = re.compile(r"/v72/payments/([A-Za-z0-9]+)/refunds")
_DIGITS: Mapping[str, int] = {
    **dict.fromkeys(["CVE", "DJF", "GNF", "IDR", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX"], 0),
    **dict.fromkeys(["VND", "VUV", "XAF", "XOF", "XPF"], 0),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
}
_NEEDS_LINES = frozenset({"klarna", "affirm", "afterpaytouch", "clearpay", "atome", "ratepay"})
_MESSAGES: Mapping[str, str] = {
    "000": "HTTP Status Response - Unauthorized",
    "010": "Not allowed",
    "113": "No InvoiceLines provided",
    "137": "Field 'amount' is not valid.",
    "138": "Unsupported currency specified",
    "167": "Original pspReference required for this operation",
    "702": "Problem parsing request",
    "703": "Required resource temporarily unavailable",
    "704": "request already processed or in progress",
    "901": "Invalid Merchant Account",
    "903": "Internal error",
    "905": "Payment details are not supported",
}


@dataclass(slots=True)
class AdyenPayment:
    """A payment, in Adyen's minor units. ``captured``: whether it can be refunded yet."""

    psp_reference: str
    value: int
    currency: str
    method: str
    captured: bool = True
    refunds: list[_Refund] = field(default_factory=list["_Refund"])

    @property
    def refunded(self) -> int:
        """What its refunds have moved, or will."""
        return sum(it.value for it in self.refunds if not it.failed)


@dataclass(slots=True)
class _Refund:
    psp_reference: str
    value: int
    reference: str
    failed: bool = False


class AdyenStandIn(StandIn):
    """One merchant account at Adyen. Only `API_KEY` is let in."""

    name = "adyen"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self.payments: dict[str, AdyenPayment] = {}
        self._keys: dict[str, tuple[ProcessorReply, float]] = {}

    def pay(
        self, value: str, currency: str = "EUR", *, method: str = "visa", captured: bool = True
    ) -> str:
        """Have a customer pay `value` major units; return the pspReference."""
        minor = int(Decimal(value).scaleb(_DIGITS.get(currency, 2)))
        payment = AdyenPayment(new_id(16), minor, currency, method, captured)
        with self.lock:
            self.payments[payment.psp_reference] = payment
        return payment.psp_reference

    def refunded(self, payment: str) -> int:
        """Return the minor units that the refunds of a payment have moved, or will."""
        return self.payments[payment].refunded

    def refund_externally(self, payment: str, value: str) -> str:
        """Refund in the Customer Area: the event then carries the payment's own reference."""
        paid = self.payments[payment]
        minor = int(Decimal(value).scaleb(_DIGITS.get(paid.currency, 2)))
        with self.lock:
            return self._make(paid, minor, "order-1").psp_reference

    def reverse(self, refund: str) -> None:
        """Have the money of a refund come back, long after it was made."""
        with self.lock:
            self._fail(*self._find(refund), "REFUNDED_REVERSED", "Account closed")

    def answer(self, request: ProcessorRequest) -> ProcessorReply:
        """Answer one request, in Adyen's shape."""
        given = request.headers.get("x-api-key", "")
        if not secrets.compare_digest(given.encode(), API_KEY.encode()):
            return _error(401, "000", "security")
        try:
            asked = request.json()
        except ValueError:
            return _error(400, "702", "validation")
        if asked.get("merchantAccount") != MERCHANT_ACCOUNT:
            return _error(403, "901", "security")
        if request.path == "/v72/paymentMethods":
            return ProcessorReply(200, {"paymentMethods": [{"name": "Cards", "type": "scheme"}]})
        found = _REFUNDS.fullmatch(request.path)
        if found is None or request.method != "POST":
            return ProcessorReply(404)
        return self._refund(found[1], asked, request.headers.get("idempotency-key"))

    def _refund(self, payment: str, asked: Mapping[str, Any], key: str | None) -> ProcessorReply:
        if fault := self.take(payment, "rate_limit"):
            return ProcessorReply(429, headers={"retry-after": f"{fault.seconds:g}"})
        if key is not None and len(key) > _LONGEST_KEY:
            return _error(422, "702", "validation")
        if self.take(payment, "in_flight"):
            return _error(422, "704", "validation", transient=True)
        lost = self.take(payment, "lost_response")
        broken = None if lost else self.take(payment, "server_error")
        if broken is not None and broken.code == "703":
            return _error(503, "703", "internal", transient=True)
        stored, used_at = self._keys.get(key or "", (None, 0.0))
        if stored is not None and self.now() - used_at < KEYS_LAST:
            # Not documented: the same key with another body. The first answer is given again.
            reply = stored
        else:
            reply = _error(500, "903", "internal")
            if broken is None or broken.acted:
                made = self._carry_out(payment, asked)
                reply = made if broken is None else reply
            if key is not None:
                reply = replace(reply, headers={**reply.headers, "idempotency-key": key})
                self._keys[key] = reply, self.now()
        return ProcessorReply(0, lost=True) if lost else reply

    def _carry_out(self, psp_reference: str, asked: Mapping[str, Any]) -> ProcessorReply:
        payment = self.payments.get(psp_reference)
        if fault := self.take(psp_reference, "refused"):
            return _error(422, fault.code or "905", "validation")
        if payment is None:
            return _error(422, "167", "validation")
        amount: Any = asked.get("amount")
        try:
            value, currency = int(amount["value"]), amount["currency"]
        except (KeyError, TypeError, ValueError):
            return _error(422, "137", "validation")
        if currency != payment.currency:
            return _error(422, "138", "validation")
        if payment.method in _NEEDS_LINES and not asked.get("lineItems"):
            return _error(422, "113", "validation")
        reference = asked.get("reference", "")
        made = self._make(payment, value, reference)
        content = {
            "merchantAccount": MERCHANT_ACCOUNT,
            "paymentPspReference": psp_reference,
            "pspReference": made.psp_reference,
            "status": "received",
        }
        echoed = ("amount", "lineItems", "merchantRefundReason", "reference")
        return ProcessorReply(201, content | {it: asked[it] for it in echoed if it in asked})

    def _make(self, payment: AdyenPayment, value: int, reference: str) -> _Refund:
        made = _Refund(new_id(16), value, reference)
        refusal = None
        if not payment.captured:
            refusal = "Transaction hasn't been captured, refund not possible"
        elif value > payment.value - payment.refunded:
            refusal = "Insufficient balance on payment"
        payment.refunds.append(made)
        if refusal is not None:
            made.failed = True
            self._announce(payment, made, "REFUND", success=False, reason=refusal)
            return made
        slow = self.take(payment.psp_reference, "pending_then_succeed")
        if slow is None:
            self._announce(payment, made, "REFUND")
        else:
            self.later(slow.seconds, lambda: self._announce(payment, made, "REFUND"))
        if fault := self.take(payment.psp_reference, "fail_later"):
            failing = (payment, made, "REFUND_FAILED", fault.code or "Refused by the issuer")
            self.later(fault.seconds, lambda: self._fail(*failing))
        return made

    def _fail(self, payment: AdyenPayment, refund: _Refund, code: str, reason: str) -> None:
        refund.failed = True
        self._announce(payment, refund, code, reason=reason)

    def _find(self, refund: str) -> tuple[AdyenPayment, _Refund]:
        found = ((it, made) for it in self.payments.values() for made in it.refunds)
        return next((it, made) for it, made in found if made.psp_reference == refund)

    def _announce(
        self,
        payment: AdyenPayment,
        refund: _Refund,
        code: str,
        *,
        success: bool = True,
        reason: str = "",
    ) -> None:
        item = {
            "additionalData": {},
            "amount": {"currency": payment.currency, "value": refund.value},
            "eventCode": code,
            "eventDate": datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="seconds"),
            "merchantAccountCode": MERCHANT_ACCOUNT,
            "merchantReference": refund.reference,
            "originalReference": payment.psp_reference,
            "paymentMethod": payment.method,
            "pspReference": refund.psp_reference,
            "reason": reason,
            "success": "true" if success else "false",
        }
        self.tell(payment.psp_reference, item)

    def signed(self, url: str, event: Mapping[str, Any]) -> OutgoingEvent:
        """Return a notification with this item alone."""
        body = json.dumps(notification([event])).encode()
        return OutgoingEvent(url, {"content-type": "application/json"}, body)


def notification(items: Sequence[Mapping[str, Any]], key: str = HMAC_KEY) -> dict[str, Any]:
    """Return a notification of several items, each of them signed."""
    return {
        "live": "false",
        "notificationItems": [{"NotificationRequestItem": _signed(it, key)} for it in items],
    }


def _signed(item: Mapping[str, Any], key: str) -> dict[str, Any]:
    amount = item["amount"]
    signed = (
        f"{item['pspReference']}:{item.get('originalReference') or ''}"
        f":{item['merchantAccountCode']}:{item['merchantReference']}"
        f":{amount['value']}:{amount['currency']}:{item['eventCode']}:{item['success']}"
    )
    made = hmac.new(bytes.fromhex(key), signed.encode(), hashlib.sha256).digest()
    more = {"hmacSignature": base64.b64encode(made).decode()}
    return {**item, "additionalData": {**item.get("additionalData", {}), **more}}


def _error(status: int, code: str, kind: str, *, transient: bool = False) -> ProcessorReply:
    content = {
        "status": status,
        "errorCode": code,
        "message": _MESSAGES.get(code, "Unknown"),
        "errorType": kind,
        "pspReference": new_id(16),
    }
    return ProcessorReply(status, content, {"transient-error": "true"} if transient else {})
