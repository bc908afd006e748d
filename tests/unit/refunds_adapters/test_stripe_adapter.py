"""What `StripeAdapter` sends through Stripe's SDK, and what it makes of what comes back.

The answers come from a transport of httpx's: the faults here no server produces on demand.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar, cast
from urllib.parse import parse_qs

import httpx
import pytest
import stripe

from dispatch_returns.errors import (
    AdapterError,
    ConfigurationError,
    ErrorKind,
    InvalidArgumentError,
    MissingExtraError,
    UnsupportedFeatureError,
)
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import (
    KnownRefund,
    PaymentRef,
    RefundRequest,
    RefundStatus,
    UnreadableRefund,
)
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.refunds.registry import build_adapter

KEY = "sk_test_51Nsecret4242"
INTENT = PaymentRef("payment_intent", "pi_1")
REQUEST = RefundRequest(
    refund_id="rfd_1",
    idempotency_key="rfd_1-g1",
    payment=INTENT,
    amount=Money(14900, "USD"),
    workspace_id="ws_1",
    ticket_id="tkt_1",
)
REFUND = {
    "id": "re_1",
    "object": "refund",
    "amount": 14900,
    "currency": "usd",
    "status": "succeeded",
    "metadata": {"dispatch_refund_id": "rfd_1", "dispatch_idempotency_key": "rfd_1-g1"},
}
CHARGE = {
    "id": "ch_1",
    "object": "charge",
    "amount": 14900,
    "amount_captured": 14900,
    "amount_refunded": 0,
    "captured": True,
    "currency": "usd",
    "disputed": False,
    "status": "succeeded",
}
PAID_INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "status": "succeeded",
    "latest_charge": CHARGE,
}

Answer = httpx.Response | BaseException | Callable[[httpx.Request], httpx.Response]


class Stripe:
    """Answers in the order given, and keeps what was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[httpx.Request] = []
        self.client = httpx.Client(transport=httpx.MockTransport(self._answer))

    def will(self, *answers: Answer | dict[str, Any]) -> None:
        for answer in answers:
            self.answers.append(
                httpx.Response(200, json=answer, headers={"request-id": "req_1"})
                if isinstance(answer, dict)
                else answer
            )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer(request) if callable(answer) else answer

    @property
    def form(self) -> dict[str, str]:
        """The fields of the only request."""
        [request] = self.requests
        return {name: value for name, [value] in parse_qs(request.content.decode()).items()}


@pytest.fixture
def server() -> Iterator[Stripe]:
    server = Stripe()
    yield server
    server.client.close()


@pytest.fixture
def adapter(server: Stripe) -> StripeAdapter:
    return StripeAdapter(KEY, http_client=server.client)


