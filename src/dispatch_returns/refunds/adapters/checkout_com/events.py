"""Checkout.com's webhooks: signature and content. Pure.

Sources: https://www.checkout.com/docs/workflows/webhook-event-types/payment_refunded, and for the
signature https://www.checkout.com/docs/developer-resources/event-notifications/receive-webhooks.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import EventError, SignatureError
from dispatch_returns.refunds.adapter import EventHead, RefundStatus, RefundUpdate
from dispatch_returns.refunds.adapters.checkout_com import objects
from dispatch_returns.refunds.adapters.http import JsonObject, mapping
from dispatch_returns.refunds.adapters.references import ours_in

HEADER = "cko-signature"
_STATUS: Mapping[str, RefundStatus] = {
    "payment_refunded": RefundStatus.SUCCEEDED,
    "payment_refund_declined": RefundStatus.FAILED,
}
NEEDED = tuple(_STATUS)


def verify(request: WebhookRequest, secrets: Sequence[str]) -> None:
    """Raise `SignatureError` unless Checkout.com signed the body with one of the secrets.

    Checkout.com sends no signing time. A repeat is recognised by its event's id.
    """
    if not secrets:
        raise SignatureError("no CHECKOUT_COM_WEBHOOK_SECRET is configured: nothing is accepted")
    given = (request.header(HEADER) or "").lower()
    matches = [
        hmac.compare_digest(
            hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest().encode(),
            given.encode(),
        )
        for secret in secrets
    ]
    if not any(matches):
        raise SignatureError("the Checkout.com signature does not match")


def read_head(body: bytes) -> EventHead:
    """Return what the inbox needs to know about a signed event. Raises `EventError`."""
    event = _decoded(body)
    try:
        ours = ours_in(mapping(event.get("data")).get("reference"))
        return EventHead(
            _text(event["id"]),
            _text(event["type"]),
            objects.moment(event["created_on"]),
            None if ours is None else ours.ticket_id,
        )
    except objects.MISFITS as error:
        raise _not_understood(error) from None


def refund_update(body: bytes) -> RefundUpdate | None:
    """Return what an event says about refunds; None if it is about something else.

    Raises `EventError` when a signed event cannot be understood.
    """
    event = _decoded(body)
    try:
        status = _STATUS.get(_text(event["type"]))
        if status is None:
            return None
        refund = objects.told_refund(event["data"], status)
    except objects.MISFITS as error:
        raise _not_understood(error) from None
    return RefundUpdate(refund.payments, (refund,))


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("not a word")
    return value


def _decoded(body: bytes) -> JsonObject:
    # Its errors would quote the body, so they stop here.
    try:
        event = mapping(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise _not_understood(error) from None
    if not event:
        raise EventError("a Checkout.com event cannot be understood (not an object)")
    return event


def _not_understood(error: Exception) -> EventError:
    return EventError(f"a Checkout.com event cannot be understood ({type(error).__name__})")
