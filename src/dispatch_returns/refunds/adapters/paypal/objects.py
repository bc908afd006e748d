"""Reads PayPal's captures and refunds into our types, and writes the request. Pure.

An object that does not look as PayPal documents it raises one of `MISFITS`.

Source: https://developer.paypal.com/docs/api/payments/v2/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from dispatch_returns.errors import AdapterError, ErrorKind, UnsupportedFeatureError
from dispatch_returns.money import CurrencyRule, Money
from dispatch_returns.refunds.adapter import (
    KnownRefund,
    Payment,
    PaymentRef,
    RefundRequest,
    RefundResult,
    RefundStatus,
)
from dispatch_returns.refunds.adapters.http import JsonObject, mapping

MISFITS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading raises where an object does not look as PayPal documents it."""

_NO_DECIMALS = frozenset({"HUF", "JPY", "TWD"})
_STATUS: Mapping[str, RefundStatus] = {
    "COMPLETED": RefundStatus.SUCCEEDED,
    "PENDING": RefundStatus.PENDING,
    "FAILED": RefundStatus.FAILED,
    "CANCELLED": RefundStatus.CANCELED,
}
_DISPUTES = frozenset({"BUYER_COMPLAINT", "CHARGEBACK"})
_NOT_PAID = frozenset({"DECLINED", "FAILED"})
_CAPTURE = re.compile(r"/v2/payments/captures/([A-Za-z0-9_-]{1,64})/?")
_OURS = re.compile(r"(rfd_[0-9a-f]{32})-g[0-9]{1,6}")
_LONGEST_NOTE = 127
_NOTE = re.compile(r"[A-Za-z0-9\-_.,]{1,127}")


def paypal_rule(currency: str) -> CurrencyRule:
    """Return how PayPal counts `currency` (a three-letter code, any case).

    Source: https://developer.paypal.com/reference/currency-codes/.
    """
    return CurrencyRule(decimals=0 if currency.upper() in _NO_DECIMALS else 2)


def payment_of(capture: JsonObject) -> Payment:
    """Read a capture. What a part of it was refunded is not told, unless it is all or nothing.

    Raises `AdapterError` (not_refundable) where nothing was paid.
    """
    status, amount = capture["status"], _money(capture["amount"])
    if status in _NOT_PAID:
        raise AdapterError(
            ErrorKind.NOT_REFUNDABLE, "The capture was declined, so there is nothing to refund."
        )
    refunded: Money | None = None
    if status == "REFUNDED":
        refunded = amount
    elif status in {"COMPLETED", "PENDING"}:
        refunded = Money(0, amount.currency, amount.decimals)
    reason = mapping(capture.get("status_details")).get("reason")
    paid_at = capture.get("create_time")
    return Payment(
        currency=amount.currency,
        rule=paypal_rule(amount.currency),
        charged=amount,
        refunded=refunded,
        disputed=reason in _DISPUTES,
        names=frozenset({_id(capture["id"])}),
        paid_at=None if paid_at is None else moment(paid_at),
    )


def body_of(request: RefundRequest) -> dict[str, Any]:
    """Return the body of the refund. Raises `UnsupportedFeatureError`."""
    amount = request.amount
    if not amount.minor:
        raise UnsupportedFeatureError("PayPal refunds at least one minor unit")
    if request.payment.reverse_transfer or request.payment.refund_application_fee:
        raise UnsupportedFeatureError("PayPal has no transfer or application fee to take back")
    value = {"value": f"{amount.major:f}", "currency_code": amount.currency}
    return {"amount": value, "custom_id": _note(request)}


def _note(request: RefundRequest) -> str:
    """Return our ids for the refund's ``custom_id``: those of a ticket only where there is room."""
    key = request.idempotency_key
    whole = f"{key},{request.workspace_id},{request.ticket_id}"
    plain = "," not in request.workspace_id + request.ticket_id and _NOTE.fullmatch(whole)
    if not plain and not _NOTE.fullmatch(key):
        raise UnsupportedFeatureError(
            f"PayPal's custom_id holds at most {_LONGEST_NOTE} letters, digits, dashes and dots"
        )
    return whole if plain else key


class Note(NamedTuple):
    """Our ids, as a refund carries them."""

    refund_id: str | None = None
    key: str | None = None
    workspace_id: str | None = None
    ticket_id: str | None = None


def note_of(refund: JsonObject) -> Note:
    """Return our ids of a refund. Whatever else is in ``custom_id`` is somebody else's."""
    text = refund.get("custom_id")
    key, *rest = text.split(",") if isinstance(text, str) else [""]
    ours = _OURS.fullmatch(key)
    if ours is None or len(rest) not in {0, 2}:
        return Note()
    workspace, ticket = rest or (None, None)
    return Note(ours[1], key, workspace, ticket)


def refund_result(refund: JsonObject, *, ours: bool = True) -> RefundResult:
    """Read a refund."""
    arn = refund.get("acquirer_reference_number")
    status = _STATUS[refund["status"]]
    reason = mapping(refund.get("status_details")).get("reason")
    failed = status is RefundStatus.FAILED
    return RefundResult(
        processor_id=_id(refund["id"]),
        status=status,
        amount=_money(refund["amount"]),
        ours=ours,
        arn=arn if isinstance(arn, str) and arn.isprintable() and arn else None,
        failure_reason=reason if failed and isinstance(reason, str) else None,
    )


def known_refund(refund: JsonObject) -> KnownRefund:
    """Read a refund and whose it is."""
    note = note_of(refund)
    ups = [it["href"] for it in refund["links"] if it["rel"] == "up"]
    captures = [found[1] for it in ups if (found := _CAPTURE.search(it)) is not None]
    return KnownRefund(
        result=refund_result(refund, ours=note.refund_id is not None),
        payments=tuple(PaymentRef("reference", it) for it in captures),
        created_at=moment(refund["create_time"]),
        refund_id=note.refund_id,
        idempotency_key=note.key,
        workspace_id=note.workspace_id,
        ticket_id=note.ticket_id,
    )


def _money(found: JsonObject) -> Money:
    currency = found["currency_code"].upper()
    return Money.from_decimal(Decimal(found["value"]), currency, paypal_rule(currency))


def moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.upper())
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment


def _id(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 255:
        raise ValueError("not an id")
    return value
