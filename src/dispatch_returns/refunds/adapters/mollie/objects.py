"""Reads Mollie's payments and refunds into our types, and writes the request. Pure.

An object that does not look as Mollie documents it raises one of `MISFITS`.

Sources: https://docs.mollie.com/reference/get-payment, https://docs.mollie.com/reference/get-refund.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from dispatch_returns.errors import AdapterError, ErrorKind, UnsupportedFeatureError
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
from dispatch_returns.refunds.adapters.http import JsonObject, mapping

MISFITS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading raises where an object does not look as Mollie documents it."""

PAYMENT_ID = re.compile(r"tr_[A-Za-z0-9]{1,60}")

_STATUS: Mapping[str, RefundStatus] = {
    # `queued` waits for a balance that covers it.
    "queued": RefundStatus.PENDING,
    "pending": RefundStatus.PENDING,
    # Handed to the bank, which can still refuse it.
    "processing": RefundStatus.PENDING,
    "refunded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.CANCELED,
}
_NO_DECIMALS = frozenset({"ISK", "JPY"})
_LARGEST_METADATA = 1024
"""Bytes."""
_LONGEST_DESCRIPTION = 255


def mollie_rule(currency: str) -> CurrencyRule:
    """Return how Mollie counts `currency` (a three-letter code, any case).

    Source: https://docs.mollie.com/docs/multicurrency. An amount with other decimals than these is
    not read, so a wrong line here stops a refund and never pays another amount.
    """
    return CurrencyRule(decimals=0 if currency.upper() in _NO_DECIMALS else 2)


def payment_of(payment: JsonObject) -> Payment:
    """Read a payment. Raises `AdapterError` (not_refundable) where nothing was paid."""
    if payment["status"] != "paid":
        raise AdapterError(
            ErrorKind.NOT_REFUNDABLE,
            "Mollie does not call this payment paid, so there is nothing to refund: look at it in"
            " Mollie's dashboard. One that is only authorized is captured or canceled there.",
        )
    charged = _money(payment["amount"])
    paid_at = payment.get("paidAt")
    order_id = mapping(payment.get("metadata")).get("order_id")
    return Payment(
        currency=charged.currency,
        rule=mollie_rule(charged.currency),
        charged=charged,
        refunded=_part(payment, "amountRefunded", charged),
        disputed=_part(payment, "amountChargedBack", charged).minor > 0,
        order_id=order_id if isinstance(order_id, str) and order_id else None,
        names=frozenset({_id(payment["id"])}),
        paid_at=None if paid_at is None else moment(paid_at),
    )


def body_of(request: RefundRequest) -> dict[str, Any]:
    """Return the body of the refund. Raises `UnsupportedFeatureError`."""
    amount, payment = request.amount, request.payment
    if not amount.minor:
        raise UnsupportedFeatureError("Mollie refunds at least one minor unit")
    if payment.account or payment.reverse_transfer or payment.refund_application_fee:
        raise UnsupportedFeatureError("this adapter makes no refunds for other Mollie accounts")
    ours = {
        "refund_id": request.refund_id,
        "idempotency_key": request.idempotency_key,
        "workspace_id": request.workspace_id,
        "ticket_id": request.ticket_id,
    }
    if len(json.dumps(ours)) > _LARGEST_METADATA:
        raise UnsupportedFeatureError("Mollie's metadata holds at most 1 kB")
    # The customer may see it on the bank statement.
    description = f"Order {request.order_id}" if request.order_id else "Refund"
    return {
        "amount": {"currency": amount.currency, "value": f"{amount.major:f}"},
        "description": description[:_LONGEST_DESCRIPTION],
        "metadata": ours,
    }


def refund_result(refund: JsonObject, *, ours: bool = True) -> RefundResult:
    """Read a refund."""
    return RefundResult(
        processor_id=_id(refund["id"]),
        status=_STATUS[refund["status"]],
        amount=_money(refund["amount"]),
        ours=ours,
    )


def known_refund(refund: JsonObject) -> KnownRefund:
    """Read a refund and whose it is."""
    notes = mapping(refund.get("metadata"))
    refund_id, key, workspace, ticket = (
        value if isinstance(value := notes.get(name), str) and value else None
        for name in ("refund_id", "idempotency_key", "workspace_id", "ticket_id")
    )
    return KnownRefund(
        result=refund_result(refund, ours=refund_id is not None),
        payments=(PaymentRef("reference", _id(refund["paymentId"])),),
        created_at=moment(refund["createdAt"]),
        refund_id=refund_id,
        idempotency_key=key,
        workspace_id=workspace,
        ticket_id=ticket,
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
            name[:255] if isinstance(name, str) and name.isprintable() else None,
            f"it is not as Mollie documents it ({problem[:60]})",
        )


def moment(text: str) -> datetime:
    """Read a time. Raises `ValueError` for one without a zone."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found


def _money(found: JsonObject) -> Money:
    currency = found["currency"].upper()
    return Money.from_decimal(Decimal(found["value"]), currency, mollie_rule(currency))


def _part(payment: JsonObject, name: str, charged: Money) -> Money:
    """Return a part of what was charged, 0 where Mollie leaves it out."""
    if payment.get(name) is None:
        return Money(0, charged.currency, charged.decimals)
    part = _money(payment[name])
    if part.currency != charged.currency:
        raise ValueError("two currencies in one payment")
    return part


def _id(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 255:
        raise ValueError("not an id")
    return value