def a_list(*refunds: dict[str, Any], more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": list(refunds), "has_more": more, "url": "/v1/refunds"}


def error_of(call: Callable[[], object]) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        call()
    return caught.value


# What is sent.


def test_a_refund_is_one_post_with_our_ids_in_it(server: Stripe, adapter: StripeAdapter) -> None:
    server.will(REFUND)
    result = adapter.refund(replace(REQUEST, order_id="1234"))
    assert (result.processor_id, result.status) == ("re_1", RefundStatus.SUCCEEDED)
    assert result.request_id == "req_1"
    assert server.form == {
        "payment_intent": "pi_1",
        "amount": "14900",
        "reason": "requested_by_customer",
        "metadata[dispatch_refund_id]": "rfd_1",
        "metadata[dispatch_idempotency_key]": "rfd_1-g1",
        "metadata[dispatch_workspace_id]": "ws_1",
        "metadata[dispatch_ticket_id]": "tkt_1",
        "metadata[order_id]": "1234",
    }
    [request] = server.requests
    assert (request.method, str(request.url)) == ("POST", "https://api.stripe.com/v1/refunds")
    assert request.headers["idempotency-key"] == "rfd_1-g1"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert "stripe-account" not in request.headers
    assert "x-stripe-client-telemetry" not in request.headers


def test_what_connect_and_instructions_need_is_sent_when_asked_for(
    server: Stripe, adapter: StripeAdapter
) -> None:
    ref = PaymentRef("charge", "ch_1", "acct_1", reverse_transfer=True, refund_application_fee=True)
    server.will(REFUND)
    adapter.refund(replace(REQUEST, payment=ref, instructions_email="jane@example.com"))
    assert server.form["charge"] == "ch_1"
    assert server.form["reverse_transfer"] == "true"
    assert server.form["refund_application_fee"] == "true"
    assert server.form["instructions_email"] == "jane@example.com"
    assert server.requests[0].headers["stripe-account"] == "acct_1"


def test_every_read_goes_to_the_connected_account(server: Stripe, adapter: StripeAdapter) -> None:
    ref = replace(INTENT, account="acct_1")
    server.will(PAID_INTENT, a_list())
    adapter.payment(ref)
    adapter.find(replace(REQUEST, payment=ref))
    assert {request.headers["stripe-account"] for request in server.requests} == {"acct_1"}


def test_a_payment_is_read_in_one_call(server: Stripe, adapter: StripeAdapter) -> None:
    server.will(PAID_INTENT, CHARGE | {"payment_intent": "pi_1"})
    of_intent = adapter.payment(INTENT)
    of_charge = adapter.payment(PaymentRef("charge", "ch_1"))
    assert of_intent == of_charge
    assert of_intent.charged == Money(14900, "USD")
    paths = [request.url.raw_path.decode().partition("/v1/")[2] for request in server.requests]
    assert paths == ["payment_intents/pi_1?expand[0]=latest_charge", "charges/ch_1"]


def test_httpx_logs_no_query(
    server: Stripe, adapter: StripeAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    server.will(PAID_INTENT)
    with caplog.at_level("INFO"):
        adapter.payment(INTENT)
    [line] = [it.getMessage() for it in caplog.records if it.name == "httpx"]
    assert "payment_intents/pi_1 " in line


def test_the_sdk_repeats_nothing(server: Stripe, adapter: StripeAdapter) -> None:
    server.will(
        httpx.Response(500, json={"error": {"type": "api_error"}}, headers={"request-id": "req_1"}),
        httpx.Response(
            409,
            json={"error": {"type": "idempotency_error", "code": "idempotency_key_in_use"}},
            headers={"stripe-should-retry": "true"},
        ),
        httpx.ReadTimeout("slow"),
    )
    kinds = [error_of(lambda: adapter.refund(REQUEST)).kind for _ in range(3)]
    assert kinds == [ErrorKind.UNKNOWN_OUTCOME, ErrorKind.IN_PROGRESS, ErrorKind.UNKNOWN_OUTCOME]
    assert len(server.requests) == 3


def test_the_time_a_call_may_take_is_ours_and_redirects_are_not_followed(server: Stripe) -> None:
    borrowed = httpx.Client(
        transport=httpx.MockTransport(server._answer), timeout=300, follow_redirects=True
    )
    adapter = StripeAdapter(KEY, timeout=12, http_client=borrowed)
    server.will(httpx.Response(302, headers={"location": "https://elsewhere.example/"}), REFUND)
    assert error_of(lambda: adapter.refund(REQUEST)).kind is ErrorKind.UNKNOWN_OUTCOME
    assert len(server.requests) == 1
    assert server.requests[0].extensions["timeout"] == {
        "connect": 10.0,
        "read": 12.0,
        "write": 12.0,
        "pool": 12.0,
    }
    borrowed.close()


# What is refused before anything is sent.


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (replace(REQUEST, payment=PaymentRef("reference", "INV-1")), "PaymentIntent"),
        (replace(REQUEST, order_id="x" * 501), "order_id"),
        (replace(REQUEST, ticket_id="x" * 501), "dispatch_ticket_id"),
        (replace(REQUEST, amount=Money(0, "USD")), "at least one minor unit"),
        (replace(REQUEST, idempotency_key=""), "1 to 255"),
        (replace(REQUEST, idempotency_key="x" * 256), "1 to 255"),
        (replace(REQUEST, idempotency_key="a\r\nb"), "1 to 255"),
    ],
)
def test_what_stripe_has_no_words_for_is_unsupported(
    server: Stripe, adapter: StripeAdapter, request_: RefundRequest, says: str
) -> None:
    with pytest.raises(UnsupportedFeatureError, match=says):
        adapter.refund(request_)
    assert server.requests == []


