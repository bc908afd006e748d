from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import httpx
import pytest
import stripe
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dispatch_returns.errors import ErrorKind
from dispatch_returns.refunds.adapters.stripe.rejections import rejection
from dispatch_sandbox.stripe import Fault
from dispatch_sandbox.stripe.problems import Refusal
from tests.support.stripe_sandbox import Sandbox, Stage, error_body


def test_a_lost_response_is_a_connection_error_and_the_refund_is_made(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    fault = sandbox.state.faults.add(Fault(kind="lost_response", payment_intent=intent.id))
    with pytest.raises(stripe.APIConnectionError):
        sandbox.refund(intent, key="k1", amount=100)
    assert fault.spent
    assert sandbox.state.report()["refunds"] == 1
    assert sandbox.state.log[-1].status == 0

    again = sandbox.refund(intent, key="k1", amount=100)
    listed = sandbox.sdk.v1.refunds.list(params={"payment_intent": intent.id})
    assert [refund.id for refund in listed.data] == [again.id]
    assert sandbox.state.log[-2].replayed


def test_a_replay_can_be_lost_as_well(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    sandbox.state.faults.add(Fault(kind="lost_response", times=2))
    for _ in range(2):
        with pytest.raises(stripe.APIConnectionError):
            sandbox.refund(intent, key="k1")
    assert sandbox.refund(intent, key="k1").status == "succeeded"
    assert sandbox.state.report()["refunds"] == 1


def test_a_lost_response_shows_no_byte_of_an_answer(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    sandbox.state.faults.add(Fault(kind="lost_response"))
    with (
        pytest.raises(httpx.TransportError),
        sandbox.http.stream("POST", "/v1/refunds", data={"payment_intent": intent.id}),
    ):
        pytest.fail("an answer arrived")  # pragma: no cover


def _wrapping(app: ASGIApp) -> ASGIApp:
    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def through() -> Message:
            return await receive()

        await app(scope, through, send)

    return wrapped


def test_a_response_is_lost_behind_a_middleware_too(
    sandbox: Sandbox, served_stage: tuple[Stage, str]
) -> None:
    stage, _ = served_stage
    stage.app = _wrapping(stage.app)
    intent = sandbox.pay()
    sandbox.state.faults.add(Fault(kind="lost_response"))
    with pytest.raises(stripe.APIConnectionError):
        sandbox.refund(intent, key="k1")
    assert sandbox.refund(intent, key="k1").status == "succeeded"
    assert sandbox.state.report()["refunds"] == 1


@pytest.mark.parametrize(("acted", "refunds"), [(True, 1), (False, 0)])
def test_a_stored_500_is_given_for_ever(sandbox: Sandbox, acted: bool, refunds: int) -> None:
    intent = sandbox.pay()
    sandbox.state.faults.add(Fault(kind="stored_500", acted=acted))
    for _ in range(3):
        with pytest.raises(stripe.APIError) as caught:
            sandbox.refund(intent, key="k1")
        assert caught.value.http_status == 500
        assert caught.value.headers
        assert caught.value.headers["Stripe-Should-Retry"] == "false"
    assert sandbox.state.log[-1].replayed
    assert sandbox.state.report()["refunds"] == refunds


def test_a_500_without_a_key_is_given_once(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    sandbox.state.faults.add(Fault(kind="stored_500", acted=False))
    assert sandbox.post("/v1/refunds", {"payment_intent": intent.id}).status_code == 500
    assert sandbox.post("/v1/refunds", {"payment_intent": intent.id}).status_code == 200


def test_a_conflict_is_given_once_and_not_kept(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    sandbox.state.faults.add(Fault(kind="conflict_409"))
    with pytest.raises(stripe.APIError) as caught:
        sandbox.refund(intent, key="k1")
    assert caught.value.http_status == 409
    assert error_body(caught.value)["code"] == "idempotency_key_in_use"
    assert sandbox.state.report()["refunds"] == 0
    assert sandbox.refund(intent, key="k1").status == "succeeded"


def test_a_rate_limit_is_given_before_the_key_is_looked_at(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    sandbox.state.faults.add(Fault(kind="rate_limit_429", retry_after=2, times=2))
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError) as caught:
            sandbox.refund(intent, key="k1")
        assert caught.value.headers is not None
        assert caught.value.headers["Retry-After"] == "2"
    answer = sandbox.post("/v1/refunds", {"payment_intent": intent.id}, idempotency_key="k1")
    assert answer.status_code == 200
    assert "idempotent-replayed" not in answer.headers


def test_a_rate_limit_need_not_say_how_long(sandbox: Sandbox) -> None:
    sandbox.state.faults.add(Fault(kind="rate_limit_429", endpoint=None))
    answer = sandbox.http.get("/v1/balance")
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "rate_limit"
    assert "retry-after" not in answer.headers


def test_a_slow_answer_outlasts_a_client_that_gives_up(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    sandbox.state.faults.add(Fault(kind="slow", seconds=0.4, when="after"))
    with pytest.raises(httpx.ReadTimeout):
        sandbox.http.post("/v1/refunds", data={"payment_intent": intent.id}, timeout=0.1)
    assert sandbox.state.report()["refunds"] == 1


def test_a_refund_fails_later_for_the_reason_given(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    sandbox.state.faults.add(
        Fault(kind="fail_later", seconds=5, failure_reason="insufficient_funds")
    )
    made = sandbox.refund(intent)
    assert made.status == "succeeded"
    sandbox.state.advance(5)
    failed = sandbox.sdk.v1.refunds.retrieve(made.id)
    assert (failed.status, failed.failure_reason) == ("failed", "insufficient_funds")


def test_a_refund_is_pending_and_then_succeeds(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    sandbox.state.faults.add(Fault(kind="pending_then_succeed", seconds=5))
    made = sandbox.refund(intent)
    assert made.status == "pending"
    sandbox.state.advance(4)
    assert sandbox.sdk.v1.refunds.retrieve(made.id).status == "pending"
    sandbox.state.advance(1)
    assert sandbox.sdk.v1.refunds.retrieve(made.id).status == "succeeded"


def test_a_canceled_refund_does_not_succeed_any_more(sandbox: Sandbox) -> None:
    form = {
        "amount": "500",
        "currency": "jpy",
        "confirm": "true",
        "payment_method_data[type]": "konbini",
    }
    intent = sandbox.post("/v1/payment_intents", form).json()
    sandbox.state.faults.add(Fault(kind="pending_then_succeed", seconds=5))
    wanted = {"payment_intent": intent["id"], "instructions_email": "jane@example.com"}
    made = sandbox.post("/v1/refunds", wanted).json()
    assert made["status"] == "requires_action"
    sandbox.sdk.v1.refunds.cancel(made["id"])
    sandbox.state.advance(5)
    assert sandbox.sdk.v1.refunds.retrieve(made["id"]).status == "canceled"


def test_one_request_can_meet_several_faults(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    sandbox.state.faults.add(Fault(kind="fail_later", seconds=5))
    sandbox.state.faults.add(Fault(kind="lost_response"))
    with pytest.raises(stripe.APIConnectionError):
        sandbox.refund(intent, key="k1")
    sandbox.state.advance(5)
    listed = sandbox.sdk.v1.refunds.list(params={"payment_intent": intent.id})
    assert [refund.status for refund in listed.data] == ["failed"]


@pytest.mark.parametrize(
    "match",
    [
        lambda intent: {"payment_intent": intent.id},
        lambda intent: {"charge": intent.latest_charge},
        lambda intent: {"metadata": {"order_id": "1"}},
        lambda intent: {"metadata": {"ticket_id": "t1", "order_id": "1"}},
        lambda intent: {"payment_intent": intent.id, "metadata": {"ticket_id": "t1"}},
    ],
)
def test_a_fault_strikes_only_what_it_is_meant_for(
    sandbox: Sandbox, match: Callable[[stripe.PaymentIntent], dict[str, Any]]
) -> None:
    struck, spared = sandbox.pay(metadata={"order_id": "1"}), sandbox.pay()
    fault = sandbox.state.faults.add(Fault(kind="stored_500", **match(struck)))
    assert sandbox.refund(spared, metadata={"ticket_id": "t2"}).status == "succeeded"
    with pytest.raises(stripe.APIError):
        sandbox.refund(struck, amount=5, metadata={"ticket_id": "t1"})
    assert fault.fired == 1
    assert sandbox.refund(struck, amount=5, metadata={"ticket_id": "t1"}).status == "succeeded"


def test_a_fault_finds_the_payment_behind_a_charge_or_a_refund(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    assert isinstance(intent.latest_charge, str)
    made = sandbox.refund(intent)
    sandbox.state.faults.add(
        Fault(kind="rate_limit_429", endpoint=None, payment_intent=intent.id, times=3)
    )
    with pytest.raises(stripe.RateLimitError):
        sandbox.sdk.v1.refunds.retrieve(made.id)
    with pytest.raises(stripe.RateLimitError):
        sandbox.sdk.v1.charges.retrieve(intent.latest_charge)
    with pytest.raises(stripe.RateLimitError):
        sandbox.sdk.v1.refunds.list(params={"charge": intent.latest_charge})
    assert sandbox.sdk.v1.payment_intents.retrieve(intent.id).id == intent.id


def test_a_fault_strikes_only_its_endpoint(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    sandbox.state.faults.add(Fault(kind="rate_limit_429", endpoint="GET /v1/payment_intents/:id"))
    assert sandbox.refund(intent).status == "succeeded"
    with pytest.raises(stripe.RateLimitError):
        sandbox.sdk.v1.payment_intents.retrieve(intent.id)


def test_faults_are_armed_listed_and_cleared_over_http(sandbox: Sandbox) -> None:
    armed = sandbox.http.post(
        "/_sandbox/stripe/faults",
        json={"kind": "rate_limit_429", "metadata": {"order_id": "1"}, "times": 2},
    )
    assert armed.status_code == 201
    assert armed.headers["x-sandbox"] == "dispatch-returns"
    assert armed.json()["endpoint"] == "POST /v1/refunds"
    with pytest.raises(stripe.RateLimitError):
        sandbox.refund(sandbox.pay(metadata={"order_id": "1"}))
    [listed] = sandbox.http.get("/_sandbox/stripe/faults").json()["faults"]
    assert (listed["times"], listed["fired"]) == (2, 1)

    assert sandbox.http.delete("/_sandbox/stripe/faults").json() == {"faults": []}
    assert sandbox.refund(sandbox.pay(metadata={"order_id": "1"})).status == "succeeded"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", "kind"),
        (b"not json", ""),
        (b'{"kind": "explode"}', "kind"),
        (b'{"kind": "slow", "endpoint": "POST /v1/refund"}', "endpoint"),
        (b'{"kind": "slow", "times": 0}', "times"),
        (b'{"kind": "slow", "seconds": -1}', "seconds"),
        (b'{"kind": "slow", "seconds": Infinity}', "seconds"),
        (b'{"kind": "slow", "colour": "red"}', "colour"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(sandbox: Sandbox, body: bytes, field: str) -> None:
    answer = sandbox.http.post("/_sandbox/stripe/faults", content=body)
    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json()["errors"]] == [field]
    assert sandbox.http.get("/_sandbox/stripe/faults").json()["faults"] == []


@pytest.mark.parametrize("refusal", get_args(Refusal))
def test_each_refusal_of_a_refund_can_be_asked_for_and_is_understood(
    sandbox: Sandbox, refusal: Refusal
) -> None:
    intent = sandbox.pay()
    sandbox.state.faults.add(Fault(kind="refused", refusal=refusal))
    with pytest.raises(stripe.StripeError) as caught:
        sandbox.refund(intent, key="k1")
    read = rejection(caught.value.http_status, caught.value.json_body, {})
    assert read.kind not in {ErrorKind.CONFIG, ErrorKind.UNKNOWN_OUTCOME}
    assert sandbox.state.report()["refunds"] == 0
