from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import stripe

from dispatch_sandbox.stripe import API_KEY, Fault, StripeState
from dispatch_sandbox.stripe.exchange import StripeRequest, answer
from tests.support.stripe_sandbox import Sandbox, error_body
from tests.support.waiting import wait_until


def test_the_same_key_gives_the_same_answer_and_moves_no_money_twice(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    form = {"payment_intent": intent.id, "amount": "100"}
    first = sandbox.post("/v1/refunds", form, idempotency_key="k1")
    again = sandbox.post("/v1/refunds", form, idempotency_key="k1")

    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["request-id"] != first.headers["request-id"]
    assert again.headers["original-request"] == first.headers["request-id"]
    assert again.headers["idempotency-key"] == "k1"
    report = sandbox.state.report()
    assert report["refunds_per_charge"] == {intent.latest_charge: 1}
    assert report["replays"] == 1


def test_a_replay_tells_what_was_true_the_first_time(sandbox: Sandbox) -> None:
    intent = sandbox.pay(payment_method="pm_card_pendingRefund")
    sandbox.refund(intent, key="k1")
    sandbox.state.advance(100)
    assert sandbox.refund(intent, key="k1").status == "pending"


def test_without_a_key_every_request_is_a_new_one(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    form = {"payment_intent": intent.id, "amount": "100"}
    for key in ({}, {}, {"idempotency_key": ""}):
        assert "idempotency-key" not in sandbox.post("/v1/refunds", form, **key).headers
    assert sandbox.state.report()["refunds"] == 3


def test_a_key_on_a_get_means_nothing(sandbox: Sandbox) -> None:
    for _ in range(2):
        answer = sandbox.http.get("/v1/balance", headers={"idempotency-key": "k1"})
        assert "idempotent-replayed" not in answer.headers
    assert sandbox.state.report()["keys"] == 0


def test_a_refusal_by_the_endpoint_is_kept_like_a_success(sandbox: Sandbox) -> None:
    intent = sandbox.pay(1000)
    form = {"payment_intent": intent.id, "amount": "1001"}
    first = sandbox.post("/v1/refunds", form, idempotency_key="k1")
    assert first.status_code == 400
    assert first.headers["stripe-should-retry"] == "false"
    again = sandbox.post("/v1/refunds", form, idempotency_key="k1")
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == first.content


def test_a_request_that_fails_validation_leaves_the_key_free(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    bad = sandbox.post(
        "/v1/refunds", {"payment_intent": intent.id, "amount": "x"}, idempotency_key="k1"
    )
    assert bad.status_code == 400
    good = sandbox.post(
        "/v1/refunds", {"payment_intent": intent.id, "amount": "5"}, idempotency_key="k1"
    )
    assert good.status_code == 200
    assert "idempotent-replayed" not in good.headers


def test_a_request_without_the_right_api_key_leaves_the_key_free(sandbox: Sandbox) -> None:
    form = {"amount": "5", "currency": "usd"}
    refused = sandbox.post(
        "/v1/payment_intents", form, idempotency_key="k1", authorization="Bearer sk_test_other"
    )
    assert refused.status_code == 401
    assert sandbox.post("/v1/payment_intents", form, idempotency_key="k1").status_code == 200


def test_other_parameters_under_the_same_key_are_refused(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    sandbox.refund(intent, key="k1", amount=1)
    with pytest.raises(stripe.IdempotencyError) as caught:
        sandbox.refund(intent, key="k1", amount=2)
    assert caught.value.http_status == 400
    assert error_body(caught.value)["type"] == "idempotency_error"
    assert sandbox.state.report()["refunds"] == 1


def test_another_endpoint_under_the_same_key_is_refused(sandbox: Sandbox) -> None:
    intents = sandbox.sdk.v1.payment_intents
    intent = sandbox.pay(capture_method="manual")
    intents.capture(intent.id, options={"idempotency_key": "k1"})
    with pytest.raises(stripe.IdempotencyError):
        intents.cancel(intent.id, options={"idempotency_key": "k1"})


def test_the_order_of_parameters_does_not_matter(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    one = {"payment_intent": intent.id, "metadata[a]": "1", "metadata[b]": "2"}
    sandbox.post("/v1/refunds", one, idempotency_key="k1")
    again = sandbox.post("/v1/refunds", dict(reversed(one.items())), idempotency_key="k1")
    assert again.headers["idempotent-replayed"] == "true"


def test_a_key_is_up_to_255_characters_long(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    sandbox.refund(intent, key="k" * 255, amount=1)
    with pytest.raises(stripe.InvalidRequestError, match="up to 255 characters"):
        sandbox.refund(intent, key="k" * 256, amount=1)


def test_a_key_is_forgotten_after_24_hours_and_then_pays_again(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    first = sandbox.refund(intent, key="k1", amount=100)
    sandbox.state.advance(24 * 3600 - 1)
    assert sandbox.refund(intent, key="k1", amount=100).id == first.id

    sandbox.state.advance(1)
    second = sandbox.refund(intent, key="k1", amount=100)
    assert second.id != first.id
    assert sandbox.state.report()["refunded"] == {intent.latest_charge: 200}


def test_a_key_is_forgotten_behind_one_in_flight_which_is_not(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    fault = sandbox.state.faults.add(Fault(kind="slow", seconds=0.5, metadata={"slow": "1"}))
    with ThreadPoolExecutor(1) as pool:
        waiting = {"payment_intent": intent.id, "amount": "1", "metadata[slow]": "1"}
        slow = pool.submit(sandbox.post, "/v1/refunds", waiting, idempotency_key="k1")
        wait_until(lambda: fault.spent)
        form = {"payment_intent": intent.id, "amount": "5"}
        sandbox.post("/v1/refunds", form, idempotency_key="k2")
        sandbox.state.advance(24 * 3600)
        again = sandbox.post("/v1/refunds", form, idempotency_key="k2")
        assert "idempotent-replayed" not in again.headers
        twin = sandbox.post("/v1/refunds", waiting, idempotency_key="k1")
        assert twin.status_code == 409
        assert slow.result().status_code == 200


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_same_key_while_the_first_is_running_is_a_conflict(sandbox: Sandbox, when: str) -> None:
    intent = sandbox.pay()
    slow = {"kind": "slow", "seconds": 0.5, "when": when}
    assert sandbox.http.post("/_sandbox/stripe/faults", json=slow).status_code == 201
    form = {"payment_intent": intent.id}

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sandbox.post, "/v1/refunds", form, idempotency_key="k1")
        wait_until(lambda: sandbox.state.report()["faults"][0]["fired"] == 1)
        second = sandbox.post("/v1/refunds", form, idempotency_key="k1")
        assert second.status_code == 409
        assert second.json()["error"]["code"] == "idempotency_key_in_use"
        assert second.headers["stripe-should-retry"] == "true"
        assert sandbox.http.get("/v1/balance").status_code == 200
        assert not first.done()
        done = first.result()

    assert done.status_code == 200
    again = sandbox.post("/v1/refunds", form, idempotency_key="k1")
    assert again.json()["id"] == done.json()["id"]
    assert sandbox.state.report()["refunds"] == 1


def test_many_at_once_with_one_key_make_one_refund(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    form = {"payment_intent": intent.id, "amount": "100"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: sandbox.post("/v1/refunds", form, idempotency_key="k1"), range(40))
        )
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 200}) == 1
    assert sandbox.state.report()["refunded"] == {intent.latest_charge: 100}


def test_a_server_that_stops_keeps_the_key_of_work_that_was_done() -> None:
    state = StripeState()
    request = StripeRequest(
        "POST",
        "/v1/payment_intents",
        {"authorization": f"Bearer {API_KEY}", "idempotency-key": "k1"},
        body=b"amount=100&currency=usd",
    )

    async def stop_while_it_works() -> None:
        task = asyncio.create_task(answer(state, request))
        await asyncio.sleep(0)  # it runs until the fault makes it wait
        assert len(state.keys) == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    fault = {"kind": "slow", "endpoint": "POST /v1/payment_intents", "seconds": 60}
    for when, kept in (("before", 0), ("after", 1)):
        state.faults.add(Fault.model_validate({**fault, "when": when}))
        asyncio.run(stop_while_it_works())
        assert len(state.keys) == kept
        assert state.report()["payment_intents"] == kept