def test_a_reference_of_another_processor_is_unsupported_everywhere(
    adapter: StripeAdapter,
) -> None:
    ref = PaymentRef("reference", "INV-1")
    with pytest.raises(UnsupportedFeatureError):
        adapter.payment(ref)
    with pytest.raises(UnsupportedFeatureError):
        adapter.find(replace(REQUEST, payment=ref))


@pytest.mark.parametrize("id_", ["", "../refunds", "pi_1?expand=x", "pi_1/capture", "pi 1", "pi_é"])
@pytest.mark.parametrize("of_account", [False, True])
def test_an_id_that_is_none_of_stripes_is_not_found(
    server: Stripe, adapter: StripeAdapter, id_: str, of_account: bool
) -> None:
    ref = replace(INTENT, account=id_) if of_account else replace(INTENT, id=id_)
    request = replace(REQUEST, payment=ref)
    assert error_of(lambda: adapter.payment(request.payment)).kind is ErrorKind.NOT_FOUND
    assert error_of(lambda: adapter.refund(request)).kind is ErrorKind.NOT_FOUND
    assert error_of(lambda: adapter.find(request)).kind is ErrorKind.NOT_FOUND
    assert server.requests == []


# What a failure means.


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (httpx.ConnectError("refused"), ErrorKind.NOT_SENT),
        (httpx.ConnectTimeout("slow"), ErrorKind.NOT_SENT),
        (httpx.PoolTimeout("busy"), ErrorKind.NOT_SENT),
        (httpx.ProxyError("403"), ErrorKind.NOT_SENT),
        (httpx.ReadTimeout("slow"), ErrorKind.UNKNOWN_OUTCOME),
        (httpx.ReadError("reset"), ErrorKind.UNKNOWN_OUTCOME),
        (httpx.WriteError("reset"), ErrorKind.UNKNOWN_OUTCOME),
        (httpx.WriteTimeout("slow"), ErrorKind.UNKNOWN_OUTCOME),
        (httpx.RemoteProtocolError("closed"), ErrorKind.UNKNOWN_OUTCOME),
        (httpx.LocalProtocolError("odd"), ErrorKind.UNKNOWN_OUTCOME),
        (httpx.DecodingError("gzip"), ErrorKind.UNKNOWN_OUTCOME),
        (RuntimeError("the client was closed"), ErrorKind.UNKNOWN_OUTCOME),
        (UserWarning("a warning turned into an error"), ErrorKind.UNKNOWN_OUTCOME),
    ],
)
def test_a_failing_connection(
    server: Stripe, adapter: StripeAdapter, failure: Exception, kind: ErrorKind
) -> None:
    server.will(failure, failure, failure)
    assert error_of(lambda: adapter.refund(REQUEST)).kind is kind
    assert error_of(lambda: adapter.payment(INTENT)).kind is kind
    assert error_of(lambda: adapter.find(REQUEST)).kind is kind


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(1)])
def test_being_stopped_is_not_an_answer(
    server: Stripe, adapter: StripeAdapter, stop: BaseException
) -> None:
    server.will(stop)
    with pytest.raises(type(stop)):
        adapter.refund(REQUEST)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b""),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b"\xff\xfe"),
        httpx.Response(200, content=b'{"id": "re_1", "ob'),
        httpx.Response(200, json=[]),
        httpx.Response(200, json="re_1"),
        httpx.Response(200, json={}),
        httpx.Response(200, json=REFUND | {"status": "new_status"}),
        httpx.Response(200, json=REFUND | {"amount": "14900"}),
        httpx.Response(200, json=REFUND | {"object": "charge"}),
        httpx.Response(400, content=b"<html>"),
        httpx.Response(404, content=b"not found"),
        httpx.Response(400, json={"error": None}),
        httpx.Response(400, json={"error": "invalid_client"}),
        httpx.Response(400, json=["error"]),
        httpx.Response(502, content=b"bad gateway"),
    ],
)
def test_an_answer_that_cannot_be_relied_on(
    server: Stripe, adapter: StripeAdapter, answer: httpx.Response
) -> None:
    server.will(answer)
    assert error_of(lambda: adapter.refund(REQUEST)).kind is ErrorKind.UNKNOWN_OUTCOME


