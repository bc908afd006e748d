"""What `PayPalAdapter` makes of PayPal's answers, and of ones that are not PayPal's."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from dispatch_returns.errors import (
    AdapterError,
    ConfigurationError,
    ErrorKind,
    InvalidArgumentError,
    MissingExtraError,
    UnsupportedFeatureError,
)
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef, RefundRequest, RefundStatus
from dispatch_returns.refunds.adapters.paypal import PayPalAdapter
from dispatch_returns.refunds.adapters.paypal.objects import paypal_rule
from dispatch_returns.refunds.adapters.paypal.rejections import BY_ISSUE
from dispatch_returns.refunds.registry import build_adapter
from dispatch_sandbox.paypal import CLIENT_ID, CLIENT_SECRET
from tests.support.described import Description
from tests.support.paypal_sandbox import DescribedPayPal, serving_paypal

REQUEST = RefundRequest(
    refund_id=f"rfd_{'0' * 32}",
    idempotency_key=f"rfd_{'0' * 32}-g1",
    payment=PaymentRef("reference", "CAPTURE1"),
    amount=Money(4900, "USD"),
    workspace_id="ws_1",
    ticket_id="tkt_1",
)
KINDS = {
    "CAPTURE_FULLY_REFUNDED": ErrorKind.ALREADY_REFUNDED,
    "REFUND_AMOUNT_EXCEEDED": ErrorKind.EXCEEDS_REMAINING,
    "PENDING_CAPTURE": ErrorKind.NOT_SETTLED,
    "TRANSACTION_DISPUTED": ErrorKind.DISPUTED,
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": ErrorKind.DISPUTED,
    "REFUND_TIME_LIMIT_EXCEEDED": ErrorKind.NOT_REFUNDABLE,
    "REFUND_NOT_ALLOWED": ErrorKind.NOT_REFUNDABLE,
    "REFUND_IS_RESTRICTED": ErrorKind.NOT_REFUNDABLE,
    "PARTIAL_REFUND_NOT_ALLOWED": ErrorKind.NOT_REFUNDABLE,
    "MAX_NUMBER_OF_REFUNDS_EXCEEDED": ErrorKind.NOT_REFUNDABLE,
    "REFUND_AMOUNT_TOO_LOW": ErrorKind.NOT_REFUNDABLE,
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED": ErrorKind.NOT_REFUNDABLE,
    "PAYEE_ACCOUNT_LOCKED_OR_CLOSED": ErrorKind.NOT_REFUNDABLE,
    "PAYEE_ACCOUNT_RESTRICTED": ErrorKind.NOT_REFUNDABLE,
    "REFUND_FAILED_INSUFFICIENT_FUNDS": ErrorKind.INSUFFICIENT_BALANCE,
    "REFUND_CAPTURE_CURRENCY_MISMATCH": ErrorKind.CONFIG,
    "CURRENCY_MISMATCH": ErrorKind.CONFIG,
    "DECIMAL_PRECISION": ErrorKind.CONFIG,
    "DECIMALS_NOT_SUPPORTED": ErrorKind.CONFIG,
    "CANNOT_BE_ZERO_OR_NEGATIVE": ErrorKind.CONFIG,
    "CANNOT_BE_NEGATIVE": ErrorKind.CONFIG,
    "INVALID_CURRENCY_CODE": ErrorKind.CONFIG,
    "DUPLICATE_INVOICE_ID": ErrorKind.CONFIG,
    "PLATFORM_FEE_EXCEEDED": ErrorKind.CONFIG,
    "PLATFORM_FEE_NOT_ENABLED": ErrorKind.CONFIG,
}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[DescribedPayPal, str]]:
    with serving_paypal() as found:
        yield found


@pytest.fixture
def paypal(served: tuple[DescribedPayPal, str]) -> DescribedPayPal:
    served[0].faults.clear()
    return served[0]


@pytest.fixture
def adapter(served: tuple[DescribedPayPal, str]) -> Iterator[PayPalAdapter]:
    adapter = PayPalAdapter(CLIENT_ID, CLIENT_SECRET, base_url=served[1])
    yield adapter
    adapter.close()


def of(capture: str, minor: int = 4900, **changes: object) -> RefundRequest:
    ref = PaymentRef("reference", capture)
    key = {"refund_id": f"rfd_{capture.lower():0>32}"[:36], "idempotency_key": f"{capture}-g1"}
    return replace(REQUEST, payment=ref, amount=Money(minor, "USD"), **{**key, **changes})  # type: ignore[arg-type]


def kind_of(adapter: PayPalAdapter, request: RefundRequest) -> ErrorKind:
    with pytest.raises(AdapterError) as caught:
        adapter.refund(request)
    return caught.value.kind


def test_every_issue_that_paypal_describes_has_a_kind() -> None:
    described = json.dumps(Description("paypal-payments-v2").schema("captures.refund-422"))
    issues = {issue for issue in KINDS if f'"{issue}"' in described}
    assert set(KINDS) == issues, "the description has no such issue"
    assert described.count('"issue"') == len(issues), "an issue is new: say what it means"


@pytest.mark.parametrize(("issue", "kind"), KINDS.items())
def test_each_refusal_means_what_it_says_and_says_what_to_do(
    paypal: DescribedPayPal, adapter: PayPalAdapter, issue: str, kind: ErrorKind
) -> None:
    capture = paypal.pay("149.00")
    paypal.fail("refused", payment=capture, code=issue)
    with pytest.raises(AdapterError, match=issue) as caught:
        adapter.refund(of(capture))
    assert (caught.value.kind, caught.value.code) == (kind, issue)
    assert caught.value.request_id, "support finds it by this"
    assert paypal.refunded(capture) == 0
    assert kind is ErrorKind.CONFIG or issue in BY_ISSUE


def test_after_a_5xx_the_same_key_is_the_look_up(
    paypal: DescribedPayPal, adapter: PayPalAdapter
) -> None:
    capture = paypal.pay("149.00")
    paypal.fail("server_error", payment=capture, acted=True)
    request = of(capture)
    assert kind_of(adapter, request) is ErrorKind.UNKNOWN_OUTCOME
    assert adapter.refund(request).status is RefundStatus.SUCCEEDED
    assert paypal.refunded(capture) == 4900


def test_a_key_in_flight_and_a_rate_limit_are_no_refusals(
    paypal: DescribedPayPal, adapter: PayPalAdapter
) -> None:
    capture = paypal.pay("149.00")
    paypal.fail("in_flight", payment=capture)
    paypal.fail("rate_limit", payment=capture, seconds=7)
    with pytest.raises(AdapterError) as limited:
        adapter.refund(of(capture))
    assert (limited.value.kind, limited.value.retry_after) == (ErrorKind.RATE_LIMITED, 7)
    assert kind_of(adapter, of(capture)) is ErrorKind.IN_PROGRESS


def test_a_repeat_says_how_the_refund_stands_now(
    paypal: DescribedPayPal, adapter: PayPalAdapter
) -> None:
    capture = paypal.pay("149.00")
    paypal.fail("fail_later", payment=capture, seconds=3600)
    request = of(capture)
    made = adapter.refund(request)
    assert made.status is RefundStatus.PENDING
    paypal.advance(3600)
    again = adapter.refund(request)
    assert (again.processor_id, again.status) == (made.processor_id, RefundStatus.FAILED)
    assert adapter.find(request, made.processor_id) == replace(again, request_id=None)


def test_a_pending_capture_is_not_settled_yet(
    paypal: DescribedPayPal, adapter: PayPalAdapter
) -> None:
    capture = paypal.pay("149.00", status="PENDING")
    assert adapter.payment(PaymentRef("reference", capture)).remaining == Money(14900, "USD")
    assert kind_of(adapter, of(capture)) is ErrorKind.NOT_SETTLED
    paypal.complete(capture)
    assert adapter.refund(of(capture)).status is RefundStatus.SUCCEEDED


def test_what_a_part_of_a_payment_was_refunded_is_not_told(
    paypal: DescribedPayPal, adapter: PayPalAdapter
) -> None:
    capture = paypal.pay("149.00")
    adapter.refund(of(capture))
    assert adapter.payment(PaymentRef("reference", capture)).refunded is None
    adapter.refund(of(capture, 10000, idempotency_key="second-g1"))
    assert adapter.payment(PaymentRef("reference", capture)).remaining == Money(0, "USD")


def test_amounts_are_written_as_paypal_writes_them(
    paypal: DescribedPayPal, adapter: PayPalAdapter
) -> None:
    assert [paypal_rule(it).decimals for it in ("HUF", "TWD", "JPY", "ISK")] == [0, 0, 0, 2]
    capture = paypal.pay("1500", "HUF")
    amount = Money(500, "HUF", 0)
    adapter.refund(replace(of(capture), amount=amount))
    body = json.loads(paypal.log[-1].body)
    assert body["amount"] == {"value": "500", "currency_code": "HUF"}
    assert paypal.refunded(capture) == 500


def test_our_ids_go_along_where_there_is_room(
    paypal: DescribedPayPal, adapter: PayPalAdapter
) -> None:
    capture = paypal.pay("149.00")
    adapter.refund(replace(of(capture), idempotency_key=REQUEST.idempotency_key))
    assert json.loads(paypal.log[-1].body)["custom_id"] == f"{REQUEST.idempotency_key},ws_1,tkt_1"
    other = replace(of(paypal.pay("149.00")), ticket_id="t" * 200)
    adapter.refund(other)
    assert json.loads(paypal.log[-1].body)["custom_id"] == other.idempotency_key


def test_a_token_is_fetched_once_and_again_when_it_is_worthless(
    paypal: DescribedPayPal, adapter: PayPalAdapter
) -> None:
    capture = PaymentRef("reference", paypal.pay("149.00"))
    before = tokens(paypal)
    adapter.payment(capture)
    adapter.payment(capture)
    assert tokens(paypal) == before + 1
    paypal.revoke_tokens()
    with pytest.raises(AdapterError) as caught:
        adapter.payment(capture)
    assert caught.value.kind is ErrorKind.AUTH, "nothing is retried here: the service does"
    adapter.payment(capture)
    assert tokens(paypal) == before + 2


def tokens(paypal: DescribedPayPal) -> int:
    return sum(it.path == "/v1/oauth2/token" for it in paypal.log)


def test_a_token_is_not_used_to_its_last_moment(served: tuple[DescribedPayPal, str]) -> None:
    now = [datetime.now(UTC)]
    adapter = PayPalAdapter(CLIENT_ID, CLIENT_SECRET, base_url=served[1], clock=lambda: now[0])
    before = tokens(served[0])
    adapter.check()
    now[0] += timedelta(hours=8)
    adapter.check()
    assert tokens(served[0]) == before + 1
    now[0] += timedelta(hours=1)
    adapter.check()
    assert tokens(served[0]) == before + 2
    adapter.close()


def answering(status: int, **content: object) -> PayPalAdapter:
    """An adapter whose every call is answered so, but for the token's."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            return httpx.Response(200, json={"access_token": "t", "expires_in": 32400})
        return httpx.Response(status, **content)  # type: ignore[arg-type]

    client = httpx.Client(transport=httpx.MockTransport(answer))
    return PayPalAdapter(CLIENT_ID, CLIENT_SECRET, http_client=client)


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (201, {"json": {"id": "R1"}}),
        (201, {"json": {"id": "R1", "status": "COMPLETED"}}),
        (201, {"content": b"not json"}),
        (201, {"json": ["a list"]}),
        (422, {"content": b"<html>a proxy's page</html>"}),
        (404, {"content": b""}),
        (500, {"json": {"name": "INTERNAL_SERVER_ERROR"}}),
        (503, {"content": b""}),
        (302, {"headers": {"location": "https://example.com"}}),
    ],
)
def test_an_answer_that_is_not_paypals_is_an_unknown_outcome(
    status: int, content: dict[str, object]
) -> None:
    adapter = answering(status, **content)
    assert kind_of(adapter, REQUEST) is ErrorKind.UNKNOWN_OUTCOME


