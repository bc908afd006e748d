"""Square's webhooks: the signature over URL and body, and what an event says of a refund. Pure.

Sources: https://developer.squareup.com/docs/webhooks/step3validate,
https://developer.squareup.com/reference/square/webhooks/refund.updated.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import EventError, SignatureError
from dispatch_returns.refunds.adapter import EventHead, RefundUpdate
from dispatch_returns.refunds.adapters.http import JsonObject, mapping
from dispatch_returns.refunds.adapters.references import ours_in
from dispatch_returns.refunds.adapters.square import objects

HEADER = "x-square-hmacsha256-signature"
NEEDED = ("refund.created", "refund.updated")


def verify(request: WebhookRequest, url: str, keys: Sequence[str]) -> None:
    """Raise `SignatureError` unless Square signed `url` and the body with one of the keys.

    Square sends no signing time. A repeat is recognised by its event's id.
    """
    if not keys:
        raise SignatureError("no SQUARE_SIGNATURE_KEY is configured, so nothing is accepted")
    given = (request.header(HEADER) or "").encode()
    signed = url.encode() + request.body
    matches = [
        hmac.compare_digest(
            base64.b64encode(hmac.new(key.encode(), signed, hashlib.sha256).digest()), given
        )
        for key in keys
    ]
    if not any(matches):
        raise SignatureError(
            "the Square signature does not match: SQUARE_WEBHOOK_URL must be, letter for letter,"
            " the notification URL in Square's Developer Console"
        )


def read_head(body: bytes) -> EventHead:
    """Return what the inbox needs to know about an authentic event. Raises `EventError`."""
    event = _decoded(body)
    try:
        event_id, kind = event["event_id"], event["type"]
        if not (isinstance(event_id, str) and event_id and isinstance(kind, str) and kind):
            raise TypeError("not texts")
        ours = ours_in(_refund(event).get("reason"))
        return EventHead(
            event_id,
            kind,
            objects.moment(event["created_at"]),
            None if ours is None else ours.ticket_id,
        )
    except objects.MISFITS as error:
        raise _not_understood(error) from None


def refund_update(body: bytes) -> RefundUpdate | None:
    """Return what an authentic event says about refunds; None if it is about something else.

    Raises `EventError` when it cannot be understood.
    """
    event = _decoded(body)
    try:
        if event["type"] not in NEEDED:
            return None
        refund = objects.known_refund(_refund(event))
    except objects.MISFITS as error:
        raise _not_understood(error) from None
    return RefundUpdate(refund.payments, (refund,))


def _refund(event: JsonObject) -> JsonObject:
    return mapping(mapping(mapping(event.get("data")).get("object")).get("refund"))


def _decoded(body: bytes) -> JsonObject:
    # Its errors would quote the body, so they stop here.
    try:
        event = mapping(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise _not_understood(error) from None
    if not event:
        raise EventError("a Square event cannot be understood (not an object)")
    return event


def _not_understood(error: Exception) -> EventError:
    return EventError(f"a Square event cannot be understood ({type(error).__name__})")
