from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.support.stripe_sandbox import NOW, Sandbox, error_body


def _charge(sandbox: Sandbox, intent: stripe.PaymentIntent) -> stripe.Charge:
    assert isinstance(intent.latest_charge, str)
    return sandbox.sdk.v1.charges.retrieve(intent.latest_charge)


def _refusal(sandbox: Sandbox, **params: Any) -> stripe.InvalidRequestError:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        sandbox.sdk.v1.refunds.create(params=params)  # type: ignore[arg-type]
    return caught.value


def test_a_refund_has_stripes_shape(sandbox: Sandbox) -> None:
    intent = sandbox.pay(10_000)
    refund = sandbox.refund(
        intent,
        amount=2500,
        reason="requested_by_customer",
        metadata={"refund_id": "r1"},
        instructions_email="jane@example.com",
    )
    plain = refund.to_dict()
    assert plain.pop("id").startswith("re_")
    assert plain.pop("balance_transaction").startswith("txn_")
    assert plain == {
        "object": "refund",
        "amount": 2500,
        "charge": intent.latest_charge,
        "created": int(NOW),
        "currency": "usd",
        "destination_details": {
            "type": "card",
            "card": {
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
        },
        "instructions_email": "jane@example.com",
        "metadata": {"refund_id": "r1"},
        "payment_intent": intent.id,
        "reason": "requested_by_customer",
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def test_without_an_amount_all_that_is_left_is_paid_back(sandbox: Sandbox) -> None:
    intent = sandbox.pay(1000)
    sandbox.refund(intent, amount=300)
    assert sandbox.refund(intent).amount == 700
    charge = _charge(sandbox, intent)
    assert charge.refunded
    assert charge.amount_refunded == 1000


def test_partial_refunds_add_up_to_the_charge_and_no_further(sandbox: Sandbox) -> None:
    intent = sandbox.pay(1000)
    sandbox.refund(intent, amount=600)
    assert not _charge(sandbox, intent).refunded

    error = _refusal(sandbox, payment_intent=intent.id, amount=401)
    assert error.http_status == 400
    assert error.code is None
    assert error.param == "amount"
    assert error.user_message == (
        "Refund amount ($4.01) is greater than unrefunded amount on charge ($4.00)"
    )
    assert error.error is not None
    assert error.error.type == "invalid_request_error"
    assert _charge(sandbox, intent).amount_refunded == 600


@pytest.mark.parametrize(
    ("currency", "amount", "shown"),
    [("jpy", 1500, "¥1,500"), ("kwd", 1500, "1.500 KWD"), ("chf", 1505, "15.05 CHF")],
)
def test_an_over_refund_is_told_in_the_charges_currency(
    sandbox: Sandbox, currency: str, amount: int, shown: str
) -> None:
    intent = sandbox.pay(amount, currency=currency)
    error = _refusal(sandbox, payment_intent=intent.id, amount=amount + 1000)
    assert f"on charge ({shown})" in str(error.user_message)


def test_a_charge_that_is_paid_back_has_nothing_left(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    sandbox.refund(intent)
    error = _refusal(sandbox, payment_intent=intent.id, amount=1)
    assert error.http_status == 400
    assert error.code == "charge_already_refunded"
    assert error_body(error)["charge"] == intent.latest_charge
    assert error_body(error)["doc_url"].endswith("/charge-already-refunded")


def test_a_charge_is_refunded_by_its_own_id(sandbox: Sandbox) -> None:
    charges = sandbox.sdk.v1.charges
    charge = charges.create(params={"amount": 500, "currency": "usd", "source": "tok_visa"})
    refund = sandbox.sdk.v1.refunds.create(params={"charge": charge.id, "amount": 100})
    assert refund.charge == charge.id
    assert refund.payment_intent is None
    assert charges.retrieve(charge.id).amount_refunded == 100


def test_charge_and_payment_intent_must_belong_together(sandbox: Sandbox) -> None:
    one, other = sandbox.pay(), sandbox.pay()
    error = _refusal(sandbox, payment_intent=one.id, charge=other.latest_charge)
    assert "does not belong to" in str(error.user_message)
    assert sandbox.refund(one, charge=one.latest_charge).payment_intent == one.id


def test_one_of_charge_and_payment_intent_is_needed(sandbox: Sandbox) -> None:
    assert _refusal(sandbox, amount=5).code == "parameter_missing"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"payment_intent": "pi_none"}, "payment_intent"),
        ({"charge": "ch_none"}, "id"),
    ],
)
def test_an_unknown_payment_is_missing(
    sandbox: Sandbox, params: dict[str, str], param: str
) -> None:
    error = _refusal(sandbox, **params)
    assert error.http_status == 404
    assert error.code == "resource_missing"
    assert error.param == param


