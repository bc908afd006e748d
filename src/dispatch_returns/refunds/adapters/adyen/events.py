"""Adyen's standard notifications: the signature of each item, and what an item says about a refund.

The signature covers eight fields and not the whole item: ``reason``, ``eventDate`` and
``additionalData`` are not among them, so no money follows from those.

Source: https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from dispatch_returns.errors import EventError, MoneyError, SignatureError
from dispatch_returns.refunds.adapter import (
    EventHead,
    KnownRefund,
    PaymentRef,
    RefundResult,
    RefundStatus,
    RefundUpdate,
)
from dispatch_returns.refunds.adapters.adyen.objects import money_of
from dispatch_returns.refunds.adapters.adyen.rejections import failure
from dispatch_returns.refunds.adapters.http import mapping, plain
from dispatch_returns.refunds.adapters.references import known_refund, ours_in

Item = Mapping[str, Any]

NEEDED = (
    "REFUND",
    "REFUND_FAILED",
    "REFUNDED_REVERSED",
    "CANCEL_OR_REFUND",
    "POSTPONED_REFUND",
)
_SUCCEEDED: Mapping[str, RefundStatus] = {
    "REFUND": RefundStatus.SUCCEEDED,
    "REFUND_FAILED": RefundStatus.FAILED,
    "REFUNDED_REVERSED": RefundStatus.FAILED,
    "CANCEL_OR_REFUND": RefundStatus.SUCCEEDED,
    "POSTPONED_REFUND": RefundStatus.PENDING,
}
"""What an event with ``success`` true says. ``REFUND`` is Adyen's last good word (D-230)."""
_REFUSED = frozenset({"REFUND", "POSTPONED_REFUND"})
"""The events that say with ``success`` false that nothing is refunded."""
_SIGNED = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")


def verified(body: bytes, keys: Sequence[bytes]) -> list[EventHead]:
    """Return the head of every item of a notification, each of which must be signed.

    Raises `SignatureError`, and `EventError` for an item that is authentic and not understood.
    """
    if not keys:
        raise SignatureError("no ADYEN_HMAC_KEY is configured, so nothing is accepted")
    items = list(_items(body))
    for item in items:
        _verify(item, keys)
    return [_head(item) for item in items]


def signature(item: Item, key: bytes) -> str:
    """Return the signature of an item: base64 HMAC-SHA256 of eight fields, nothing escaped."""
    amount = mapping(item.get("amount"))
    fields = (
        *(item.get(name) for name in _SIGNED),
        amount.get("value"),
        amount.get("currency"),
        item.get("eventCode"),
        _success(item),
    )
    signed = ":".join("" if it is None else str(it) for it in fields)
    return b64encode(hmac.digest(key, signed.encode(errors="replace"), "sha256")).decode()


def refund_update(body: bytes, merchant_account: str) -> RefundUpdate | None:
    """Return what one verified item says about a refund; None for any other event.

    Raises `EventError` for an item that cannot be understood, and for a refund of ours that is of
    another merchant account: another adapter waits for it, and its own webhook must deliver it.
    """
    try:
        item: Any = json.loads(body)
        status = _status(item)
        if status is None:
            return None
        known = _refund(item, status)
        others = item["merchantAccountCode"] != merchant_account
    except (ValueError, KeyError, TypeError, AttributeError, MoneyError) as error:
        raise EventError(f"the notification can't be understood ({type(error).__name__})") from None
    if not others:
        return RefundUpdate(known.payments, (known,))
    if known.refund_id is None:
        return None
    raise EventError(
        "a refund of ours at another merchant account of Adyen's: give that account's webhook the"
        " URL of its own adapter"
    )


def _items(body: bytes) -> Iterator[Item]:
    try:
        notification = mapping(json.loads(body))
    except (ValueError, RecursionError):
        raise SignatureError("not a notification of Adyen's: the body is not JSON") from None
    items: object = notification.get("notificationItems")
    if not isinstance(items, list) or not items:
        raise SignatureError("not a notification of Adyen's: it has no items")
    for entry in cast("list[object]", items):
        yield mapping(mapping(entry).get("NotificationRequestItem"))


def _verify(item: Item, keys: Sequence[bytes]) -> None:
    given = mapping(item.get("additionalData")).get("hmacSignature")
    if not isinstance(given, str) or not given.isascii():
        raise SignatureError("an item carries no signature: switch HMAC on for the webhook")
    # Not any(): each key is compared, so the time says nothing about which one fits.
    if True not in [hmac.compare_digest(given, signature(item, key)) for key in keys]:
        raise SignatureError("an item's signature does not fit: compare ADYEN_HMAC_KEY")


def _head(item: Item) -> EventHead:
    """Return an item's head. Its id is made of signed fields, so no other date makes it new."""
    psp_reference, code = plain(item.get("pspReference")), plain(item.get("eventCode"))
    if psp_reference is None or code is None:
        raise EventError("an item has no pspReference or no eventCode")
    ours = ours_in(item.get("merchantReference"))
    return EventHead(
        event_id=f"{psp_reference}-{code}-{_success(item)}",
        type=code,
        occurred_at=_time(item.get("eventDate")),
        ticket_id=None if ours is None else ours.ticket_id,
        body=json.dumps(item).encode(),
    )


def _success(item: Item) -> str:
    return str(item.get("success", "")).lower()


def _status(item: Item) -> RefundStatus | None:
    """Return where the item says its refund stands; None where it says nothing about one."""
    code = item["eventCode"]
    if mapping(item.get("additionalData")).get("modification.action") == "cancel":
        return None  # nothing was captured, so nothing goes back
    if _success(item) == "true":
        return _SUCCEEDED.get(code)
    return RefundStatus.FAILED if code in _REFUSED else None


def _refund(item: Item, status: RefundStatus) -> KnownRefund:
    ours = ours_in(item.get("merchantReference"))
    failed = status is RefundStatus.FAILED
    processor_id, payment = plain(item["pspReference"]), plain(item["originalReference"])
    if processor_id is None or payment is None:
        raise ValueError("no id")
    result = RefundResult(
        processor_id=processor_id,
        status=status,
        amount=money_of(item["amount"]),
        ours=ours is not None,
        failure_reason=failure(item.get("reason")) if failed else None,
    )
    payments, created_at = (PaymentRef("reference", payment),), _time(item["eventDate"])
    if created_at is None:
        raise ValueError("no date")
    return known_refund(result, payments, created_at, ours)


def _time(value: object) -> datetime | None:
    """Return an event's time in UTC, None where it can't be read."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return None if found.tzinfo is None else found.astimezone(UTC)
