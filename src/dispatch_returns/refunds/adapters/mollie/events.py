"""Mollie's webhooks: signed events, and the older unsigned ones, which only make us ask. Pure.

Sources: https://docs.mollie.com/reference/webhooks-new, https://docs.mollie.com/reference/webhooks.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import EventError, SignatureError
from dispatch_returns.refunds.adapter import EventHead, PaymentRef, RefundUpdate
from dispatch_returns.refunds.adapters.http import JsonObject, mapping
from dispatch_returns.refunds.adapters.mollie import objects

HEADER = "x-mollie-signature"
NEEDED = (
    "refund.queued",
    "refund.pending",
    "refund.processing",
    "refund.refunded",
    "refund.failed",
    "refund.canceled",
)
HINT = "payment"
"""The type of an unsigned delivery: something about a payment has changed."""


def verify(request: WebhookRequest, secrets: Sequence[str]) -> None:
    """Raise `SignatureError` unless Mollie signed the body with one of the secrets.

    Mollie sends no signing time. A repeat is recognised by its event's id.
    """
    if not secrets:
        raise SignatureError("no MOLLIE_WEBHOOK_SECRET is configured, so nothing is accepted")
    given = (request.header(HEADER) or "").removeprefix("sha256=")
    matches = [
        hmac.compare_digest(
            hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest().encode(),
            given.encode(),
        )
        for secret in secrets
    ]
    if not any(matches):
        raise SignatureError("the Mollie signature does not match")


def hinted_payment(request: WebhookRequest) -> str:
    """Return the payment's id of an unsigned delivery. Raises `SignatureError` for any other."""
    try:
        given = parse_qs(request.body.decode("ascii"), strict_parsing=True, max_num_fields=4)
    except ValueError:
        raise SignatureError("neither signed by Mollie nor the id of a payment") from None
    (payment,) = given.get("id", [""])[:1]
    if not objects.PAYMENT_ID.fullmatch(payment):
        raise SignatureError("neither signed by Mollie nor the id of a payment")
    return payment


def read_head(body: bytes) -> EventHead:
    """Return what the inbox needs to know about a signed event. Raises `EventError`."""
    event = _decoded(body)
    try:
        notes = mapping(_entity(event).get("metadata"))
        ticket = notes.get("ticket_id")
        return EventHead(
            _event_id(event, body),
            _type(event),
            objects.moment(event["createdAt"]) if event.get("resource") == "event" else None,
            ticket if isinstance(ticket, str) else None,
        )
    except objects.MISFITS as error:
        raise _not_understood(error) from None


def refund_update(body: bytes) -> RefundUpdate | None:
    """Return what a delivery says about refunds; None if it is about something else.

    Raises `EventError` when a signed event cannot be understood.
    """
    if not body.startswith(b"{"):
        payment = parse_qs(body.decode("ascii"))["id"][0]
        return RefundUpdate((PaymentRef("reference", payment),), ())
    event = _decoded(body)
    try:
        if _type(event) not in NEEDED:
            return None
        refund = objects.known_refund(_entity(event))
    except objects.MISFITS as error:
        raise _not_understood(error) from None
    return RefundUpdate(refund.payments, (refund,))


def _entity(event: JsonObject) -> JsonObject:
    """Return the object that an event shows: in its envelope, or the whole body."""
    if event.get("resource") != "event":
        return event
    return mapping(mapping(event.get("_embedded")).get("entity"))


def _type(event: JsonObject) -> str:
    if event.get("resource") == "event":
        kind: Any = event["type"]
    else:
        kind = f"{event['resource']}.{event['status']}"
    if not isinstance(kind, str) or not kind:
        raise ValueError("not a type")
    return kind


def _event_id(event: JsonObject, body: bytes) -> str:
    if event.get("resource") != "event":
        return hashlib.sha256(body).hexdigest()  # a snapshot has no id: the same one is a repeat
    found = event["id"]
    if not isinstance(found, str) or not found:
        raise ValueError("not an id")
    return found


def _decoded(body: bytes) -> JsonObject:
    # Its errors would quote the body, so they stop here.
    try:
        event = mapping(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise _not_understood(error) from None
    if not event:
        raise EventError("a Mollie event cannot be understood (not an object)")
    return event


def _not_understood(error: Exception) -> EventError:
    return EventError(f"a Mollie event cannot be understood ({type(error).__name__})")