def test_an_unknown_refund_is_missing(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="No such refund: 're_none'") as caught:
        sandbox.sdk.v1.refunds.retrieve("re_none")
    assert caught.value.http_status == 404


def test_what_is_not_captured_is_not_refunded(sandbox: Sandbox) -> None:
    for intent in (sandbox.pay(capture_method="manual"), sandbox.pay(confirm=False)):
        error = _refusal(sandbox, payment_intent=intent.id)
        assert error.http_status == 400
        assert error.user_message == (
            f"This PaymentIntent ({intent.id}) does not have a successful charge to refund."
        )


def test_an_uncaptured_charge_without_an_intent_is_released_only_as_a_whole(
    sandbox: Sandbox,
) -> None:
    charge = sandbox.sdk.v1.charges.create(
        params={"amount": 500, "currency": "usd", "source": "tok_visa", "capture": False}
    )
    assert "partially refund an uncaptured" in str(
        _refusal(sandbox, charge=charge.id, amount=100).user_message
    )
    released = sandbox.sdk.v1.refunds.create(params={"charge": charge.id})
    assert released.amount == 500
    assert sandbox.sdk.v1.balance.retrieve().available[0].amount == 0


def test_of_a_partly_captured_payment_only_the_captured_part_is_refunded(
    sandbox: Sandbox,
) -> None:
    intent = sandbox.pay(1000, capture_method="manual")
    sandbox.sdk.v1.payment_intents.capture(intent.id, params={"amount_to_capture": 600})
    assert sandbox.refund(intent).amount == 600
    assert sandbox.sdk.v1.balance.retrieve().available[0].amount == 0


def test_a_disputed_charge_is_not_refunded(sandbox: Sandbox) -> None:
    intent = sandbox.pay(payment_method="pm_card_createDispute")
    error = _refusal(sandbox, payment_intent=intent.id)
    assert error.code == "charge_disputed"
    assert sandbox.state.report()["refunds"] == 0


@pytest.mark.parametrize(("currency", "amount"), [("isk", 150), ("ugx", 150), ("omr", 1234)])
def test_a_refund_keeps_to_the_charges_currency(
    sandbox: Sandbox, currency: str, amount: int
) -> None:
    intent = sandbox.pay(10_000, currency=currency)
    assert _refusal(sandbox, payment_intent=intent.id, amount=amount).param == "amount"
    assert sandbox.state.report()["refunds"] == 0


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"amount": "-1"}, "parameter_invalid_integer"),
        ({"amount": "ten"}, "parameter_invalid_integer"),
        ({"reason": "other"}, None),
        ({"reason": ""}, "parameter_invalid_empty"),
        ({"instructions_email": "not an address"}, "email_invalid"),
        ({"instructions_email": "a@b"}, "email_invalid"),
        ({"note": "hello"}, "parameter_unknown"),
        ({"reverse_transfer": "1"}, None),
        ({"metadata": "order"}, None),
        ({"metadata": "order", "metadata[a]": "1"}, None),
        ({"expand]": "charge"}, "parameter_unknown"),
        ({"metadata[a[b]]": "1"}, None),
        ({"metadata[a][b]": "1"}, None),
        ({f"metadata[{'k' * 41}]": "1"}, None),
        ({"metadata[k]": "v" * 501}, None),
        ({f"metadata[k{n}]": "v" for n in range(51)}, None),
        ({"expand": "charge"}, None),
        ({"expand[]": "customer"}, None),
        ({"expand[]": "charge.payment_intent.latest_charge.payment_intent.latest_charge"}, None),
    ],
)
def test_a_malformed_refund_is_refused_before_it_is_made(
    sandbox: Sandbox, sent: dict[str, str], code: str | None
) -> None:
    intent = sandbox.pay()
    answer = sandbox.post("/v1/refunds", {"payment_intent": intent.id, **sent})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"].get("code") == code
    assert sandbox.state.report()["refunds"] == 0


def test_metadata_at_its_limits_is_taken(sandbox: Sandbox) -> None:
    metadata = {f"{n:040}": "v" * 500 for n in range(50)}
    refund = sandbox.refund(sandbox.pay(), metadata=metadata)
    assert refund.metadata is not None
    assert refund.metadata.to_dict() == metadata


