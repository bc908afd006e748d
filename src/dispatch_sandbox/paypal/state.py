"""The stand-in: tokens, captures, refunds and their keys, in PayPal's shapes.

Sources: PayPal's OpenAPI description of Payments v2; its pages on idempotency and on webhooks. What
they leave open is said where it is decided.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

from dispatch_sandbox.processors.base import (
    OutgoingEvent,
    ProcessorFault,
    ProcessorReply,
    ProcessorRequest,
    StandIn,
    new_id,
)

CLIENT_ID = "sandbox-paypal-client"
CLIENT_SECRET = "sandbox-paypal-secret"  # noqa: S105 - everybody knows it
WEBHOOK_ID = "SANDBOXWEBHOOK1"
_KEYS_LAST = 45 * 86_400
_REFUNDABLE_FOR = 180 * 86_400
_TOKEN_LASTS = 32_400
_MOST_REFUNDS = 1000
_NO_DECIMALS = frozenset({"HUF", "JPY", "TWD"})
_MOVES = frozenset({"COMPLETED", "PENDING"})
_SAID: Mapping[str, str] = {
    "CAPTURE_FULLY_REFUNDED": "The capture has already been fully refunded",
    "REFUND_AMOUNT_EXCEEDED": (
        "The refund amount must be less than or equal to the capture amount that has not yet"
        " been refunded."
    ),
    "REFUND_CAPTURE_CURRENCY_MISMATCH": "Refund must be in the same currency as the capture",
    "REFUND_TIME_LIMIT_EXCEEDED": "You are over the time limit to perform a refund on this capture",
    "REFUND_NOT_ALLOWED": "Capture cannot be refunded.",
}


@dataclass(slots=True)
class _Capture:
    id: str
    value: Decimal
    currency: str
    made_at: float
    status: str = "COMPLETED"
    reason: str | None = None
    refusal: str | None = None
    refunds: list[_Refund] = field(default_factory=list["_Refund"])

    @property
    def refunded(self) -> Decimal:
        return sum((it.value for it in self.refunds if it.status in _MOVES), Decimal(0))

    @property
    def shown_status(self) -> str:
        if self.status != "COMPLETED" or not self.refunded:
            return self.status
        return "REFUNDED" if self.refunded == self.value else "PARTIALLY_REFUNDED"


@dataclass(slots=True)
class _Refund:
    id: str
    capture: _Capture
    value: Decimal
    made_at: float
    custom_id: str | None
    status: str = "COMPLETED"
    changed_at: float = 0.0


class PayPalStandIn(StandIn):
    """PayPal's memory: see `StandIn`.

    Example::

        paypal = PayPalStandIn()
        capture = paypal.pay("149.00", "USD")
        paypal.fail("lost_response")
    """

    name: ClassVar = "paypal"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self.base_url = "https://paypal.invalid"
        """Where it is served: links and the certificate's address begin with it."""
        self._captures: dict[str, _Capture] = {}
        self._refunds: dict[str, _Refund] = {}
        self._keys: dict[str, tuple[str, float]] = {}
        self._tokens: dict[str, float] = {}

    # What a test does to it.

    def pay(self, value: str, currency: str = "USD", *, status: str = "COMPLETED") -> str:
        """Have a customer pay; return the capture's id. ``status`` may be ``PENDING``."""
        with self.lock:
            made = _Capture(new_id(), Decimal(value), currency, self.now(), status)
            self._captures[made.id] = made
            return made.id

    def dispute(self, capture: str) -> None:
        """Have the customer dispute the payment."""
        with self.lock:
            found = self._captures[capture]
            found.reason, found.refusal = "BUYER_COMPLAINT", "TRANSACTION_DISPUTED"

    def complete(self, capture: str) -> None:
        """Let a pending capture be completed."""
        with self.lock:
            self._captures[capture].status = "COMPLETED"

    def refunded(self, payment: str) -> int:
        """Return the minor units that the refunds of a capture have moved, or will."""
        return sum(minor for _, minor in self.refunds_of(payment))

    def refunds_of(self, capture: str) -> list[tuple[str, int]]:
        """Return the refunds of a capture that move money: id and minor units."""
        with self.lock:
            found = self._captures[capture]
            digits = 0 if found.currency in _NO_DECIMALS else 2
            moving = [it for it in found.refunds if it.status in _MOVES]
            return [(it.id, int(it.value.scaleb(digits))) for it in moving]

    def refund_externally(self, payment: str, value: str) -> str:
        """Make a refund as a person does in PayPal's own pages; return its id."""
        with self.lock:
            return self._make(self._captures[payment], Decimal(value), None, None).id

    def revoke_tokens(self) -> None:
        """Let every token be worthless."""
        with self.lock:
            self._tokens.clear()

    # What PayPal answers.

    def answer(self, request: ProcessorRequest) -> ProcessorReply:
        """Answer one request."""
        parts = request.path.strip("/").split("/")
        if request.path == "/v1/oauth2/token":
            return self._token(request)
        if parts[:3] == ["v1", "notifications", "certs"]:
            from dispatch_sandbox.paypal.signing import key_pair

            return ProcessorReply(200, key_pair().chain)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._tokens.get(token, 0) < self.now():
            return _error(401, "AUTHENTICATION_FAILURE", "Token signature verification failed")
        match request.method, parts:
            case "GET", ["v2", "payments", "captures", capture]:
                found = self._captures.get(capture)
                return ProcessorReply(200, self._shown(found)) if found else _missing()
            case "GET", ["v2", "payments", "refunds", refund]:
                made = self._refunds.get(refund)
                return ProcessorReply(200, self._shown_refund(made)) if made else _missing()
            case "POST", ["v2", "payments", "captures", capture, "refund"]:
                return self._refund(request, capture)
            case "GET", ["v1", "identity", "oauth2", "userinfo"]:
                return ProcessorReply(200, {"user_id": "sandbox", "payer_id": "SANDBOXMERCHANT1"})
            case _:
                pass
        return _error(404, "RESOURCE_NOT_FOUND", "The specified resource does not exist.")

    def _token(self, request: ProcessorRequest) -> ProcessorReply:
        given = request.headers.get("authorization", "")
        wanted = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if not secrets.compare_digest(given, f"Basic {wanted}"):
            said = {"error": "invalid_client", "error_description": "Client Authentication failed"}
            return ProcessorReply(401, said)
        token = secrets.token_urlsafe(32)
        self._tokens[token] = self.now() + _TOKEN_LASTS
        content = {
            "scope": "https://uri.paypal.com/services/payments/refund openid",
            "access_token": token,
            "token_type": "Bearer",
            "app_id": "APP-SANDBOX",
            "expires_in": _TOKEN_LASTS,
            "nonce": new_id(),
        }
        return ProcessorReply(200, content)

    def _refund(self, request: ProcessorRequest, capture_id: str) -> ProcessorReply:
        key = request.headers.get("paypal-request-id")
        known = self._known(key)
        if fault := self.take(capture_id, "rate_limit"):
            headers = {"retry-after": f"{fault.seconds:g}"}
            return _error(429, "RATE_LIMIT_REACHED", "Too many requests.", headers=headers)
        if self.take(capture_id, "in_flight"):
            return _issue(409, "RESOURCE_CONFLICT", "PREVIOUS_REQUEST_IN_PROGRESS")
        lost = self.take(capture_id, "lost_response")
        broken = None if lost else self.take(capture_id, "server_error")
        if broken is not None and not broken.acted:
            return _error(500, "INTERNAL_SERVER_ERROR", "An internal server error has occurred.")
        if known is not None:
            # Not documented: another body under the same key. It is answered like any repeat.
            reply = ProcessorReply(200, self._shown_refund(known))
        else:
            reply = self._carry_out(request, capture_id, key)
        if broken is not None:
            return _error(500, "INTERNAL_SERVER_ERROR", "An internal server error has occurred.")
        return ProcessorReply(0, lost=True) if lost else reply

    def _known(self, key: str | None) -> _Refund | None:
        """Return the refund of a key, for as long as PayPal remembers it."""
        refund, used_at = self._keys.get(key or "", ("", 0.0))
        return self._refunds.get(refund) if self.now() - used_at < _KEYS_LAST else None

    def _carry_out(
        self, request: ProcessorRequest, capture_id: str, key: str | None
    ) -> ProcessorReply:
        capture = self._captures.get(capture_id)
        if capture is None:
            return _missing()
        try:
            asked: Mapping[str, Any] = request.json() if request.body else {}
            amount = asked.get("amount")
            value = capture.value - capture.refunded
            if amount is not None:
                value = Decimal(amount["value"])
                if amount["currency_code"] != capture.currency:
                    return _issue(422, "UNPROCESSABLE_ENTITY", "REFUND_CAPTURE_CURRENCY_MISMATCH")
        except (ValueError, KeyError, TypeError, InvalidOperation):
            return _issue(400, "INVALID_REQUEST", "INVALID_PARAMETER_SYNTAX")
        if refused := self._refusal(capture, value):
            # Not documented: whether a refusal is kept under the key. It is not kept here.
            return _issue(422, "UNPROCESSABLE_ENTITY", refused)
        made = self._make(
            capture,
            value,
            asked.get("custom_id"),
            self.take(capture_id, "fail_later", "pending_then_succeed"),
        )
        if key is not None:
            self._keys[key] = made.id, self.now()
        return ProcessorReply(201, self._shown_refund(made))

    def _refusal(self, capture: _Capture, value: Decimal) -> str | None:
        fault = self.take(capture.id, "refused")
        digits = 0 if capture.currency in _NO_DECIMALS else 2
        left = capture.value - capture.refunded
        refusals: tuple[tuple[str | None, bool], ...] = (
            ((fault and fault.code) or "REFUND_NOT_ALLOWED", fault is not None),
            ("CANNOT_BE_ZERO_OR_NEGATIVE", value <= 0),
            ("DECIMALS_NOT_SUPPORTED", value != round(value, digits)),
            (capture.refusal, capture.refusal is not None),
            ("PENDING_CAPTURE", capture.status == "PENDING"),
            ("CAPTURE_FULLY_REFUNDED", not left),
            ("REFUND_AMOUNT_EXCEEDED", value > left),
            ("REFUND_TIME_LIMIT_EXCEEDED", self.now() - capture.made_at > _REFUNDABLE_FOR),
            ("MAX_NUMBER_OF_REFUNDS_EXCEEDED", len(capture.refunds) >= _MOST_REFUNDS),
        )
        return next((issue for issue, applies in refusals if applies), None)

    def _make(
        self, capture: _Capture, value: Decimal, custom_id: str | None, fault: ProcessorFault | None
    ) -> _Refund:
        now = self.now()
        made = _Refund(new_id(), capture, value, now, custom_id, changed_at=now)
        capture.refunds.append(made)
        self._refunds[made.id] = made
        if fault is not None:
            made.status = "PENDING"
            end = "FAILED" if fault.kind == "fail_later" else "COMPLETED"
            self.later(fault.seconds, lambda: self._end(made, end))
        kind = "PAYMENT.CAPTURE.REFUNDED" if fault is None else "PAYMENT.REFUND.PENDING"
        self._announce(made, kind)
        return made

    def _end(self, refund: _Refund, status: str) -> None:
        refund.status, refund.changed_at = status, self.now()
        failed = status == "FAILED"
        self._announce(refund, "PAYMENT.REFUND.FAILED" if failed else "PAYMENT.CAPTURE.REFUNDED")

    def _announce(self, refund: _Refund, kind: str) -> None:
        shown = self._shown_refund(refund)
        value, currency = shown["amount"]["value"], shown["amount"]["currency_code"]
        event: dict[str, Any] = {
            "id": f"WH-{new_id()}-{new_id()}",
            "event_version": "1.0",
            "create_time": _time(self.now()),
            "resource_type": "refund",
            "resource_version": "2.0",
            "event_type": kind,
            "summary": f"A {value} {currency} capture payment was refunded",
            "resource": shown,
            "links": [],
        }
        self.tell(refund.capture.id, event)

    def signed(self, url: str, event: Mapping[str, Any]) -> OutgoingEvent:
        """Return an event with PayPal's headers, signed with the stand-in's own key."""
        from dispatch_sandbox.paypal.signing import headers_of, key_pair

        body = json.dumps(event).encode()
        headers = headers_of(
            body,
            webhook_id=WEBHOOK_ID,
            certificate=f"{self.base_url}/v1/notifications/certs/CERT-sandbox-1",
            # Not `now()`: whoever verifies it has not moved ahead.
            sent_at=datetime.fromtimestamp(self._clock(), UTC),
            pair=key_pair(),
        )
        return OutgoingEvent(url, headers, body)

    def _shown(self, capture: _Capture) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": capture.id,
            "status": capture.shown_status,
            "amount": _money(capture.value, capture.currency),
            "final_capture": True,
            "create_time": _time(capture.made_at),
            "update_time": _time(capture.made_at),
            "links": [self._link("self", f"captures/{capture.id}")],
        }
        if capture.reason is not None:
            shown["status_details"] = {"reason": capture.reason}
        return shown

    def _shown_refund(self, refund: _Refund) -> dict[str, Any]:
        capture = refund.capture
        shown: dict[str, Any] = {
            "id": refund.id,
            "status": refund.status,
            "amount": _money(refund.value, capture.currency),
            "seller_payable_breakdown": {
                "gross_amount": _money(refund.value, capture.currency),
                "total_refunded_amount": _money(capture.refunded, capture.currency),
            },
            "create_time": _time(refund.made_at),
            "update_time": _time(refund.changed_at),
            "links": [
                self._link("self", f"refunds/{refund.id}"),
                self._link("up", f"captures/{capture.id}"),
            ],
        }
        if refund.custom_id is not None:
            shown["custom_id"] = refund.custom_id
        if refund.status == "PENDING":
            shown["status_details"] = {"reason": "ECHECK"}
        return shown

    def _link(self, rel: str, what: str) -> dict[str, str]:
        return {"rel": rel, "method": "GET", "href": f"{self.base_url}/v2/payments/{what}"}


def _money(value: Decimal, currency: str) -> dict[str, str]:
    digits = 0 if currency in _NO_DECIMALS else 2
    return {"currency_code": currency, "value": f"{value:.{digits}f}"}


def _time(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _error(
    status: int, name: str, message: str, *, headers: Mapping[str, str] | None = None
) -> ProcessorReply:
    debug = secrets.token_hex(6)
    content = {"name": name, "message": message, "debug_id": debug}
    return ProcessorReply(status, content, {"paypal-debug-id": debug, **(headers or {})})


_MESSAGES: Mapping[int, str] = {
    400: ("Request is not well-formed, syntactically incorrect, or violates schema."),
    404: "The specified resource does not exist.",
    409: "The server has detected a conflict while processing this request.",
    422: (
        "The requested action could not be performed, semantically incorrect, or failed business"
        " validation."
    ),
}


def _issue(status: int, name: str, issue: str) -> ProcessorReply:
    reply = _error(status, name, _MESSAGES[status])
    details: dict[str, str] = {"issue": issue}
    if issue in _SAID:
        details["description"] = _SAID[issue]
    return ProcessorReply(status, {**reply.content, "details": [details]}, reply.headers)


def _missing() -> ProcessorReply:
    return _issue(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID")
