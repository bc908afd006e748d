"""Braintree's webhooks: their signature, the challenge, and whose refunds an event is about.

Source: https://developer.paypal.com/braintree/docs/guides/webhooks/parse
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode
from urllib.parse import parse_qs
from xml.etree import ElementTree

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import EventError, SignatureError
from dispatch_returns.refunds.adapter import EventHead, RefundUpdate
from dispatch_returns.refunds.adapters.braintree.objects import names_of, time_of

NEEDED = ("refund_failed", "transaction_settled")
_CHALLENGE = re.compile("[a-f0-9]{20,32}")
_LEGACY_ID = re.compile(r"[a-z0-9]{1,36}", re.ASCII)


def signature(text: str, private_key: str) -> str:
    """Return the hexadecimal HMAC-SHA1 of a text, keyed with the SHA-1 of the private key.

    Braintree's own choice; an HMAC does not depend on what makes SHA-1 weak.
    """
    key = hashlib.sha1(private_key.encode(), usedforsecurity=False).digest()
    return hmac.new(key, text.encode(), hashlib.sha1).hexdigest()


def verified(request: WebhookRequest, public_key: str, private_key: str) -> EventHead:
    """Return the head of a signed event. Raises `SignatureError`, `EventError`."""
    payload, signed = _form(request.body)
    given = [it.partition("|")[2] for it in signed.split("&") if it.startswith(f"{public_key}|")]
    # Braintree's own libraries also accept the payload with a line break after it.
    wanted = [signature(text, private_key) for text in (payload, f"{payload}\n")]
    fits = [hmac.compare_digest(a.encode(), b.encode()) for a in given for b in wanted]
    if True not in fits:
        raise SignatureError("the event is not signed with the private key of this account")
    root = _xml(payload)
    kind, timestamp = root.findtext("kind"), root.findtext("timestamp")
    if not kind:
        raise EventError("the event has no kind")
    try:
        occurred_at = time_of(timestamp)
    except ValueError:
        raise EventError("the event has no time that can be read") from None
    # It has no id: a repeated delivery has the same content.
    event_id = hashlib.sha256(payload.encode()).hexdigest()[:40]
    return EventHead(event_id, kind, occurred_at, body=payload.encode())


def answer(request: WebhookRequest, public_key: str, private_key: str) -> bytes:
    """Return the answer to a challenge. Raises `SignatureError` for any other request."""
    (challenge,) = parse_qs(request.query).get("bt_challenge", [""])[:1]
    if not _CHALLENGE.fullmatch(challenge):
        raise SignatureError("bt_challenge is missing, or not a challenge of Braintree's")
    return f"{public_key}|{signature(challenge, private_key)}".encode()


def refund_update(payload: bytes) -> RefundUpdate | None:
    """Return the transaction whose refund an event is about; None for any other event."""
    root = _xml(payload.decode())
    if root.findtext("kind") not in NEEDED:
        return None
    refunded = root.findtext("subject/transaction/refunded-transaction-id") or ""
    if not refunded:
        return None  # a payment was settled, and no refund
    if not _LEGACY_ID.fullmatch(refunded):
        raise EventError("the event's transaction has no id that can be read")
    return RefundUpdate(names_of(refunded), ())


def _form(body: bytes) -> tuple[str, str]:
    try:
        form = parse_qs(body.decode(), strict_parsing=True)
        return form["bt_payload"][0], form["bt_signature"][0]
    except (ValueError, KeyError):
        raise SignatureError("not an event of Braintree's: no bt_payload, bt_signature") from None


def _xml(payload: str) -> ElementTree.Element:
    try:
        # Braintree has signed it, and this parser fetches nothing.
        return ElementTree.fromstring(b64decode(payload))  # noqa: S314 - it is signed
    except (ValueError, ElementTree.ParseError):
        raise EventError("the event is not XML") from None
