"""Reads Square's payments and refunds into our types, and writes the request. Pure.

An object that does not look as Square describes it raises one of `MISFITS`.

Source: square/connect-api-specification (2025-08), `Payment` and `PaymentRefund`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dispatch_returns.errors import AdapterError, ErrorKind, MoneyError, UnsupportedFeatureError
from dispatch_returns.money import CurrencyRule, Money
from dispatch_returns.refunds.adapter import (
    KnownRefund,
    Payment,
    PaymentRef,
    RefundRequest,
    RefundResult,
    RefundStatus,
    UnreadableRefund,
)
from dispatch_returns.refunds.adapters import references
from dispatch_returns.refunds.adapters.http import JsonObject, mapping

MISFITS = (AttributeError, LookupError, MoneyError, TypeError, ValueError)
"""What reading raises where an object does not look as Square describes it."""

ID = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)
"""An id that is safe in a path."""
LONGEST_KEY = 45
_LONGEST_REASON = 192
_CURRENCIES = frozenset({"AUD", "CAD", "EUR", "GBP", "JPY", "USD"})
"""Those of the countries in which Square takes payments."""
_UNPAID = frozenset({"CANCELED", "FAILED"})
_STATUS: Mapping[str, RefundStatus] = {
    "PENDING": RefundStatus.PENDING,
    "COMPLETED": RefundStatus.SUCCEEDED,
    "REJECTED": RefundStatus.FAILED,
    "FAILED": RefundStatus.FAILED,
}


def square_rule(currency: str) -> CurrencyRule:
    """Return how Square counts `currency` (a three-letter code, any case)."""
    return CurrencyRule(decimals=0 if currency.upper() == "JPY" else 2)


def payment_of(payment: JsonObject) -> Payment:
    """Read a payment. Raises `AdapterError` (not_refundable) where nothing was paid.

    One that is only approved is returned: Square refuses its refund until it is completed.
    """
    if payment["status"] in _UNPAID:
        raise AdapterError(
            ErrorKind.NOT_REFUNDABLE,
            "Square took nothing with this payment, so there is nothing to refund: correct its id"
            " on the ticket.",
        )
    # With the tip, which is refunded too.
    charged = _money(payment.get("total_money") or payment["amount_money"])
    given = payment.get("refunded_money")
    refunded = Money(0, charged.currency, charged.decimals) if given is None else _money(given)
    if refunded.currency != charged.currency:
        raise ValueError("two currencies in one payment")
    return Payment(
        currency=charged.currency,
        rule=square_rule(charged.currency),
        charged=charged,
        refunded=refunded,
        order_id=_text(payment.get("reference_id")),
        email=_text(payment.get("buyer_email_address")),
        names=frozenset({_id(payment["id"])}),
        paid_at=moment(payment["created_at"]),
    )


def body_of(request: RefundRequest) -> dict[str, Any]:
    """Return the body of the refund: the same for the same request.

    Raises `UnsupportedFeatureError`.
    """
    amount, payment = request.amount, request.payment
    if not amount.minor:
        raise UnsupportedFeatureError("Square refunds at least one minor unit")
    if payment.account or payment.reverse_transfer or payment.refund_application_fee:
        raise UnsupportedFeatureError("this adapter makes no refunds for other Square accounts")
    if amount.currency not in _CURRENCIES:
        raise UnsupportedFeatureError(f"Square takes no payments in {amount.currency}")
    if amount.decimals != square_rule(amount.currency).decimals:
        raise UnsupportedFeatureError(
            f"Square counts {amount.currency} with {square_rule(amount.currency).decimals}"
            f" decimals, and this amount has {amount.decimals}: run refunds retry, so that it is"
            " read again"
        )
    if len(request.idempotency_key) > LONGEST_KEY:
        raise UnsupportedFeatureError(f"Square's keys have at most {LONGEST_KEY} characters")
    return {
        "idempotency_key": request.idempotency_key,
        "payment_id": payment.id,
        "amount_money": {"amount": amount.minor, "currency": amount.currency},
        "reason": references.reference_of(request, _LONGEST_REASON),
    }


def refund_result(refund: JsonObject) -> RefundResult:
    """Read a refund of ours."""
    return RefundResult(
        processor_id=_id(refund["id"]),
        status=_STATUS[refund["status"]],
        amount=_money(refund["amount_money"]),
    )


def known_refund(refund: JsonObject) -> KnownRefund:
    """Read a refund and whose it is. ``reason`` says it, because Square has no metadata (D-241)."""
    return references.known_refund(
        refund_result(refund),
        (PaymentRef("reference", _id(refund["payment_id"])),),
        moment(refund["created_at"]),
        references.ours_in(refund.get("reason")),
    )


def listed_refund(refund: object) -> KnownRefund | UnreadableRefund:
    """Read a refund of a list, in which an unreadable one must not hide the others."""
    try:
        return known_refund(mapping(refund))
    except MISFITS as error:
        # A KeyError names a field, or a status that is not known: never an amount.
        problem = f"{error}" if isinstance(error, KeyError) else type(error).__name__
        name = mapping(refund).get("id")
        return UnreadableRefund(
            name if isinstance(name, str) and ID.fullmatch(name) else None,
            f"it is not as Square describes it ({problem[:60]})",
        )


def moment(text: str) -> datetime:
    """Read a time. Raises `ValueError` for one without a zone."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found


def _money(found: JsonObject) -> Money:
    currency = found["currency"]
    if currency not in _CURRENCIES:
        raise ValueError("a currency in which Square takes no payments")
    return Money(found["amount"], currency, square_rule(currency).decimals)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _id(value: Any) -> str:
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise ValueError("not an id")
    return value
