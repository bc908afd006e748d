"""Stripe's webhooks: the signature, and the events that tell of a refund. Pure.

Source: https://docs.stripe.com/webhooks/signature, https://docs.stripe.com/api/events/types.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from dispatch_returns.errors import EventError, SignatureError
from dispatch_returns.refunds.adapter import RefundUpdate
from dispatch_returns.refunds.adapters.stripe import objects

HEADER = "stripe-signature"
TOLERANCE = timedelta(minutes=5)

_OBJECT_IS_A_REFUND = frozenset(
    # `charge.refund.updated` is the older name; its object is a Refund, not a Charge.
    {"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"}
)
_LONGEST_TIMESTAMP = 12


def verify(body: bytes, header: str | None, secrets: Sequence[str], now: datetime) -> None:
    """Raise `SignatureError` unless one of `secrets` signed `body`, at most 5 minutes from `now`.

    The time counts in both directions, and no secret at all refuses everything.
    """
    if not secrets:
        raise SignatureError("no Stripe webhook secret is configured, so nothing is accepted")
    timestamp, signatures = _parts(header or "")
    signed = timestamp.encode() + b"." + body
    expected = [hmac.new(s.encode(), signed, hashlib.sha256).hexdigest() for s in secrets]
    if not any(_same(given, ours) for given in signatures for ours in expected):
        raise SignatureError("the Stripe signature does not match")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE.total_seconds():
        raise SignatureError("the Stripe signature is too old, or from the future")


def _parts(header: str) -> tuple[str, list[str]]:
    """Return the timestamp and the v1 signatures of ``t=…,v1=…,v1=…``."""
    pairs = [part.strip().partition("=") for part in header.split(",")]
    timestamps = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"]
    if len(timestamps) != 1 or not signatures or not _is_timestamp(timestamps[0]):
        raise SignatureError("the Stripe-Signature header is missing or malformed")
    return timestamps[0], signatures


def _is_timestamp(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_TIMESTAMP


def _same(given: str, ours: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), ours.encode())


def refund_update(body: bytes) -> RefundUpdate | None:
    """Return what an authentic event says of a refund; None if it is about something else.

    Raises `EventError` when it cannot be understood.
    """
    try:
        event = json.loads(body)
        refund = _refund_of(event)
        return None if refund is None else _update(event, refund)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise EventError(f"a Stripe event cannot be understood ({type(error).__name__})") from None


def _refund_of(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if event["type"] in _OBJECT_IS_A_REFUND:
        return cast("Mapping[str, Any]", event["data"]["object"])
    if event["type"] != "charge.refunded":
        return None
    # Newer versions of Stripe's API send the charge without its refunds.
    listed = event["data"]["object"].get("refunds")
    refunds: list[Mapping[str, Any]] = listed["data"] if listed else []
    return max(refunds, key=lambda refund: refund["created"], default=None)


def _update(event: Mapping[str, Any], refund: Mapping[str, Any]) -> RefundUpdate:
    refund_id = objects.metadata(refund).get(objects.REFUND_ID)
    return RefundUpdate(
        event_id=objects.text(event["id"]),
        type=event["type"],
        refund_id=None if refund_id is None else objects.text(refund_id),
        payment=objects.payment_ref(refund, event.get("account")),
        result=objects.refund_result(refund, ours=refund_id is not None),
    )
