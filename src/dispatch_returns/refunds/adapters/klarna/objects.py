"""Reads Klarna's orders and their refunds into our types, and writes the request. Pure.

An order that does not look as Klarna documents it raises one of `MISFITS`.

Source: https://docs.klarna.com/api/ordermanagement.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

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
from dispatch_returns.refunds.adapters.references import Ours, known_refund, ours_in, reference_of

MISFITS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading raises where an object does not look as Klarna documents it."""

LONGEST_KEY = 200
"""Characters: the description holds the key and the order's number."""
_LONGEST_TEXT = 255
_MOST_LINES = 1000
_NO_DECIMALS = frozenset({"CLP", "ISK", "JPY", "KRW", "VND"})
_IN_DESCRIPTION = re.compile(r"\((rfd_[^()]+)\)$", re.ASCII)


def klarna_rule(currency: str) -> CurrencyRule:
    """Return how Klarna counts `currency` (a three-letter code, any case): as ISO 4217 does."""
    return CurrencyRule(decimals=0 if currency.upper() in _NO_DECIMALS else 2)


def payment_of(order: JsonObject) -> Payment:
    """Read an order. Raises `AdapterError` (not_refundable) where nothing was captured."""
    captured = _money(order, "captured_amount")
    if not captured.minor:
        raise AdapterError(
            ErrorKind.NOT_REFUNDABLE,
            "Klarna has captured nothing of this order, so there is nothing to refund: look at it"
            " in Klarna's Merchant Portal. One that is only authorized is captured or canceled"
            " there.",
        )
    number = order.get("merchant_reference1")
    email = mapping(order.get("billing_address")).get("email")
    return Payment(
        currency=captured.currency,
        rule=klarna_rule(captured.currency),
        charged=captured,
        refunded=_money(order, "refunded_amount"),
        order_id=number if isinstance(number, str) and number else None,
        email=email if isinstance(email, str) and email else None,
        names=frozenset({_id(order["order_id"])}),
        paid_at=None if order.get("created_at") is None else _moment(order["created_at"]),
    )


def refunds_of(order: JsonObject) -> list[KnownRefund | UnreadableRefund]:
    """Return the refunds of an order, in which an unreadable one must not hide the others.

    Where they don't add up to what the order says was refunded, one is missing from the list. It
    may be ours, so it counts as one that can't be read.
    """
    shown = order.get("refunds") or ()
    if not isinstance(shown, Sequence) or isinstance(shown, str):
        raise TypeError("not a list")
    listed = [_listed(mapping(it), order) for it in cast("Sequence[object]", shown)]
    readable = [it for it in listed if isinstance(it, KnownRefund)]
    total = sum(it.result.amount.minor for it in readable)
    if len(readable) == len(listed) and total != _money(order, "refunded_amount").minor:
        listed.append(UnreadableRefund(None, "the list does not add up to `refunded_amount`"))
    return listed


def body_of(request: RefundRequest) -> dict[str, Any]:
    """Return the body of the refund. Raises `UnsupportedFeatureError`."""
    amount, payment = request.amount, request.payment
    if not amount.minor:
        raise UnsupportedFeatureError("Klarna refunds at least one minor unit")
    if payment.account or payment.reverse_transfer or payment.refund_application_fee:
        raise UnsupportedFeatureError("this adapter makes no refunds for other Klarna accounts")
    # The customer sees it. The key is in it too, see D-246.
    ending = f" ({request.idempotency_key})"
    text = f"Order {request.order_id}" if request.order_id else "Refund"
    body: dict[str, Any] = {
        "refunded_amount": amount.minor,
        "reference": reference_of(request, _LONGEST_TEXT),
        "description": text[: _LONGEST_TEXT - len(ending)] + ending,
    }
    if lines := _lines(request):
        body["order_lines"] = lines
    return body


def made(refund_id: str | None, request: RefundRequest) -> RefundResult:
    """Read the answer to a refund, of which only the id is Klarna's."""
    return RefundResult(_id(refund_id), RefundStatus.SUCCEEDED, request.amount)


def _listed(refund: JsonObject, order: JsonObject) -> KnownRefund | UnreadableRefund:
    try:
        amount = _minor(refund["refunded_amount"], order["purchase_currency"])
        return known_refund(
            RefundResult(_id(refund["refund_id"]), RefundStatus.SUCCEEDED, amount),
            (PaymentRef("reference", _id(order["order_id"])),),
            _moment(refund["refunded_at"]),
            _whose(refund),
        )
    except MISFITS as error:
        # A KeyError names a field, never an amount.
        problem = f"{error}" if isinstance(error, KeyError) else type(error).__name__
        name = refund.get("refund_id")
        return UnreadableRefund(
            name[:255] if isinstance(name, str) and name.isprintable() else None,
            f"it is not as Klarna documents it ({problem[:60]})",
        )


def _whose(refund: JsonObject) -> Ours | None:
    if (ours := ours_in(refund.get("reference"))) is not None:
        return ours
    text = refund.get("description")
    found = _IN_DESCRIPTION.search(text) if isinstance(text, str) else None
    return None if found is None else ours_in(found[1])


def _lines(request: RefundRequest) -> list[dict[str, Any]]:
    """Return the order lines, none unless they add up to exactly what is refunded."""
    details = request.details
    shown = [(it.sku, it.description or it.sku, it.quantity, it.amount) for it in details.lines]
    if details.shipping is not None and details.shipping.minor:
        shown.append(("", "Shipping", 1, details.shipping))
    lines: list[dict[str, Any]] = []
    for sku, name, quantity, amount in shown:
        if amount is None or quantity < 1 or amount.minor % quantity:
            return []
        line = {
            "type": "physical" if sku else "shipping_fee",
            "name": name[:_LONGEST_TEXT],
            "quantity": quantity,
            "unit_price": amount.minor // quantity,
            "total_amount": amount.minor,
        }
        lines.append({"reference": sku[:_LONGEST_TEXT], **line} if sku else line)
    fits = sum(it["total_amount"] for it in lines) == request.amount.minor
    return lines if fits and len(lines) <= _MOST_LINES else []


def _money(order: JsonObject, name: str) -> Money:
    return _minor(order[name], order["purchase_currency"])


def _minor(minor: Any, currency: Any) -> Money:
    code = currency.upper()
    return Money(minor, code, klarna_rule(code).decimals)


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found


def _id(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 255:
        raise ValueError("not an id")
    return value
