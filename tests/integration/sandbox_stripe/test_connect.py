from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.support.stripe_sandbox import Sandbox, error_body

SHOP = "acct_shop1"


def _pay_shop(sandbox: Sandbox) -> stripe.PaymentIntent:
    return sandbox.sdk.v1.payment_intents.create(
        params={
            "amount": 1000,
            "currency": "usd",
            "payment_method": "pm_card_visa",
            "confirm": True,
            "application_fee_amount": 100,
        },
        options={"stripe_account": SHOP},
    )


def test_a_direct_charge_lives_in_its_own_account(sandbox: Sandbox) -> None:
    intent = _pay_shop(sandbox)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        sandbox.refund(intent)
    assert caught.value.code == "resource_missing"

    refund = sandbox.sdk.v1.refunds.create(
        params={"payment_intent": intent.id, "refund_application_fee": True},
        options={"stripe_account": SHOP},
    )
    assert refund.status == "succeeded"
    assert sandbox.sdk.v1.refunds.list().data == []
    listed = sandbox.sdk.v1.refunds.list(options={"stripe_account": SHOP})
    assert [entry.id for entry in listed.data] == [refund.id]
    assert sandbox.sdk.v1.accounts.retrieve_current(options={"stripe_account": SHOP}).id == SHOP


def test_late_outcomes_come_in_a_connected_account_too(sandbox: Sandbox) -> None:
    form = {
        "amount": "5",
        "currency": "usd",
        "payment_method": "pm_card_refundFail",
        "confirm": "true",
    }
    intent = sandbox.post("/v1/payment_intents", form, stripe_account=SHOP).json()
    made = sandbox.post("/v1/refunds", {"payment_intent": intent["id"]}, stripe_account=SHOP)
    sandbox.state.advance(10)
    found = sandbox.http.get(f"/v1/refunds/{made.json()['id']}", headers={"stripe-account": SHOP})
    assert found.json()["status"] == "failed"


def test_the_platforms_own_account_may_be_named(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    found = sandbox.sdk.v1.payment_intents.retrieve(
        intent.id, options={"stripe_account": "acct_sandbox"}
    )
    assert found.id == intent.id


def test_an_account_that_cannot_be_one_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.PermissionError) as caught:
        sandbox.sdk.v1.balance.retrieve(options={"stripe_account": "shop"})
    assert error_body(caught.value)["code"] == "account_invalid"


@pytest.mark.parametrize("flag", ["reverse_transfer", "refund_application_fee"])
def test_a_plain_charge_has_no_transfer_and_no_fee_to_give_back(
    sandbox: Sandbox, flag: str
) -> None:
    intent = sandbox.pay()
    answer = sandbox.post("/v1/refunds", {"payment_intent": intent.id, flag: "true"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == flag
    assert sandbox.state.report()["refunds"] == 0
    assert sandbox.post("/v1/refunds", {"payment_intent": intent.id, flag: "false"}).is_success


def test_a_destination_charge_gives_transfer_and_fee_back(sandbox: Sandbox) -> None:
    intent = sandbox.pay(
        transfer_data={"destination": SHOP},
        application_fee_amount=50,
        expand=["latest_charge"],
    )
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert intent.latest_charge.application_fee_amount == 50
    assert intent.latest_charge.application_fee
    assert intent.latest_charge.transfer
    refund = sandbox.refund(intent, reverse_transfer=True, refund_application_fee=True)
    assert refund.transfer_reversal


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"application_fee_amount": 10}, "Can only apply an application_fee_amount"),
        (
            {"application_fee_amount": 10_001, "transfer_data": {"destination": SHOP}},
            "cannot be greater than the amount",
        ),
    ],
)
def test_a_fee_needs_somebody_to_take_it_from(
    sandbox: Sandbox, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=message):
        sandbox.pay(**more)


def test_a_key_of_one_account_means_nothing_in_another(sandbox: Sandbox) -> None:
    form = {"amount": "5", "currency": "usd"}
    first = sandbox.post("/v1/payment_intents", form, idempotency_key="k")
    second = sandbox.post("/v1/payment_intents", form, idempotency_key="k", stripe_account=SHOP)
    assert second.headers.get("idempotent-replayed") is None
    assert first.json()["id"] != second.json()["id"]