def test_an_odd_answer_still_names_its_request(server: Stripe, adapter: StripeAdapter) -> None:
    server.will({"id": "re_1"})
    assert error_of(lambda: adapter.refund(REQUEST)).request_id == "req_1"


@pytest.mark.parametrize(
    "answer", [{}, PAID_INTENT | {"latest_charge": "ch_1"}, CHARGE, {"object": "payment_intent"}]
)
def test_a_payment_that_cannot_be_read_is_an_unknown_outcome(
    server: Stripe, adapter: StripeAdapter, answer: dict[str, Any]
) -> None:
    server.will(answer)
    assert error_of(lambda: adapter.payment(INTENT)).kind is ErrorKind.UNKNOWN_OUTCOME


def test_a_rejection_keeps_stripes_code_and_request(server: Stripe, adapter: StripeAdapter) -> None:
    body = {"error": {"type": "invalid_request_error", "code": "charge_disputed"}}
    server.will(httpx.Response(400, json=body, headers={"Request-Id": "req_9"}))
    error = error_of(lambda: adapter.refund(REQUEST))
    assert (error.kind, error.code) == (ErrorKind.DISPUTED, "charge_disputed")
    assert error.request_id == "req_9"


def test_a_rate_limit_tells_how_long_to_wait(server: Stripe, adapter: StripeAdapter) -> None:
    body = {"error": {"type": "invalid_request_error", "code": "rate_limit"}}
    server.will(httpx.Response(429, json=body, headers={"Retry-After": "3"}))
    error = error_of(lambda: adapter.refund(REQUEST))
    assert (error.kind, error.retry_after) == (ErrorKind.RATE_LIMITED, 3.0)


def test_a_notice_of_stripes_is_no_failure(server: Stripe, adapter: StripeAdapter) -> None:
    # The SDK's typed services turn this header into a warning: an error in a strict program.
    server.will(httpx.Response(200, json=REFUND, headers={"Stripe-Notification": "Please upgrade"}))
    assert adapter.refund(REQUEST).processor_id == "re_1"


# What find makes of a list.


def test_find_reads_all_pages(server: Stripe, adapter: StripeAdapter) -> None:
    foreign = [REFUND | {"id": f"re_{n}", "metadata": {}} for n in (3, 2)]
    server.will(a_list(*foreign, more=True), a_list(REFUND))
    found = adapter.find(REQUEST)
    assert found is not None
    assert found.processor_id == "re_1"
    assert [dict(request.url.params) for request in server.requests] == [
        {"payment_intent": "pi_1", "limit": "100"},
        {"payment_intent": "pi_1", "limit": "100", "starting_after": "re_2"},
    ]


def test_a_refund_that_cannot_be_read_hides_no_other(
    server: Stripe, adapter: StripeAdapter
) -> None:
    good = REFUND | {"created": 1, "payment_intent": "pi_1"}
    bad = good | {"id": "re_2", "amount": None}
    server.will(*[a_list(bad, cast("Any", 7), more=True), a_list(good)] * 2)
    for listed in (adapter.refunds_between(None, None), adapter.refunds_of(INTENT)):
        found, none, known = listed
        assert found == UnreadableRefund("re_2", "its amount cannot be read")
        assert none == UnreadableRefund(None, "it is not an object")
        assert isinstance(known, KnownRefund)
    assert server.requests[1].url.params["starting_after"] == "re_2"


def test_pages_that_repeat_are_not_read_for_ever(server: Stripe, adapter: StripeAdapter) -> None:
    server.will(*[a_list(REFUND, more=True)] * 9)
    assert error_of(lambda: adapter.find(REQUEST)).kind is ErrorKind.UNKNOWN_OUTCOME
    assert len(server.requests) == 2


@pytest.mark.parametrize("page", [{}, {"data": [], "has_more": True}, {"data": None}])
def test_a_page_that_makes_no_sense(
    server: Stripe, adapter: StripeAdapter, page: dict[str, Any]
) -> None:
    server.will(page)
    assert error_of(lambda: adapter.find(REQUEST)).kind is ErrorKind.UNKNOWN_OUTCOME


