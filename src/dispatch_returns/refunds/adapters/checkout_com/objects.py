"""Reads Checkout.com's payments and actions into our types. Pure.

An object that does not look as Checkout.com documents it raises one of `MISFITS`.

Sources: https://api-reference.checkout.com (payments, payment actions),
https://www.checkout.com/docs/payments/accept-payments/format-the-amount-value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dispatch_returns.errors import AdapterError, ErrorKind, MoneyError
from dispatch_returns.money import CurrencyRule, Money
from dispatch_returns.refunds.adapter import (
    KnownRefund,
    Payment,
    PaymentRef,
    RefundResult,
    RefundStatus,
    UnreadableRefund,
)
from dispatch_returns.refunds.adapters.http import JsonObject, mapping, plain
from dispatch_returns.refunds.adapters.references import known_refund, ours_in

MISFITS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading raises where an object does not look as Checkout.com documents it."""

PAYMENT_ID = re.compile(r"pay_[a-z0-9]{26}", re.ASCII)
ACTION_ID = re.compile(r"act_[a-z0-9]{20,40}", re.ASCII)

_NO_DECIMALS = frozenset(
    {"BIF", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"}
    | {"RWF", "UGX", "VUV", "VND", "XAF", "XOF", "XPF"}
)
_THREE_DECIMALS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_DECLINED = re.compile(r"[2-5][0-9]{4}", re.ASCII)
"""Response codes that say no; 10000 and its neighbours say yes."""


def checkout_com_rule(currency: str) -> CurrencyRule:
    """Return how Checkout.com counts `currency`. Raises `MoneyError` for what is no code."""
    if not re.fullmatch("[A-Za-z]{3}", currency, re.ASCII):
        raise MoneyError("a currency is a three-letter code such as USD")
    code = currency.upper()
    if code in _NO_DECIMALS:
        return CurrencyRule(decimals=0)
    if code in _THREE_DECIMALS:
        return CurrencyRule(decimals=3, step=10)
    return CurrencyRule(step=100) if code == "CLP" else CurrencyRule()


@dataclass(frozen=True, slots=True)
class PaymentState:
    """A payment as Checkout.com has it now; `refunded` is all that is no longer available."""

    id: str
    charged: Money
    refunded: Money
    order_id: str | None
    paid_at: datetime | None

    def as_payment(self) -> Payment:
        """Return it as the service sees payments."""
        return Payment(
            currency=self.charged.currency,
            rule=checkout_com_rule(self.charged.currency),
            charged=self.charged,
            refunded=self.refunded,
            order_id=self.order_id,
            names=frozenset({self.id}),
            paid_at=self.paid_at,
        )


def payment_of(payment: JsonObject) -> PaymentState:
    """Read a payment. Raises `AdapterError` (not_refundable) where nothing was captured."""
    currency, balances = payment["currency"].upper(), payment["balances"]
    charged = _money(balances["total_captured"], currency)
    if not charged.minor:
        raise AdapterError(
            ErrorKind.NOT_REFUNDABLE,
            "Nothing was captured of this payment, so there is nothing to refund: look at it in"
            " Checkout.com's dashboard. One that is only authorized is captured or voided there.",
        )
    refunded = _money(balances["total_refunded"], currency)
    if (available := balances.get("available_to_refund")) is not None:
        # What is on its way, or was charged back, may be missing in the sum of refunds.
        refunded = max(refunded, charged - _money(available, currency), key=lambda it: it.minor)
    order_id = mapping(payment.get("metadata")).get("order_id")
    paid_at = payment.get("requested_on")
    return PaymentState(
        id=_id(payment["id"], PAYMENT_ID),
        charged=charged,
        refunded=refunded,
        order_id=order_id if isinstance(order_id, str) and order_id else None,
        paid_at=None if paid_at is None else moment(paid_at),
    )


def accepted(answer: JsonObject, reference: str, amount: Money) -> RefundResult:
    """Read the answer to a refund, which names the action and repeats our reference."""
    if answer.get("reference") != reference:
        raise ValueError("the answer to another refund")
    return RefundResult(_id(answer["action_id"], ACTION_ID), RefundStatus.PENDING, amount)


def listed_refunds(
    actions: list[object] | None, payment: PaymentState
) -> list[KnownRefund | UnreadableRefund]:
    """Read the refunds among a payment's actions; an unreadable one hides none of the others."""
    if actions is None:
        raise TypeError("not a list")
    return [
        _listed(mapping(it), payment)
        for it in actions
        if str(mapping(it).get("type", "Refund")).casefold() == "refund"
    ]


def told_refund(data: JsonObject, status: RefundStatus) -> KnownRefund:
    """Read the refund that an event is about."""
    return _known(
        data["action_id"],
        status,
        _money(data["amount"], data["currency"].upper()),
        _id(data["id"], PAYMENT_ID),
        data,
    )


def moment(text: str) -> datetime:
    """Read a time. Raises `ValueError` for one without a zone."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found


def _listed(action: JsonObject, payment: PaymentState) -> KnownRefund | UnreadableRefund:
    try:
        amount = _money(action["amount"], payment.charged.currency)
        return _known(action["id"], _status(action), amount, payment.id, action)
    except MISFITS as error:
        # A KeyError names a field: never an amount.
        problem = f"{error}" if isinstance(error, KeyError) else type(error).__name__
        name = action.get("id")
        return UnreadableRefund(
            name[:255] if isinstance(name, str) and name.isprintable() else None,
            f"it is not as Checkout.com documents it ({problem[:60]})",
        )


def _status(action: JsonObject) -> RefundStatus:
    """Return where a refund stands: only a code that declines it makes it a failed one."""
    approved, code = action.get("approved"), action.get("response_code")
    if approved is True:
        return RefundStatus.SUCCEEDED
    if approved not in {False, None}:
        raise ValueError("neither approved nor not")
    declined = approved is False and isinstance(code, str) and _DECLINED.fullmatch(code)
    return RefundStatus.FAILED if declined else RefundStatus.PENDING


def _known(
    action: Any, status: RefundStatus, amount: Money, payment: str, said: JsonObject
) -> KnownRefund:
    code = plain(said.get("response_code"))
    result = RefundResult(
        _id(action, ACTION_ID),
        status,
        amount,
        failure_reason=code if status is RefundStatus.FAILED else None,
    )
    return known_refund(
        result,
        (PaymentRef("reference", payment),),
        moment(said["processed_on"]),
        ours_in(said.get("reference")),
    )


def _money(minor: Any, currency: str) -> Money:
    return Money(minor, currency, checkout_com_rule(currency).decimals)


def _id(value: Any, form: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValueError("not an id")
    return value
