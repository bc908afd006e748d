"""PaymentIntents and charges, as far as refunds need them."""

from __future__ import annotations

from dispatch_sandbox.stripe.call import StripeCall
from dispatch_sandbox.stripe.cards import Instrument, instrument, instrument_of_data
from dispatch_sandbox.stripe.currency import check_amount
from dispatch_sandbox.stripe.objects import Charge, PaymentIntent, TransferData, new_id
from dispatch_sandbox.stripe.problems import StripeRequestError, invalid

_CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation")


def create_payment_intent(call: StripeCall) -> PaymentIntent:
    """``POST /v1/payment_intents``; with ``confirm`` it is paid at once."""
    _check_money(call)
    paid_with = _instrument(call)
    params = call.params
    intent_id = new_id("pi")
    intent = PaymentIntent(
        id=intent_id,
        object="payment_intent",
        amount=params["amount"],
        amount_capturable=0,
        amount_received=0,
        application_fee_amount=params.get("application_fee_amount"),
        canceled_at=None,
        cancellation_reason=None,
        capture_method=params.get("capture_method", "automatic_async"),
        client_secret=f"{intent_id}_secret_sandbox",
        confirmation_method="automatic",
        created=call.created,
        currency=params["currency"],
        customer=params.get("customer"),
        description=params.get("description"),
        latest_charge=None,
        livemode=False,
        metadata=call.metadata({}),
        next_action=None,
        on_behalf_of=params.get("on_behalf_of"),
        payment_method=paid_with.method if paid_with else None,
        payment_method_types=[paid_with.details["type"] if paid_with else "card"],
        receipt_email=params.get("receipt_email"),
        status="requires_confirmation" if paid_with else "requires_payment_method",
        transfer_data=params.get("transfer_data"),
    )
    call.book.payment_intents[intent["id"]] = intent  # it stays when its card is declined
    if call.params.get("confirm"):
        _pay(call, intent, paid_with)
    return intent


def confirm_payment_intent(call: StripeCall) -> PaymentIntent:
    """``POST /v1/payment_intents/:id/confirm``."""
    intent = call.book.payment_intent(call.object_id)
    if intent["status"] not in {"requires_payment_method", "requires_confirmation"}:
        raise _unexpected_state(intent, "confirm")
    paid_with = _instrument(call)
    if paid_with is None and intent["payment_method"]:
        paid_with = instrument(intent["payment_method"], "payment_method")
    _pay(call, intent, paid_with)
    return intent


def capture_payment_intent(call: StripeCall) -> PaymentIntent:
    """``POST /v1/payment_intents/:id/capture``; what is not captured is released."""
    intent = call.book.payment_intent(call.object_id)
    if intent["status"] != "requires_capture":
        raise _unexpected_state(intent, "capture")
    taken = call.params.get("amount_to_capture", intent["amount"])
    if taken > intent["amount"]:
        raise invalid(
            "The amount to capture is greater than the authorized amount.",
            code="amount_too_large",
            param="amount_to_capture",
        )
    charge = call.book.charge(intent["latest_charge"] or "")
    charge.update(
        {"captured": True, "amount_captured": taken, "balance_transaction": new_id("txn")}
    )
    charge["amount_refunded"] = intent["amount"] - taken
    intent.update({"status": "succeeded", "amount_received": taken, "amount_capturable": 0})
    return intent


def cancel_payment_intent(call: StripeCall) -> PaymentIntent:
    """``POST /v1/payment_intents/:id/cancel``; an authorization is released."""
    intent = call.book.payment_intent(call.object_id)
    if intent["status"] not in _CANCELABLE:
        raise _unexpected_state(intent, "cancel")
    if intent["latest_charge"] is not None:
        charge = call.book.charge(intent["latest_charge"])
        charge.update({"amount_refunded": charge["amount"], "refunded": True})
    intent.update(
        {
            "status": "canceled",
            "amount_capturable": 0,
            "canceled_at": call.created,
            "cancellation_reason": call.params.get("cancellation_reason"),
        }
    )
    return intent