def test_somebody_elses_refund_is_not_found_as_ours(server: Stripe, adapter: StripeAdapter) -> None:
    server.will(a_list(REFUND | {"id": "re_9", "metadata": {}}))
    assert adapter.find(REQUEST) is None


@pytest.mark.parametrize(("more", "found"), [(False, INTENT), (True, None)])
def test_a_search_with_more_pages_has_not_found_the_only_payment(
    server: Stripe, adapter: StripeAdapter, more: bool, found: PaymentRef | None
) -> None:
    server.will(a_list(PAID_INTENT, PAID_INTENT | {"status": "canceled"}, more=more))
    assert adapter.find_payment("1234") == found


# Secrets.


def test_nothing_that_can_be_printed_holds_the_key(server: Stripe, adapter: StripeAdapter) -> None:
    body = {"error": {"type": "invalid_request_error", "message": "Invalid API Key: sk_***4242"}}
    server.will(httpx.Response(401, json=body), httpx.ReadError(f"Bearer {KEY}"))
    for _ in range(2):
        error = error_of(lambda: adapter.refund(REQUEST))
        shown = "".join(traceback.format_exception(error))
        assert "4242" not in shown
        assert "4242" not in repr(error)
    assert repr(adapter) == "StripeAdapter(mode='test', base_url=None)"


# The adapter itself.


