from __future__ import annotations

import pytest
import stripe

from tests.support.stripe_sandbox import NOW, Sandbox, error_body


def test_a_confirmed_payment_intent_is_paid_by_a_charge(sandbox: Sandbox) -> None:
    intent = sandbox.pay(14_900, metadata={"order_id": "1234"}, expand=["latest_charge"])

    assert intent.status == "succeeded"
    assert intent.currency == "usd"
    assert intent.amount_received == 14_900
    assert intent.created == int(NOW)
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert charge.payment_intent == intent.id
    assert charge.captured
    assert charge.paid
    assert not charge.disputed
    assert not charge.refunded
    assert (charge.amount, charge.amount_captured, charge.amount_refunded) == (14_900, 14_900, 0)
    assert charge.metadata.to_dict() == {"order_id": "1234"}


def test_a_currency_in_upper_case_is_answered_in_lower_case(sandbox: Sandbox) -> None:
    assert sandbox.pay(currency="EUR").currency == "eur"


def test_a_payment_intent_is_confirmed_on_its_own(sandbox: Sandbox) -> None:
    intents = sandbox.sdk.v1.payment_intents
    bare = sandbox.pay(confirm=False)
    assert bare.status == "requires_confirmation"
    assert bare.latest_charge is None

    assert intents.confirm(bare.id).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError, match="status of succeeded") as caught:
        intents.confirm(bare.id)
    assert caught.value.code == "payment_intent_unexpected_state"


def test_confirming_without_a_payment_method_is_refused(sandbox: Sandbox) -> None:
    intents = sandbox.sdk.v1.payment_intents
    bare = intents.create(params={"amount": 100, "currency": "usd"})
    assert bare.status == "requires_payment_method"

    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        intents.confirm(bare.id)
    assert intents.confirm(bare.id, params={"payment_method": "pm_card_visa"}).latest_charge


def test_an_authorization_is_captured_in_part_and_the_rest_released(sandbox: Sandbox) -> None:
    intents = sandbox.sdk.v1.payment_intents
    held = sandbox.pay(1000, capture_method="manual")
    assert held.status == "requires_capture"
    assert held.amount_capturable == 1000

    with pytest.raises(stripe.InvalidRequestError, match="greater than the authorized"):
        intents.capture(held.id, params={"amount_to_capture": 1001})
    taken = intents.capture(held.id, params={"amount_to_capture": 600, "expand": ["latest_charge"]})
    assert taken.status == "succeeded"
    assert taken.amount_received == 600
    charge = taken.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.captured, charge.amount_captured, charge.amount_refunded) == (True, 600, 400)
    with pytest.raises(stripe.InvalidRequestError, match="status of succeeded"):
        intents.capture(held.id)


def test_an_authorization_is_canceled_and_a_paid_intent_is_not(sandbox: Sandbox) -> None:
    intents = sandbox.sdk.v1.payment_intents
    held = sandbox.pay(capture_method="manual")
    canceled = intents.cancel(held.id, params={"cancellation_reason": "duplicate"})
    assert canceled.status == "canceled"
    assert canceled.cancellation_reason == "duplicate"
    assert canceled.canceled_at == int(NOW)
    assert intents.cancel(sandbox.pay(confirm=False).id).status == "canceled"

    with pytest.raises(stripe.InvalidRequestError, match="status of succeeded"):
        intents.cancel(sandbox.pay().id)


def test_a_charge_is_made_from_a_token_or_a_card_number(sandbox: Sandbox) -> None:
    charges = sandbox.sdk.v1.charges
    made = charges.create(
        params={
            "amount": 500,
            "currency": "usd",
            "source": "tok_visa",
            "metadata": {"order_id": "7"},
        }
    )
    assert made.status == "succeeded"
    assert made.payment_intent is None
    assert charges.retrieve(made.id).metadata.to_dict() == {"order_id": "7"}

    by_number = sandbox.post(
        "/v1/charges",
        {"amount": "5", "currency": "usd", "source[number]": "4000000000007726"},
    )
    assert by_number.json()["payment_method_details"]["card"]["last4"] == "7726"


def test_a_disputed_card_charges_back_at_once(sandbox: Sandbox) -> None:
    intent = sandbox.pay(payment_method="pm_card_createDispute", expand=["latest_charge"])
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert intent.latest_charge.disputed


def test_an_unknown_card_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="No such PaymentMethod: 'pm_x'") as caught:
        sandbox.pay(payment_method="pm_x")
    assert caught.value.code == "resource_missing"
    assert caught.value.param == "payment_method"


