"""How Adyen writes amounts, references and lines. Pure.

Sources: https://docs.adyen.com/development-resources/currency-codes, Checkout API v72.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dispatch_returns.errors import MoneyError, UnsupportedFeatureError
from dispatch_returns.money import CurrencyRule, Money
from dispatch_returns.refunds.adapter import RefundRequest
from dispatch_returns.refunds.adapters.references import reference_of
from dispatch_returns.refunds.details import RefundLine, RefundReason

LONGEST_REFERENCE = 80
_ZERO_DECIMAL = frozenset(
    {"CVE", "DJF", "GNF", "IDR", "JPY", "KMF", "KRW", "PYG"}
    | {"RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"}
)
_THREE_DECIMAL = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_REASONS: Mapping[RefundReason, str] = {
    RefundReason.RETURN: "RETURN",
    RefundReason.GOODWILL: "CUSTOMER REQUEST",
    RefundReason.OTHER: "OTHER",
}


def adyen_rule(currency: str) -> CurrencyRule:
    """Return how Adyen counts `currency`.

    CLP, CVE, IDR and ISK differ from ISO 4217, and IDR, CVE, CLP and UGX from Stripe. Raises
    `MoneyError` for what is no currency code.
    """
    if not re.fullmatch("[A-Za-z]{3}", currency, re.ASCII):
        raise MoneyError("a currency is a three-letter code such as USD")
    code = currency.upper()
    if code in _ZERO_DECIMAL:
        return CurrencyRule(decimals=0)
    return CurrencyRule(decimals=3) if code in _THREE_DECIMAL else CurrencyRule()


def money_of(amount: Mapping[str, Any]) -> Money:
    """Return an amount object as `Money`. Raises `KeyError`, `TypeError`, `MoneyError`."""
    currency = str(amount["currency"])
    return Money(amount["value"], currency, adyen_rule(currency).decimals)


def body_of(request: RefundRequest, merchant_account: str) -> dict[str, Any]:
    """Return the request's body. The same request always gives the same body.

    Raises `UnsupportedFeatureError` for an amount that Adyen counts otherwise.
    """
    amount, details = request.amount, request.details
    if amount.decimals != adyen_rule(amount.currency).decimals:
        raise UnsupportedFeatureError(
            f"Adyen counts {amount.currency} with {adyen_rule(amount.currency).decimals} decimals,"
            f" and this amount has {amount.decimals}: run refunds retry, so that it is read again"
        )
    body: dict[str, Any] = {
        "merchantAccount": merchant_account,
        "amount": {"value": amount.minor, "currency": amount.currency},
        "reference": reference_of(request, LONGEST_REFERENCE),
    }
    if details.reason is not None:
        body["merchantRefundReason"] = _REASONS[details.reason]
    if lines := _lines(request):
        body["lineItems"] = lines
    return body


def _lines(request: RefundRequest) -> list[dict[str, Any]]:
    """Return the lines, or none where they do not add up to exactly what is refunded.

    Pay-later methods check the sum, and other methods ignore the lines.
    """
    details, amount = request.details, request.amount
    shares = [line.amount for line in details.lines]
    if details.shipping is not None:
        shares.append(details.shipping)
    like = (amount.currency, amount.decimals)
    known = [it.minor for it in shares if it is not None and (it.currency, it.decimals) == like]
    if len(known) != len(shares) or sum(known) != amount.minor:
        return []
    lines = [_line(line) for line in details.lines]
    if details.shipping is not None and details.shipping.minor:
        shipping = {"id": "shipping", "description": "Shipping", "quantity": 1}
        lines.append(shipping | {"amountIncludingTax": details.shipping.minor})
    return lines


def _line(line: RefundLine) -> dict[str, Any]:
    """Return one line. ``amountIncludingTax`` is for one piece, so it must divide exactly."""
    assert line.amount is not None
    said, quantity = line.description or line.sku, line.quantity
    each, rest = divmod(line.amount.minor, quantity)
    if rest:
        said, each, quantity = f"{quantity} x {said}", line.amount.minor, 1
    return {
        "id": line.sku,
        "sku": line.sku,
        "description": said,
        "quantity": quantity,
        "amountIncludingTax": each,
    }
