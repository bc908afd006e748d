"""Stripe's error answers, as an exception with everything that the answer needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal


class StripeRequestError(Exception):
    """A request that is answered with an error body instead of an object.

    ``retry`` is what the ``Stripe-Should-Retry`` header says; None sends no such header.
    ``retry_after`` is in seconds.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        charge: str | None = None,
        message_code: str | None = None,
        decline_code: str | None = None,
        payment_intent: Mapping[str, Any] | None = None,
        retry: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.charge = charge
        self.message_code = message_code
        self.decline_code = decline_code
        self.payment_intent = payment_intent
        self.retry = retry
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """Return the error object; like Stripe's, it leaves out what does not apply."""
        error: dict[str, Any] = {"type": self.kind, "message": self.message}
        if self.code is not None:
            error["code"] = self.code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        if self.message_code is not None:
            error["message_code"] = self.message_code
        if self.param is not None:
            error["param"] = self.param
        if self.charge is not None:
            error["charge"] = self.charge
        if self.decline_code is not None:
            error["decline_code"] = self.decline_code
        if self.payment_intent is not None:
            error["payment_intent"] = self.payment_intent
        return {"error": error}


def invalid(
    message: str, *, code: str | None = None, param: str | None = None, charge: str | None = None
) -> StripeRequestError:
    """Return the usual 400."""
    return StripeRequestError(400, message, code=code, param=param, charge=charge)


def missing(kind: str, object_id: str, param: str) -> StripeRequestError:
    """Return the 404 for an object that does not exist, or belongs to another account."""
    return StripeRequestError(
        404, f"No such {kind}: '{object_id}'", code="resource_missing", param=param
    )


def refusal(name: Refusal) -> StripeRequestError:
    """Return one of Stripe's real refusals of a refund."""
    code, message_code, message = _REFUSALS[name]
    return StripeRequestError(400, message, code=code, message_code=message_code)


Refusal = Literal[
    "insufficient_balance",
    "balance_insufficient",
    "charge_already_refunded",
    "charge_disputed",
    "charge_not_refundable",
    "refund_disputed_payment",
    "more_than_charge",
    "more_than_unrefunded",
    "nothing_paid",
    "too_small",
]
# Code, message code, message. Those without a code are recorded in public issues.
_REFUSALS: dict[Refusal, tuple[str | None, str | None, str]] = {
    "insufficient_balance": (
        None,
        "insufficient_balance_for_refund",
        "Insufficient funds in your Stripe balance to refund this amount.",
    ),
    "balance_insufficient": ("balance_insufficient", None, "Insufficient balance."),
    "charge_already_refunded": ("charge_already_refunded", None, "It has already been refunded."),
    "charge_disputed": ("charge_disputed", None, "It has been charged back."),
    "charge_not_refundable": ("charge_not_refundable", None, "It cannot be refunded."),
    "refund_disputed_payment": ("refund_disputed_payment", None, "It is disputed."),
    "more_than_charge": (
        None,
        None,
        "Refund amount ($2.00) is greater than charge amount ($1.00)",
    ),
    "more_than_unrefunded": (
        None,
        None,
        "Refund amount ($2.00) is greater than unrefunded amount on charge ($1.00)",
    ),
    "nothing_paid": (
        None,
        None,
        "This PaymentIntent (pi_1) does not have a successful charge to refund.",
    ),
    "too_small": (None, None, "This value must be greater than or equal to 1."),
}
