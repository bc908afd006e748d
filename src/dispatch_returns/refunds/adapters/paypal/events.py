"""PayPal's webhooks: what is signed, and what an event says about refunds. Pure.

Source: https://developer.paypal.com/api/rest/webhooks/rest/ (verify the message),
https://developer.paypal.com/api/rest/webhooks/event-names/.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from datetime import datetime, timedelta
from typing import NamedTuple

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import EventError, ReplayError, SignatureError
from dispatch_returns.refunds.adapter import EventHead, RefundUpdate
from dispatch_returns.refunds.adapters.http import JsonObject, mapping
from dispatch_returns.refunds.adapters.paypal import objects

NEEDED = (
    "PAYMENT.CAPTURE.REFUNDED",
    "PAYMENT.CAPTURE.REVERSED",
    "PAYMENT.REFUND.PENDING",
    "PAYMENT.REFUND.FAILED",
)
"""The events to subscribe to. Each carries the refund as it is then."""
OLDEST = timedelta(days=4)
"""PayPal sends an event again for three days."""
_AHEAD = timedelta(minutes=5)
_ALGORITHM = "SHA256withRSA"
_TOKEN = re.compile(r"[!-~]{1,200}")


class Signed(NamedTuple):
    """What a delivery claims: the address of the certificate, the signature, what it signs."""

    certificate: str
    signature: bytes
    content: bytes
    sent_at: datetime


def signed_of(request: WebhookRequest, webhook_id: str) -> Signed:
    """Read the headers. Raises `SignatureError` for what PayPal does not send so."""
    names = ("transmission-id", "transmission-time", "transmission-sig", "cert-url", "auth-algo")
    found = [request.header(f"paypal-{name}") or "" for name in names]
    transmission, time, signature, certificate, algorithm = found
    if not all(found) or not all(_TOKEN.fullmatch(it) for it in (transmission, time)):
        raise SignatureError("the PayPal headers are missing or malformed")
    if algorithm != _ALGORITHM:
        raise SignatureError("the PayPal signature is of a kind that is not known")
    checksum = zlib.crc32(request.body)
    try:
        sent_at = objects.moment(time)
        raw = base64.b64decode(signature, validate=True)
    except (ValueError, binascii.Error):
        raise SignatureError("the PayPal headers are malformed") from None
    content = f"{transmission}|{time}|{webhook_id}|{checksum}".encode()
    return Signed(certificate, raw, content, sent_at)


def check_time(sent_at: datetime, now: datetime) -> None:
    """Raise `ReplayError` for a delivery that is too old, or from the future."""
    if not now - OLDEST <= sent_at <= now + _AHEAD:
        raise ReplayError("the PayPal delivery is too old, or from the future")


def read_head(body: bytes) -> EventHead:
    """Return what the inbox needs to know about an authentic event. Raises `EventError`."""
    event = _decoded(body)
    try:
        return EventHead(
            event["id"],
            event["event_type"],
            objects.moment(event["create_time"]),
            objects.note_of(mapping(event.get("resource"))).ticket_id,
        )
    except objects.MISFITS as error:
        raise _not_understood(error) from None


def refund_update(body: bytes) -> RefundUpdate | None:
    """Return what an authentic event says about refunds; None if it is about something else.

    Raises `EventError` when it cannot be understood.
    """
    event = _decoded(body)
    try:
        if event["event_type"] not in NEEDED:
            return None
        refund = objects.known_refund(event["resource"])
    except objects.MISFITS as error:
        raise _not_understood(error) from None
    return RefundUpdate(refund.payments, (refund,))


def _decoded(body: bytes) -> JsonObject:
    # Its errors would quote the body, so they stop here.
    try:
        event = mapping(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise _not_understood(error) from None
    if not event:
        raise EventError("a PayPal event cannot be understood (not an object)")
    return event


def _not_understood(error: Exception) -> EventError:
    return EventError(f"a PayPal event cannot be understood ({type(error).__name__})")