def create_charge(call: StripeCall) -> Charge:
    """``POST /v1/charges``: the older way to pay, without a PaymentIntent."""
    _check_money(call)
    paid_with = instrument(call.params["source"], "source")
    if paid_with.decline is not None:
        raise _declined(paid_with.decline)
    charge = _new_charge(call, None, paid_with, captured=call.params.get("capture", True))
    call.book.charges[charge["id"]] = charge
    return charge


def _check_money(call: StripeCall) -> None:
    params = call.params
    check_amount(params["amount"], params["currency"])
    fee = params.get("application_fee_amount")
    if fee is None:
        return
    if not (call.connected or "transfer_data" in params):
        raise invalid(
            "Can only apply an application_fee_amount when the payment is a direct one (with the "
            "Stripe-Account header) or a destination payment (using transfer_data[destination]).",
            param="application_fee_amount",
        )
    if fee > params["amount"]:
        raise invalid(
            "The application fee cannot be greater than the amount.",
            code="amount_too_large",
            param="application_fee_amount",
        )


def _instrument(call: StripeCall) -> Instrument | None:
    if "payment_method" in call.params:
        return instrument(call.params["payment_method"], "payment_method")
    if "payment_method_data" in call.params:
        return instrument_of_data(call.params["payment_method_data"])
    return None


def _pay(call: StripeCall, intent: PaymentIntent, paid_with: Instrument | None) -> None:
    if paid_with is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
        )
    if paid_with.decline is not None:
        intent.update({"status": "requires_payment_method", "payment_method": None})
        raise _declined(paid_with.decline, intent)
    captured = intent["capture_method"] != "manual"
    charge = _new_charge(call, intent, paid_with, captured=captured)
    call.book.charges[charge["id"]] = charge
    intent.update(
        {
            "payment_method": paid_with.method,
            "latest_charge": charge["id"],
            "status": "succeeded" if captured else "requires_capture",
            "amount_received": intent["amount"] if captured else 0,
            "amount_capturable": 0 if captured else intent["amount"],
        }
    )


def _declined(
    decline: tuple[str, str, str], intent: PaymentIntent | None = None
) -> StripeRequestError:
    """Return the 402 of a declined card.

    https://docs.stripe.com/testing#declined-payments
    """
    code, decline_code, message = decline
    return StripeRequestError(
        402,
        message,
        kind="card_error",
        code=code,
        decline_code=decline_code,
        payment_intent=intent,
    )


def _new_charge(
    call: StripeCall, intent: PaymentIntent | None, paid_with: Instrument, *, captured: bool
) -> Charge:
    terms = call.params if intent is None else intent
    amount: int = terms["amount"]
    fee: int | None = terms.get("application_fee_amount")
    transfer: TransferData | None = terms.get("transfer_data")
    charge = Charge(
        id=new_id("ch"),
        object="charge",
        amount=amount,
        amount_captured=amount if captured else 0,
        amount_refunded=0,
        application_fee=new_id("fee") if fee else None,
        application_fee_amount=fee,
        balance_transaction=new_id("txn") if captured else None,
        captured=captured,
        created=call.created,
        currency=terms["currency"],
        customer=terms.get("customer"),
        description=terms.get("description"),
        disputed=paid_with.disputed,
        livemode=False,
        metadata=call.metadata({}) if intent is None else dict(intent["metadata"]),
        on_behalf_of=terms.get("on_behalf_of"),
        paid=True,
        payment_intent=intent["id"] if intent else None,
        payment_method=paid_with.method,
        payment_method_details=paid_with.details,
        receipt_email=terms.get("receipt_email"),
        refunded=False,
        status="succeeded",
        transfer_data=transfer,
    )
    if transfer is not None:
        charge["transfer"] = new_id("tr")
    return charge


def _unexpected_state(intent: PaymentIntent, act: str) -> StripeRequestError:
    return invalid(
        f"You cannot {act} this PaymentIntent because it has a status of {intent['status']}.",
        code="payment_intent_unexpected_state",
    )