def test_telemetry_is_off_and_leaves_no_file(
    server: Stripe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(stripe, "enable_telemetry", True)
    adapter = StripeAdapter(KEY, http_client=server.client)
    server.will(REFUND, REFUND)
    adapter.refund(REQUEST)
    adapter.refund(REQUEST)
    assert not any(tmp_path.iterdir())
    for request in server.requests:
        assert "x-stripe-client-telemetry" not in request.headers
        assert "telemetry_id" not in request.headers["x-stripe-client-user-agent"]


def test_a_borrowed_http_client_stays_open(server: Stripe, adapter: StripeAdapter) -> None:
    adapter.close()
    server.will(REFUND)
    assert adapter.refund(REQUEST).processor_id == "re_1"


class OneConnection(BaseHTTPRequestHandler):
    """Answers with `REFUND`; keeps where each request went, and that its client hung up."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.seen.append(self.path)
        body = json.dumps(REFUND).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def finish(self) -> None:
        super().finish()
        self.seen.append("closed")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.mark.parametrize("way", ["directly", "through a proxy of the environment"])
def test_our_own_connections_are_kept_and_closed_at_the_end(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    OneConnection.seen.clear()
    with HTTPServer(("127.0.0.1", 0), OneConnection) as listening:
        url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.handle_request)
        thread.start()
        if way != "directly":
            monkeypatch.setenv("HTTP_PROXY", url)
            url = "http://stripe.invalid"
        own = StripeAdapter(KEY, base_url=url)
        assert own.refund(REQUEST).processor_id == "re_1"
        assert own.refund(REQUEST).processor_id == "re_1"
        own.close()
        thread.join(10)
    where = "/v1/refunds" if way == "directly" else "http://stripe.invalid/v1/refunds"
    assert OneConnection.seen == [where, where, "closed"]


@pytest.mark.parametrize("base_url", ["http://localhost:12111", "http://localhost:12111/"])
def test_another_server_can_be_named(server: Stripe, base_url: str) -> None:
    adapter = StripeAdapter(KEY, base_url=base_url, http_client=server.client)
    server.will(REFUND)
    adapter.refund(REQUEST)
    assert str(server.requests[0].url) == "http://localhost:12111/v1/refunds"


@pytest.mark.parametrize(
    ("argument", "changes"),
    [
        ("api_key", {"api_key": ""}),
        ("api_key", {"api_key": "sk_test_1\n"}),
        ("api_key", {"api_key": "sk test"}),
        ("api_key", {"api_key": "pk_test_1"}),
        ("base_url", {"base_url": "localhost:12111"}),
        ("base_url", {"base_url": "ftp://localhost"}),
        ("base_url", {"base_url": "http://localhost/v1"}),
        ("base_url", {"base_url": "http://localhost/?x=1"}),
        ("base_url", {"base_url": "http://user:pass@localhost"}),
        ("base_url", {"base_url": "http://proxy.example", "api_key": "sk_live_1"}),
        ("timeout", {"timeout": 0}),
        ("timeout", {"timeout": -1}),
        ("timeout", {"timeout": float("nan")}),
    ],
)
def test_a_bad_argument_is_named_at_once(argument: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        StripeAdapter(**{"api_key": KEY, **changes})
    assert caught.value.argument == argument
    assert KEY not in str(caught.value)


def test_a_live_key_goes_over_https() -> None:
    adapter = StripeAdapter("sk_live_1", base_url="https://proxy.example")
    assert repr(adapter) == "StripeAdapter(mode='live', base_url='https://proxy.example')"
    adapter.close()


def test_it_is_built_from_settings() -> None:
    options = {
        "api_key": "rk_1",
        "base_url": "http://localhost:1",
        "timeout": "5",
        "webhook_secret": "whsec_1, whsec_2,",
    }
    adapter = cast("StripeAdapter", build_adapter("stripe", options))
    assert repr(adapter) == "StripeAdapter(mode='unknown', base_url='http://localhost:1')"
    assert adapter._secrets == ["whsec_1", "whsec_2"]
    adapter.close()


def test_other_variables_that_begin_with_stripe_are_not_its_business() -> None:
    options = {"api_key": KEY, "base_url": "", "publishable_key": "pk_1", "log": "info"}
    build_adapter("stripe", options).close()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "STRIPE_API_KEY: is not set"),
        ({"api_key": ""}, "STRIPE_API_KEY: is not set"),
        ({"api_key": KEY, "timeout": "soon"}, "STRIPE_TIMEOUT: "),
        ({"api_key": KEY, "timeout": "0"}, "STRIPE_TIMEOUT: "),
    ],
)
def test_settings_that_are_wrong_are_named(options: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        build_adapter("stripe", options)
    assert KEY not in str(caught.value)


def test_without_the_sdk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "dispatch_returns.refunds.adapters.stripe.wire")
    monkeypatch.setitem(sys.modules, "stripe", None)
    with pytest.raises(MissingExtraError, match=r'pip install "dispatch-returns\[stripe\]"'):
        StripeAdapter(KEY)


def test_an_sdk_that_is_broken_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "dispatch_returns.refunds.adapters.stripe.wire")
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        StripeAdapter(KEY)
    assert not isinstance(caught.value, MissingExtraError)


def test_the_sdk_is_not_imported_before_it_is_used() -> None:
    program = (
        "import sys; from dispatch_returns.refunds.adapters.stripe import StripeAdapter;"
        "assert 'stripe' not in sys.modules and 'httpx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(
    ("statuses", "stands"),
    [
        (["won"], False),
        (["warning_closed"], False),
        (["won", "warning_closed"], False),
        (["won", "needs_response"], True),
        (["warning_under_review"], True),
        (["lost"], True),
        ([], True),
    ],
)
def test_a_dispute_that_was_won_or_an_inquiry_that_was_closed_stands_in_nobodys_way(
    server: Stripe, adapter: StripeAdapter, statuses: list[str], stands: bool
) -> None:
    charge = CHARGE | {"disputed": True}
    server.will(
        PAID_INTENT | {"latest_charge": charge}, a_list(*({"status": it} for it in statuses))
    )
    assert adapter.payment(INTENT).disputed is stands


def test_a_key_that_may_not_read_disputes_leaves_the_payment_disputed(
    server: Stripe, adapter: StripeAdapter
) -> None:
    charge = CHARGE | {"disputed": True}
    refused = httpx.Response(403, json={"error": {"type": "invalid_request_error"}})
    server.will(PAID_INTENT | {"latest_charge": charge}, refused)
    assert adapter.payment(INTENT).disputed


def test_a_check_says_that_the_key_may_not_read_disputes(
    server: Stripe, adapter: StripeAdapter
) -> None:
    refused = httpx.Response(403, json={"error": {"type": "invalid_request_error"}})
    server.will(a_list(), refused)
    assert "may not read disputes" in adapter.check()