@pytest.mark.parametrize(
    ("amount", "currency"), [(150, "isk"), (101, "ugx"), (1001, "kwd"), (15, "bhd")]
)
def test_an_amount_the_currency_does_not_have_is_refused(
    sandbox: Sandbox, amount: int, currency: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="divisible by") as caught:
        sandbox.pay(amount, currency=currency)
    assert caught.value.param == "amount"


@pytest.mark.parametrize(
    ("amount", "currency"), [(1, "jpy"), (300, "isk"), (1230, "kwd"), (1, "huf"), (1, "mga")]
)
def test_an_amount_the_currency_has_is_taken(sandbox: Sandbox, amount: int, currency: str) -> None:
    assert sandbox.pay(amount, currency=currency).amount == amount


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        ({"amount": "0"}, "parameter_invalid_integer", "amount"),
        ({"amount": "-5"}, "parameter_invalid_integer", "amount"),
        ({"amount": "1.5"}, "parameter_invalid_integer", "amount"),
        ({"amount": "\N{ARABIC-INDIC DIGIT ONE}"}, "parameter_invalid_integer", "amount"),
        ({"amount": "9" * 5000}, "parameter_invalid_integer", "amount"),
        ({"amount": "100000000"}, "amount_too_large", "amount"),
        ({"amount": ""}, "parameter_invalid_empty", "amount"),
        ({"amount[x]": "5"}, None, "amount"),
        ({"currency": "us"}, None, "currency"),
        ({"confirm": "yes"}, None, "confirm"),
        ({"capture_method": "later"}, None, "capture_method"),
        ({"receipt_email": "jane"}, "email_invalid", "receipt_email"),
        ({"colour": "red"}, "parameter_unknown", "colour"),
        ({"transfer_data": "acct_1"}, None, "transfer_data"),
        ({"transfer_data[colour]": "red"}, "parameter_unknown", "transfer_data[colour]"),
        ({"payment_method_data[type]": "cheque"}, None, "payment_method_data[type]"),
    ],
)
def test_a_malformed_parameter_is_refused_and_named(
    sandbox: Sandbox, sent: dict[str, str], code: str | None, param: str
) -> None:
    form = {"amount": "100", "currency": "usd", **sent}
    if "amount[x]" in sent:
        del form["amount"]
    answer = sandbox.post("/v1/payment_intents", form)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error.get("code") == code
    assert error["param"] == param
    assert sandbox.state.report()["payment_intents"] == 0


def test_a_missing_parameter_is_named(sandbox: Sandbox) -> None:
    error = sandbox.post("/v1/payment_intents", {"amount": "100"}).json()["error"]
    assert error["code"] == "parameter_missing"
    assert error["param"] == "currency"


def test_a_card_can_be_given_as_data(sandbox: Sandbox) -> None:
    form = {
        "amount": "100",
        "currency": "usd",
        "confirm": "true",
        "payment_method_data[type]": "card",
        "payment_method_data[card][number]": "4000000000005126",
    }
    assert sandbox.post("/v1/payment_intents", form).json()["payment_method"] == (
        "pm_card_refundFail"
    )


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
    ],
)
def test_a_declined_card_is_a_402_that_the_sdk_understands(
    sandbox: Sandbox, card: str, code: str, decline_code: str
) -> None:
    with pytest.raises(stripe.CardError) as caught:
        sandbox.pay(payment_method=card)
    body = error_body(caught.value)
    assert (caught.value.http_status, caught.value.code) == (402, code)
    assert (body["type"], body["decline_code"]) == ("card_error", decline_code)
    intents = sandbox.sdk.v1.payment_intents
    intent = intents.retrieve(body["payment_intent"]["id"])
    assert (intent.status, intent.latest_charge) == ("requires_payment_method", None)
    assert intents.confirm(intent.id, params={"payment_method": "pm_card_visa"}).status == (
        "succeeded"
    )


def test_a_declined_source_makes_no_charge(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.CardError):
        sandbox.sdk.v1.charges.create(
            params={"amount": 100, "currency": "usd", "source": "tok_chargeDeclined"}
        )
    assert sandbox.sdk.v1.charges.list().data == []


def test_the_card_that_bypasses_the_pending_balance_pays(sandbox: Sandbox) -> None:
    assert sandbox.pay(payment_method="pm_card_bypassPending").status == "succeeded"


def test_what_is_not_served_is_refused_in_stripes_own_shape(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL") as caught:
        sandbox.sdk.v1.customers.list()
    assert caught.value.http_status == 404
    assert "payments and refunds, and nothing else" in str(caught.value)


def test_other_clients_get_a_plain_404(sandbox: Sandbox) -> None:
    answer = sandbox.http.get("/v1/customers", headers={"authorization": "Bearer sk_test_sandbox"})
    assert (answer.status_code, "error" in answer.text) == (404, False)
