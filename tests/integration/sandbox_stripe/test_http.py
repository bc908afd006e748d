from __future__ import annotations

import asyncio
import base64
import json
from urllib.parse import urlencode

import pytest
import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.types import Message

from dispatch_sandbox.stripe import API_KEY, StripeState, routes
from dispatch_sandbox.stripe.endpoints import ENDPOINTS
from dispatch_sandbox.stripe.exchange import StripeRequest, answer
from dispatch_sandbox.stripe.names import EndpointName
from tests.support.stripe_sandbox import Sandbox


def test_every_answer_has_a_request_id_and_says_that_it_is_a_sandbox(sandbox: Sandbox) -> None:
    for path in ("/v1/balance", "/v1/refunds/re_none", "/v1/balance/none", "/v1/refunds?x=1"):
        answer = sandbox.http.get(path)
        assert answer.headers["request-id"].startswith("req_")
        assert answer.headers["x-sandbox"] == "dispatch-returns"
        assert answer.headers["content-type"] == "application/json"
    assert sandbox.state.log[-1].request_id == answer.headers["request-id"]


def test_the_sdk_sees_the_request_id_of_a_refusal(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        sandbox.sdk.v1.refunds.retrieve("re_none")
    assert caught.value.request_id == sandbox.state.log[-1].request_id


def test_the_key_may_come_as_basic_authentication(sandbox: Sandbox) -> None:
    headers = {"authorization": "Basic " + base64.b64encode(f"{API_KEY}:".encode()).decode()}
    assert sandbox.http.get("/v1/balance", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        b"",
        b"Bearer",
        b"Bearer sk_test_other_secret",
        b"Bearer sk_live_something_secret",
        b"Basic",
        b"Basic !!!",
        b"Basic \xff\xfe",
        b"Basic " + base64.b64encode(b"sk_live_something_secret:"),
        b"Basic " + base64.b64encode(b"\xff\xfe"),
        b"Digest sk_test_sandbox_stripe",
    ],
)
def test_any_other_key_is_refused_without_being_repeated(
    sandbox: Sandbox, authorization: bytes
) -> None:
    answer = sandbox.http.get("/v1/balance", headers=[(b"authorization", authorization)])
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "secret" not in answer.text
    assert answer.headers["request-id"]


def test_the_sdk_raises_for_a_wrong_key(sandbox: Sandbox) -> None:
    sdk = stripe.StripeClient("sk_test_other", base_addresses={"api": sandbox.url})
    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key provided: sk_test_"):
        sdk.v1.balance.retrieve()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/refunds/"),
        ("DELETE", "/v1/refunds/re_1"),
        ("PUT", "/v1/refunds"),
        ("GET", "/v1/refunds/re_1/cancel"),
        ("POST", "/v1/refunds/re_1/expire"),
        ("POST", "/v1/refunds/re_1/cancel/now"),
        ("POST", "/v1/balance"),
        ("HEAD", "/v1/balance"),
    ],
)
def test_an_unknown_address_is_404(sandbox: Sandbox, method: str, path: str) -> None:
    answer = sandbox.http.request(method, path)
    assert answer.status_code == 404
    assert answer.headers["x-sandbox"] == "dispatch-returns"


def test_parameters_of_a_post_may_stand_in_the_address(sandbox: Sandbox) -> None:
    answer = sandbox.http.post("/v1/payment_intents?amount=100&currency=usd")
    assert answer.json()["amount"] == 100


def test_too_many_parameters_are_refused(sandbox: Sandbox) -> None:
    form = {f"metadata[{n}]": "x" for n in range(1001)}
    assert sandbox.post("/v1/refunds", form).status_code == 400


def test_a_request_that_was_not_sent_to_its_end_is_not_carried_out() -> None:
    state = StripeState()
    arriving: list[Message] = [
        {"type": "http.request", "body": b"amount=10&currency=usd", "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/payment_intents",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {API_KEY}".encode())],
    }

    async def receive() -> Message:
        return arriving.pop(0)

    async def send(_message: Message) -> None:
        pytest.fail("there is nobody to answer")  # pragma: no cover

    asyncio.run(Starlette(routes=routes(state))(scope, receive, send))
    assert state.report()["payment_intents"] == 0
    assert state.log == []


def test_every_request_is_in_the_log(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    sandbox.post("/v1/refunds", {"payment_intent": intent.id}, idempotency_key="k1")
    sandbox.post("/v1/refunds", {"payment_intent": intent.id}, idempotency_key="k1")
    sandbox.http.get("/v1/refunds/re_none", headers={"stripe-account": "acct_1"})
    assert [
        (entry.method, entry.path, entry.key, entry.status, entry.replayed, entry.account)
        for entry in sandbox.state.log[1:]
    ] == [
        ("POST", "/v1/refunds", "k1", 200, False, "acct_sandbox"),
        ("POST", "/v1/refunds", "k1", 200, True, "acct_sandbox"),
        ("GET", "/v1/refunds/re_none", None, 404, False, "acct_1"),
    ]


_NAMES = st.one_of(
    st.sampled_from(
        [
            "amount",
            "charge",
            "created",
            "created[gte]",
            "currency",
            "expand[]",
            "limit",
            "metadata[a]",
            "payment_intent",
            "payment_method",
            "payment_method_data[card]",
            "payment_method_data[card][number]",
            "payment_method_data[type]",
            "query",
            "page",
            "source",
            "source[number]",
            "starting_after",
            "transfer_data[amount]",
            "confirm",
        ]
    ),
    st.text(max_size=20),
)
_VALUES = st.one_of(
    st.sampled_from(["1", "usd", "true", "card", "konbini", "tok_visa", "data.charge", "charge"]),
    st.sampled_from(["metadata['a']:'b'", "latest_charge", "data.latest_charge", "pm_card_visa"]),
    st.text(max_size=20),
)
_ENDPOINTS = st.sampled_from(sorted(ENDPOINTS))


@settings(max_examples=300, deadline=None)
@given(name=_ENDPOINTS, pairs=st.lists(st.tuples(_NAMES, _VALUES), max_size=6), raw=st.binary())
def test_no_form_makes_it_fail(
    name: EndpointName, pairs: list[tuple[str, str]], raw: bytes
) -> None:
    method, path = name.replace(":id", "x").split(" ")
    form = urlencode(pairs).encode() + raw
    query, body = (form, b"") if method == "GET" else (b"", form)
    request = StripeRequest(method, path, {"authorization": f"Bearer {API_KEY}"}, query, body)
    given_back = asyncio.run(answer(StripeState(), request))
    assert given_back.status in {200, 400, 404}
    if given_back.status != 200:
        assert json.loads(given_back.body)["error"]["message"]


_HEADER_BYTES = [9, *range(32, 127), *range(128, 256)]


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from([b"authorization", b"idempotency-key", b"stripe-account"]),
    value=st.lists(st.sampled_from(_HEADER_BYTES), max_size=60).map(bytes),
)
def test_no_header_makes_it_fail(sandbox: Sandbox, name: bytes, value: bytes) -> None:
    form = {"amount": "5", "currency": "usd"}
    answer = sandbox.http.post("/v1/payment_intents", data=form, headers=[(name, value.strip())])
    assert answer.status_code in {200, 400, 401, 403}
