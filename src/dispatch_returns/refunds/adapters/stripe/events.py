"""Stripe's webhooks: the signature, and the events about refunds. Pure.

Source: https://docs.stripe.com/webhooks/signature, https://docs.stripe.com/api/events/types.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, cast

from dispatch_returns.errors import EventError, ReplayError, SignatureError
from dispatch_returns.refunds.adapter import EventHead, RefundUpdate
from dispatch_returns.refunds.adapters.stripe import objects

HEADER = "stripe-signature"
TOLERANCE = timedelta(minutes=5)
EVENTS = (
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.refunded",
    "charge.refund.updated",
)
"""The events that `refund_update` reads. The last two are the older names: see `NEEDED`."""
NEEDED = EVENTS[:3]
"""The events to request from Stripe: API versions since 2024 report everything with these."""

# `charge.refund.updated` is the older name; its object is a Refund, not a Charge.
_OBJECT_IS_A_REFUND = frozenset(EVENTS) - {"charge.refunded"}
_LONGEST_TIMESTAMP = 12


def verify(body: bytes, header: str | None, secrets: Sequence[str], now: datetime) -> None:
    """Raise `SignatureError` unless one of `secrets` signed `body`, at most 5 minutes from `now`.

    The time counts in both directions; if only the time is wrong, it raises `ReplayError`. Without
    any secret, it refuses everything.
    """
    if not secrets:
        raise SignatureError("no Stripe webhook secret is configured, so nothing is accepted")
    # t=…,v1=…,v1=…
    pairs = [part.strip().partition("=") for part in (header or "").split(",")]
    timestamps = [value for name, _, value in pairs if name == "t"]
    # Only ASCII may reach compare_digest, which raises TypeError for other text.
    signatures = [value for name, _, value in pairs if name == "v1" and value.isascii()]
    timestamp = timestamps[0] if len(timestamps) == 1 else ""
    digits = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _LONGEST_TIMESTAMP
    if not digits or not signatures:
        raise SignatureError("the Stripe-Signature header is missing or malformed")
    matches = False
    for secret in secrets:
        mac = _keyed(secret).copy()
        mac.update(timestamp.encode() + b".")
        mac.update(body)
        ours = mac.hexdigest()
        for given in signatures:
            matches |= hmac.compare_digest(given, ours)
    if not matches:
        raise SignatureError("the Stripe signature does not match")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE.total_seconds():
        raise ReplayError("the Stripe signature is too old, or from the future")


@lru_cache
def _keyed(secret: str) -> hmac.HMAC:
    # Cached, because preparing a key takes a quarter of the time of a verification.
    return hmac.new(secret.encode(), digestmod="sha256")


def read_head(body: bytes) -> EventHead:
    """Return what the inbox needs to know about an authentic event. Raises `EventError`."""
    event = _decoded(body)
    try:
        return EventHead(
            objects.printable(event["id"]),
            objects.printable(event["type"]),
            datetime.fromtimestamp(event["created"], UTC),
            _ticket_of(event),
        )
    except objects.MISFITS as error:
        raise _not_understood(error) from None


def refund_update(body: bytes) -> RefundUpdate | None:
    """Return what an authentic event says about refunds; None if it is about something else.

    Raises `EventError` when it cannot be understood.
    """
    event = _decoded(body)
    try:
        kind, account = event["type"], event.get("account")
        if kind in _OBJECT_IS_A_REFUND:
            refund = objects.known_refund(event["data"]["object"], account)
            return RefundUpdate(refund.payments, (refund,))
        if kind != "charge.refunded":
            return None
        charge = event["data"]["object"]
        # The event only says which charge: the adapter asks Stripe how its refunds stand. What the
        # event shows of them depends on the API version: a list, a plain list, some without id or
        # status, none.
        return RefundUpdate(objects.payments_of_charge(charge, account), ())
    except objects.MISFITS as error:
        raise _not_understood(error) from None


def _decoded(body: bytes) -> Mapping[str, Any]:
    # Its errors would quote the body, so they stop here.
    try:
        event: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _not_understood(error) from None
    if not isinstance(event, dict):
        raise EventError("a Stripe event cannot be understood (not an object)")
    return cast("Mapping[str, Any]", event)


def _not_understood(error: Exception) -> EventError:
    return EventError(f"a Stripe event cannot be understood ({type(error).__name__})")


def _ticket_of(event: Mapping[str, Any]) -> str | None:
    """Return the ticket of a refund of ours. It only helps to find the event in a list."""
    if event["type"] not in _OBJECT_IS_A_REFUND:
        return None
    ticket = objects.metadata(event["data"]["object"]).get(objects.TICKET_ID)
    try:
        return objects.noted(ticket)
    except ValueError:
        return None
