"""Braintree's transactions and refunds, as our own types. Pure.

Each function raises `ValueError`, `KeyError` or `TypeError` for what it cannot read.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from dispatch_returns.errors import MoneyError
from dispatch_returns.money import CurrencyRule, Money
from dispatch_returns.refunds.adapter import (
    NO_MONEY_MOVED,
    KnownRefund,
    PaymentRef,
    RefundResult,
    RefundStatus,
    UnreadableRefund,
)
from dispatch_returns.refunds.adapters.references import known_refund, ours_in

_ZERO_DECIMAL = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"}
    | {"RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"}
)
_THREE_DECIMAL = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
UNSETTLED = frozenset({"AUTHORIZED", "AUTHORIZING", "SUBMITTED_FOR_SETTLEMENT"})
"""A transaction in one of these is voided and not refunded."""
PAID = UNSETTLED | {"SETTLEMENT_PENDING", "SETTLING", "SETTLEMENT_CONFIRMED", "SETTLED"}
_STATUSES: Mapping[str, RefundStatus] = {
    **dict.fromkeys(PAID, RefundStatus.PENDING),
    "SETTLED": RefundStatus.SUCCEEDED,
    "AUTHORIZATION_EXPIRED": RefundStatus.FAILED,
    "FAILED": RefundStatus.FAILED,
    "GATEWAY_REJECTED": RefundStatus.FAILED,
    "PROCESSOR_DECLINED": RefundStatus.FAILED,
    "SETTLEMENT_DECLINED": RefundStatus.FAILED,
    "VOIDED": RefundStatus.CANCELED,
}
_ID = re.compile(r"[A-Za-z0-9_=+/-]{1,255}", re.ASCII)
_GLOBAL = b64encode(b"transaction_").decode()


def braintree_rule(currency: str) -> CurrencyRule:
    """Return how many decimals `currency` has: ISO 4217's, since amounts are written in full.

    Raises `MoneyError` for what is no currency code.
    """
    if not re.fullmatch("[A-Za-z]{3}", currency, re.ASCII):
        raise MoneyError("a currency is a three-letter code such as USD")
    code = currency.upper()
    if code in _ZERO_DECIMAL:
        return CurrencyRule(decimals=0)
    return CurrencyRule(decimals=3) if code in _THREE_DECIMAL else CurrencyRule()


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction with its refunds, as Braintree has them now."""

    id: str
    legacy_id: str
    status: str
    charged: Money
    created_at: datetime
    order_id: str | None
    refunds: Sequence[KnownRefund | UnreadableRefund]

    @property
    def names(self) -> frozenset[str]:
        """Both ids."""
        return frozenset({self.id, self.legacy_id})

    @property
    def refunded(self) -> int:
        """The minor units that its refunds have moved, or will."""
        known = (it for it in self.refunds if isinstance(it, KnownRefund))
        return sum(it.result.amount.minor for it in known if moves(it.result))


def moves(result: RefundResult) -> bool:
    """Whether a refund moves money, or has moved it."""
    return result.status not in NO_MONEY_MOVED


def is_global(payment_id: str) -> bool:
    """Whether an id is GraphQL's own, and not the short one that is shown to people."""
    return payment_id.startswith(_GLOBAL)


def names_of(legacy_id: str) -> tuple[PaymentRef, ...]:
    """Return both names of a transaction. GraphQL's id is the short one with its type, base64."""
    made = b64encode(f"transaction_{legacy_id}".encode()).decode().rstrip("=")
    return PaymentRef("reference", made), PaymentRef("reference", legacy_id)


def transaction_of(found: Mapping[str, Any]) -> Transaction:
    """Read a transaction. A refund of it that can't be read is named in its place."""
    payments = _names(found)
    return Transaction(
        id=payments[0].id,
        legacy_id=payments[1].id,
        status=found["status"],
        charged=money_of(found["amount"]),
        created_at=time_of(found["createdAt"]),
        order_id=found.get("orderId") or None,
        refunds=[listed(it, payments) for it in found["refunds"] or ()],
    )


def result_of(refund: Mapping[str, Any]) -> RefundResult:
    """Read a refund."""
    status = _STATUSES[refund["status"]]
    failed = status is RefundStatus.FAILED
    return RefundResult(
        processor_id=_id(refund["id"]),
        status=status,
        amount=money_of(refund["amount"]),
        ours=ours_in(refund.get("orderId")) is not None,
        failure_reason=refund["status"].lower().replace("_", " ") if failed else None,
    )


def listed(
    refund: Mapping[str, Any], payments: tuple[PaymentRef, ...] = ()
) -> KnownRefund | UnreadableRefund:
    """Read a refund of a list; a search names its transaction in the refund itself."""
    try:
        payments = payments or _names(refund["refundedTransaction"])
        ours = ours_in(refund.get("orderId"))
        return known_refund(result_of(refund), payments, time_of(refund["createdAt"]), ours)
    except (ValueError, KeyError, TypeError) as error:
        named = refund.get("id") if isinstance(refund, dict) else None
        is_id = isinstance(named, str) and _ID.fullmatch(named)
        return UnreadableRefund(named if is_id else None, type(error).__name__)


def money_of(amount: Mapping[str, Any]) -> Money:
    """Read an amount, which is a decimal text."""
    currency = str(amount["currencyCode"])
    try:
        value = Decimal(str(amount["value"]))
    except InvalidOperation:
        raise ValueError("no amount") from None
    return Money.from_decimal(value, currency, braintree_rule(currency))


def time_of(value: object) -> datetime:
    """Read a time, in UTC."""
    found = datetime.fromisoformat(str(value))
    if found.tzinfo is None:
        raise ValueError("no time zone")
    return found.astimezone(UTC)


def _names(found: Mapping[str, Any]) -> tuple[PaymentRef, ...]:
    return tuple(PaymentRef("reference", _id(found[name])) for name in ("id", "legacyId"))


def _id(value: object) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError("no id")
    return value