def test_only_the_metadata_of_a_refund_can_be_changed(sandbox: Sandbox) -> None:
    refunds = sandbox.sdk.v1.refunds
    made = sandbox.refund(sandbox.pay(), metadata={"a": "1", "b": "2"})

    changed = refunds.update(made.id, params={"metadata": {"b": "", "c": "3"}})
    assert changed.metadata is not None
    assert changed.metadata.to_dict() == {"a": "1", "c": "3"}
    assert refunds.update(made.id).metadata == changed.metadata
    cleared = refunds.update(made.id, params={"metadata": ""})
    assert cleared.metadata is not None
    assert cleared.metadata.to_dict() == {}
    assert sandbox.post(f"/v1/refunds/{made.id}", {"amount": "5"}).json()["error"]["code"] == (
        "parameter_unknown"
    )


def test_metadata_does_not_grow_past_its_limit_by_updates(sandbox: Sandbox) -> None:
    made = sandbox.refund(sandbox.pay(), metadata={f"k{n}": "v" for n in range(50)})
    answer = sandbox.post(f"/v1/refunds/{made.id}", {"metadata[one_more]": "v"})
    assert answer.status_code == 400
    stored = sandbox.sdk.v1.refunds.retrieve(made.id).metadata
    assert stored is not None
    assert len(stored.to_dict()) == 50


def test_the_pending_refund_card_succeeds_some_time_later(sandbox: Sandbox) -> None:
    intent = sandbox.pay(payment_method="pm_card_pendingRefund")
    made = sandbox.refund(intent)
    assert made.status == "pending"
    assert made.pending_reason == "processing"
    assert _charge(sandbox, intent).refunded

    sandbox.state.advance(10)
    later = sandbox.sdk.v1.refunds.retrieve(made.id)
    assert later.status == "succeeded"
    assert "pending_reason" not in later.to_dict()


def test_the_refund_fail_card_fails_some_time_later_and_the_money_is_back(
    sandbox: Sandbox,
) -> None:
    intent = sandbox.pay(1000, payment_method="pm_card_refundFail")
    made = sandbox.refund(intent)
    assert made.status == "succeeded"

    sandbox.state.advance(10)
    failed = sandbox.sdk.v1.refunds.retrieve(made.id)
    assert failed.status == "failed"
    assert failed.failure_reason == "expired_or_canceled_card"
    assert failed.failure_balance_transaction
    assert _charge(sandbox, intent).amount_refunded == 0
    assert sandbox.state.report()["refunded"] == {}
    assert sandbox.refund(intent, amount=1000).amount == 1000
    assert sandbox.sdk.v1.balance.retrieve().available[0].amount == 0


def test_the_tracing_number_of_a_card_refund_arrives_late(sandbox: Sandbox) -> None:
    made = sandbox.refund(sandbox.pay())
    sandbox.state.advance(60)
    details = sandbox.sdk.v1.refunds.retrieve(made.id).destination_details
    assert details is not None
    assert details.card is not None
    assert details.card.reference_status == "available"
    assert details.card.reference is not None
    assert len(details.card.reference) == 23
    assert details.card.reference.isdigit()


def test_a_failed_refund_gets_no_tracing_number(sandbox: Sandbox) -> None:
    made = sandbox.refund(sandbox.pay(payment_method="pm_card_refundFail"))
    sandbox.state.advance(61)
    details = sandbox.sdk.v1.refunds.retrieve(made.id).destination_details
    assert details is not None
    assert details.card is not None
    assert "reference" not in details.card.to_dict()


def _konbini(sandbox: Sandbox) -> stripe.PaymentIntent:
    return sandbox.sdk.v1.payment_intents.create(
        params={
            "amount": 3000,
            "currency": "jpy",
            "confirm": True,
            "payment_method_data": {
                "type": "konbini",
                "billing_details": {"email": "jane@example.com"},
            },
        }
    )


def test_a_konbini_refund_waits_for_the_customer(sandbox: Sandbox) -> None:
    intent = _konbini(sandbox)
    assert _refusal(sandbox, payment_intent=intent.id).param == "instructions_email"

    made = sandbox.refund(intent, instructions_email="jane@example.com")
    assert made.status == "requires_action"
    assert made.next_action is not None
    assert made.next_action.display_details is not None
    sent = made.next_action.display_details.email_sent
    assert sent.email_sent_to == "jane@example.com"
    assert "destination_details" not in made.to_dict()


def test_only_a_refund_that_requires_action_can_be_canceled(sandbox: Sandbox) -> None:
    refunds = sandbox.sdk.v1.refunds
    intent = _konbini(sandbox)
    waiting = sandbox.refund(intent, instructions_email="jane@example.com")
    canceled = refunds.cancel(waiting.id)
    assert canceled.status == "canceled"
    assert "next_action" not in canceled.to_dict()
    assert _charge(sandbox, intent).amount_refunded == 0

    for refund_id in (waiting.id, sandbox.refund(sandbox.pay()).id):
        with pytest.raises(stripe.InvalidRequestError, match="cannot be canceled"):
            refunds.cancel(refund_id)