def test_no_message_repeats_what_paypal_wrote() -> None:
    details = [{"issue": "jane@example.com owes", "description": "jane@example.com"}]
    adapter = answering(
        422, json={"name": "X Y", "message": "jane@example.com", "details": details}
    )
    with pytest.raises(AdapterError) as caught:
        adapter.refund(REQUEST)
    assert "jane" not in f"{caught.value!r} {caught.value.message} {caught.value.code}"


def test_without_a_token_nothing_was_sent() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(503)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    adapter = PayPalAdapter(CLIENT_ID, CLIENT_SECRET, http_client=client)
    assert kind_of(adapter, REQUEST) is ErrorKind.NOT_SENT


@pytest.mark.parametrize(
    "request_",
    [
        replace(REQUEST, payment=PaymentRef("payment_intent", "pi_1")),
        replace(REQUEST, payment=PaymentRef("reference", "C1", reverse_transfer=True)),
        replace(REQUEST, amount=Money(0, "USD")),
        replace(REQUEST, idempotency_key="k" * 109),
        replace(REQUEST, idempotency_key="a key", ticket_id="a ticket"),
    ],
)
def test_what_paypal_cannot_express_is_never_sent(request_: RefundRequest) -> None:
    with pytest.raises(UnsupportedFeatureError):
        answering(500).refund(request_)


