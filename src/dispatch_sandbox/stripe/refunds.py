"""Refunds: what Stripe refuses, and the outcome of an accepted one.

Source: Stripe's documentation, "Refund and cancel payments", "The Refund object", "Error codes".
Two points are not documented there and are decided here: a refund that failed or was canceled
no longer counts in the charge's ``amount_refunded``, and a payment that is not captured is
refused with a message and no code.
"""

from __future__ import annotations

from dataclasses import dataclass

from dispatch_sandbox.stripe.call import StripeCall
from dispatch_sandbox.stripe.cards import last4
from dispatch_sandbox.stripe.currency import check_amount, display
from dispatch_sandbox.stripe.objects import Charge, Refund, new_id
from dispatch_sandbox.stripe.problems import StripeRequestError, invalid
from dispatch_sandbox.stripe.state import Change

_SOON = 10.0
"""Seconds until the outcome of a test card's refund."""
_ACTION_DAYS = 45


@dataclass(frozen=True, slots=True)
class _Course:
    """How a refund starts, and how it changes after ``seconds``."""

    status: str
    turn: Change | None = None
    seconds: float = _SOON
    reason: str | None = None


_CARD_COURSES = {
    "7726": _Course("pending", "succeeded"),
    "5126": _Course("succeeded", "failed", reason="expired_or_canceled_card"),
}


def create_refund(call: StripeCall) -> Refund:
    """``POST /v1/refunds``: all that is left, or ``amount`` of it."""
    charge = _charge(call)
    amount = _refundable(call, charge)
    course = _course(call, charge)
    refund = _new_refund(call, charge, amount)
    call.book.add_refund(refund)
    if course.status == "succeeded":
        call.state.succeed(call.account, refund)
    elif course.status == "pending":
        refund["pending_reason"] = "processing"
    else:
        refund["status"] = "requires_action"
        sent = {
            "email_sent_at": refund["created"],
            "email_sent_to": refund.get("instructions_email"),
        }
        expires = refund["created"] + _ACTION_DAYS * 86400
        refund["next_action"] = {
            "type": "display_details",
            "display_details": {"email_sent": sent, "expires_at": expires},
        }
    if course.turn is not None:
        call.state.schedule(call.account, refund, course.seconds, course.turn, course.reason)
    call.state.emit(call.account, "refund.created", refund)
    call.state.emit(call.account, "charge.refunded", charge)
    return refund


def update_refund(call: StripeCall) -> Refund:
    """``POST /v1/refunds/:id``: only the metadata can be changed."""
    refund = call.book.refund(call.object_id)
    refund["metadata"] = call.metadata(refund["metadata"])
    call.state.emit_changed(call.account, refund)
    return refund


def cancel_refund(call: StripeCall) -> Refund:
    """``POST /v1/refunds/:id/cancel``: only while the customer has to act."""
    refund = call.book.refund(call.object_id)
    if refund["status"] != "requires_action":
        raise invalid(
            f"Refund {refund['id']} has a status of {refund['status']} and cannot be canceled: "
            "only a refund that requires_action can."
        )
    call.book.end(refund, "canceled")
    call.state.emit_changed(call.account, refund)
    return refund


def _charge(call: StripeCall) -> Charge:
    charge_id, intent_id = call.params.get("charge"), call.params.get("payment_intent")
    if intent_id is None:
        if charge_id is None:
            raise invalid(
                "One of the following params should be provided for this request: "
                "payment_intent or charge.",
                code="parameter_missing",
            )
        return call.book.charge(charge_id)
    intent = call.book.payment_intent(intent_id, "payment_intent")
    if charge_id is not None and call.book.charge(charge_id)["payment_intent"] != intent_id:
        raise invalid(f"Charge {charge_id} does not belong to PaymentIntent {intent_id}.")
    if intent["latest_charge"] is None:
        raise _nothing_paid(intent_id)
    return call.book.charge(intent["latest_charge"])


def _refundable(call: StripeCall, charge: Charge) -> int:
    """Return the amount to refund; raise what Stripe refuses."""
    if not charge["captured"] and charge["payment_intent"] is not None:
        raise _nothing_paid(charge["payment_intent"])
    if call.book.stands_disputed(charge):
        raise invalid(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
            charge=charge["id"],
        )
    if charge["refunded"]:
        raise invalid(
            f"Charge {charge['id']} has already been refunded.",
            code="charge_already_refunded",
            charge=charge["id"],
        )
    left, currency = charge["amount"] - charge["amount_refunded"], charge["currency"]
    amount: int = call.params.get("amount", left)
    check_amount(amount, currency)
    if amount > left:
        raise invalid(
            f"Refund amount ({display(amount, currency)}) is greater than unrefunded amount on "
            f"charge ({display(left, currency)})",
            param="amount",
        )
    if amount < left and not charge["captured"]:
        raise invalid("You cannot partially refund an uncaptured charge.", param="amount")
    if call.params.get("reverse_transfer") and "transfer" not in charge:
        raise invalid(
            f"Cannot reverse transfer on charge {charge['id']} because it does not have an "
            "associated transfer.",
            param="reverse_transfer",
        )
    if call.params.get("refund_application_fee") and charge["application_fee"] is None:
        raise invalid(
            f"Cannot refund the application fee of charge {charge['id']} because it does not "
            "have one.",
            param="refund_application_fee",
        )
    return amount


def _nothing_paid(intent_id: str) -> StripeRequestError:
    return invalid(
        f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.",
        param="payment_intent",
    )


def _course(call: StripeCall, charge: Charge) -> _Course:
    by_customer = charge["payment_method_details"]["type"] == "konbini"
    if by_customer and "instructions_email" not in call.params:
        raise invalid(
            "Missing required param: instructions_email.",
            code="parameter_missing",
            param="instructions_email",
        )
    natural = _CARD_COURSES.get(
        last4(charge["payment_method_details"]) or "",
        _Course("requires_action" if by_customer else "succeeded"),
    )
    fault = call.fault
    if fault is None:
        return natural
    if fault.kind == "fail_later":
        return _Course(natural.status, "failed", fault.seconds, fault.failure_reason)
    return _Course("requires_action" if by_customer else "pending", "succeeded", fault.seconds)


def _new_refund(call: StripeCall, charge: Charge, amount: int) -> Refund:
    refund = Refund(
        id=new_id("re"),
        object="refund",
        amount=amount,
        balance_transaction=new_id("txn") if charge["captured"] else None,
        charge=charge["id"],
        created=call.created,
        currency=charge["currency"],
        metadata=call.metadata({}),
        payment_intent=charge["payment_intent"],
        reason=call.params.get("reason"),
        receipt_number=None,
        source_transfer_reversal=None,
        status="pending",
        transfer_reversal=new_id("trr") if call.params.get("reverse_transfer") else None,
    )
    if charge["payment_method_details"]["type"] == "card":
        card = {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
        refund["destination_details"] = {"type": "card", "card": card | {"type": "pending"}}
    if "instructions_email" in call.params:
        refund["instructions_email"] = call.params["instructions_email"]
    return refund