def test_a_partner_acts_for_the_merchants_account(
    paypal: DescribedPayPal, adapter: PayPalAdapter
) -> None:
    capture = paypal.pay("149.00")
    adapter.payment(PaymentRef("reference", capture, account="MERCHANT1"))
    header = paypal.log[-1].headers["paypal-auth-assertion"]
    assert header.count(".") == 2
    assert header.endswith("."), "it is not signed"


def test_the_key_in_a_path_is_an_id_and_nothing_else(adapter: PayPalAdapter) -> None:
    with pytest.raises(AdapterError) as caught:
        adapter.payment(PaymentRef("reference", "../../v1/oauth2/token"))
    assert caught.value.kind is ErrorKind.NOT_FOUND


def test_doctor_hears_whether_the_app_is_let_in(adapter: PayPalAdapter) -> None:
    assert adapter.check().startswith("lets the app in (sandbox mode)")
    assert "PAYPAL_WEBHOOK_ID is not set" in adapter.check()
    assert (adapter.mode, adapter.account()) == ("sandbox", "SANDBOXMERCHANT1")


def test_three_variables_are_enough() -> None:
    options = {"client_id": "c", "client_secret": "s-4242", "webhook_id": "W1"}
    adapter = build_adapter("paypal", options)
    assert isinstance(adapter, PayPalAdapter)
    assert adapter.mode == "live"
    assert "4242" not in repr(adapter)
    adapter.close()
    with pytest.raises(ConfigurationError, match="PAYPAL_CLIENT_SECRET"):
        build_adapter("paypal", {"client_id": "c"})


def test_without_cryptography_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    package = "dispatch_returns.refunds.adapters.paypal"
    monkeypatch.delitem(sys.modules, f"{package}.certificates")
    monkeypatch.delattr(f"{package}.certificates")
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtraError, match=r'pip install "dispatch-returns\[paypal\]"'):
        PayPalAdapter("c", "s")


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("client_id", {"client_id": ""}),
        ("client_secret", {"client_secret": "a b"}),
        ("webhook_id", {"webhook_id": "a b"}),
        ("base_url", {"base_url": "http://api-m.paypal.com"}),
        ("base_url", {"base_url": "https://api-m.paypal.com/v2"}),
        ("base_url", {"base_url": "ftp://x"}),
        ("timeout", {"timeout": 0}),
        ("webhook_roots", {"webhook_roots": b"x"}),
        ("webhook_roots", {"webhook_roots": b"x", "base_url": "http://localhost:1"}),
    ],
)
def test_a_wrong_argument_is_named(argument: str, values: dict[str, object]) -> None:
    given: dict[str, object] = {"client_id": "c", "client_secret": "s", **values}
    with pytest.raises(InvalidArgumentError) as caught:
        PayPalAdapter(**given)  # type: ignore[arg-type]
    assert caught.value.argument == argument
