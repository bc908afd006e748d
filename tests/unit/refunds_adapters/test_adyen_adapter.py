"""What `AdyenAdapter` sends, and what it makes of Adyen's answers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dispatch_returns.errors import (
    AdapterError,
    ConfigurationError,
    ErrorKind,
    InvalidArgumentError,
    MoneyError,
    UnsupportedFeatureError,
)
from dispatch_returns.money import Money, stripe_rule
from dispatch_returns.refunds.adapter import PaymentRef, RefundRequest, RefundStatus
from dispatch_returns.refunds.adapters.adyen import AdyenAdapter
from dispatch_returns.refunds.adapters.adyen.objects import LONGEST_REFERENCE, adyen_rule
from dispatch_returns.refunds.adapters.references import ours_in, reference_of
from dispatch_returns.refunds.details import RefundDetails, RefundLine, RefundReason
from dispatch_returns.refunds.registry import build_adapter
from dispatch_sandbox.adyen import API_KEY, HMAC_KEY, MERCHANT_ACCOUNT
from tests.support.adyen_sandbox import DescribedAdyen, adapter_at, serving_adyen

KEY = f"rfd_{'0' * 32}-g1"
REQUEST = RefundRequest(
    refund_id=f"rfd_{'0' * 32}",
    idempotency_key=KEY,
    payment=PaymentRef("reference", "QFQTPCQ8HXSKGK82"),
    amount=Money(4900, "EUR"),
    workspace_id="ws_1",
    ticket_id="tkt_1",
)
KINDS = {
    "010": ErrorKind.AUTH,
    "113": ErrorKind.NOT_REFUNDABLE,
    "115": ErrorKind.NOT_REFUNDABLE,
    "137": ErrorKind.CONFIG,
    "138": ErrorKind.CONFIG,
    "167": ErrorKind.NOT_FOUND,
    "704": ErrorKind.IN_PROGRESS,
    "901": ErrorKind.AUTH,
    "905": ErrorKind.NOT_REFUNDABLE,
    "906": ErrorKind.NOT_FOUND,
    "29_001": ErrorKind.CONFIG,
}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[DescribedAdyen, str]]:
    with serving_adyen() as found:
        yield found


@pytest.fixture
def adyen(served: tuple[DescribedAdyen, str]) -> DescribedAdyen:
    served[0].faults.clear()
    served[0].log.clear()
    return served[0]


@pytest.fixture
def adapter(served: tuple[DescribedAdyen, str]) -> Iterator[AdyenAdapter]:
    adapter = adapter_at(served[1])
    yield adapter
    adapter.close()


def of(payment: str, **changes: Any) -> RefundRequest:
    """A request with a key of its own."""
    refund_id = f"rfd_{payment.encode().hex()}"
    given: dict[str, Any] = {"refund_id": refund_id, "idempotency_key": f"{refund_id}-g1"}
    return replace(REQUEST, payment=PaymentRef("reference", payment), **(given | changes))


def error_of(adapter: AdyenAdapter, request: RefundRequest) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        adapter.refund(request)
    return caught.value


# What is sent.


def test_a_refund_carries_our_key_and_whose_it_is(
    adyen: DescribedAdyen, adapter: AdyenAdapter
) -> None:
    request = of(adyen.pay("149.00"), details=RefundDetails(RefundReason.RETURN))
    made = adapter.refund(request)
    assert (made.status, made.ours) == (RefundStatus.PENDING, True)
    (sent,) = adyen.log
    assert sent.headers["idempotency-key"] == request.idempotency_key
    assert json.loads(sent.body) == {
        "merchantAccount": MERCHANT_ACCOUNT,
        "amount": {"value": 4900, "currency": "EUR"},
        "reference": f"{request.idempotency_key}.ws_1.tkt_1",
        "merchantRefundReason": "RETURN",
    }


def test_the_reference_says_whose_it_is_where_that_fits_into_80_characters() -> None:
    whole = ours_in(reference_of(REQUEST, LONGEST_REFERENCE))
    assert whole is not None
    assert (whole.refund_id, whole.idempotency_key) == (REQUEST.refund_id, KEY)
    assert (whole.workspace_id, whole.ticket_id) == ("ws_1", "tkt_1")
    long = reference_of(replace(REQUEST, ticket_id="t" * 40), LONGEST_REFERENCE)
    assert long == KEY
    assert reference_of(replace(REQUEST, ticket_id="a:b"), LONGEST_REFERENCE) == KEY, (
        "the signature escapes nothing"
    )
    short = ours_in(long)
    assert short is not None
    assert (short.refund_id, short.ticket_id) == (REQUEST.refund_id, None)
    assert ours_in("order-1") is None


LINES = (RefundLine("SKU-1", 2, "A shirt", Money(4000, "EUR")), RefundLine("SKU-2", 1))
SHIRTS = RefundDetails(lines=LINES[:1], shipping=Money(900, "EUR"))


def sent_lines(adyen: DescribedAdyen) -> Any:
    return json.loads(adyen.log[-1].body).get("lineItems")


def test_lines_that_add_up_to_the_refund_are_sent_by_the_piece(
    adyen: DescribedAdyen, adapter: AdyenAdapter
) -> None:
    adapter.refund(of(adyen.pay("149.00", method="klarna"), details=SHIRTS))
    shirt, shipping = sent_lines(adyen)
    assert (shirt["sku"], shirt["quantity"], shirt["amountIncludingTax"]) == ("SKU-1", 2, 2000)
    assert (shipping["id"], shipping["amountIncludingTax"]) == ("shipping", 900)


def test_a_line_that_does_not_divide_is_sent_as_one_piece(
    adyen: DescribedAdyen, adapter: AdyenAdapter
) -> None:
    lines = (RefundLine("SKU-1", 3, "A shirt", Money(4900, "EUR")),)
    adapter.refund(of(adyen.pay("149.00"), details=RefundDetails(lines=lines)))
    (line,) = sent_lines(adyen)
    assert (line["quantity"], line["amountIncludingTax"]) == (1, 4900)
    assert line["description"] == "3 x A shirt"


@pytest.mark.parametrize(
    "details",
    [RefundDetails(lines=LINES), replace(SHIRTS, shipping=Money(901, "EUR"))],
    ids=["one amount is not known", "the sum is another"],
)
def test_lines_that_do_not_add_up_are_left_out_and_a_method_that_needs_them_refuses(
    adyen: DescribedAdyen, adapter: AdyenAdapter, details: RefundDetails
) -> None:
    adapter.refund(of(adyen.pay("149.00"), details=details))
    assert sent_lines(adyen) is None
    error = error_of(adapter, of(adyen.pay("149.00", method="klarna"), details=details))
    assert error.kind is ErrorKind.NOT_REFUNDABLE
    assert "Customer Area" in error.message


# Amounts.


def test_adyen_counts_these_currencies_otherwise_than_stripe() -> None:
    differ = {code: adyen_rule(code).decimals for code in ("CLP", "CVE", "IDR")}
    assert differ == {"CLP": 2, "CVE": 0, "IDR": 0}
    assert {code: stripe_rule(code).decimals for code in differ} == {"CLP": 0, "CVE": 2, "IDR": 2}
    assert [adyen_rule(it).decimals for it in ("EUR", "ISK", "JPY", "UGX", "KWD", "LYD")] == [
        *(2, 2, 0, 0),
        *(3, 3),
    ]
    with pytest.raises(MoneyError):
        adyen_rule("EURO")


def test_rupiahs_are_sent_as_rupiahs(adyen: DescribedAdyen, adapter: AdyenAdapter) -> None:
    payment = adyen.pay("150000", "IDR")
    adapter.refund(of(payment, amount=Money(150_000, "IDR", 0)))
    assert adyen.refunded(payment) == 150_000


def test_an_amount_counted_by_another_table_is_never_sent(
    adyen: DescribedAdyen, adapter: AdyenAdapter
) -> None:
    payment = adyen.pay("150000", "IDR")
    with pytest.raises(UnsupportedFeatureError, match="0 decimals"):
        adapter.refund(of(payment, amount=Money(15_000_000, "IDR", 2)))
    assert not adyen.log


# What an answer means.


@pytest.mark.parametrize(("code", "kind"), KINDS.items())
def test_each_refusal_means_what_it_says_and_says_what_to_do(
    adyen: DescribedAdyen, adapter: AdyenAdapter, code: str, kind: ErrorKind
) -> None:
    payment = adyen.pay("149.00")
    adyen.fail("refused", payment=payment, code=code)
    error = error_of(adapter, of(payment))
    assert (error.kind, error.code) == (kind, code)
    assert error.request_id, "support finds it by this"
    assert adyen.refunded(payment) == 0


def test_after_a_stored_5xx_the_outcome_stays_unknown(
    adyen: DescribedAdyen, adapter: AdyenAdapter
) -> None:
    payment = adyen.pay("149.00")
    adyen.fail("server_error", payment=payment, acted=True)
    for _ in range(2):
        assert error_of(adapter, of(payment)).kind is ErrorKind.UNKNOWN_OUTCOME
    assert adyen.refunded(payment) == 4900, "the webhook says so, and never the answer"


def test_where_the_key_store_is_down_the_same_key_works_later(
    adyen: DescribedAdyen, adapter: AdyenAdapter
) -> None:
    payment = adyen.pay("149.00")
    adyen.fail("server_error", payment=payment, code="703")
    assert error_of(adapter, of(payment)).kind is ErrorKind.UNKNOWN_OUTCOME
    assert adapter.refund(of(payment)).status is RefundStatus.PENDING
    assert adyen.refunded(payment) == 4900


def test_a_key_in_flight_and_a_rate_limit_are_no_refusals(
    adyen: DescribedAdyen, adapter: AdyenAdapter
) -> None:
    payment = adyen.pay("149.00")
    adyen.fail("rate_limit", payment=payment, seconds=7)
    limited = error_of(adapter, of(payment))
    assert (limited.kind, limited.retry_after) == (ErrorKind.RATE_LIMITED, 7)
    adyen.fail("in_flight", payment=payment)
    assert error_of(adapter, of(payment)).kind is ErrorKind.IN_PROGRESS


def test_an_answer_about_another_refund_is_a_conflict(
    adyen: DescribedAdyen, adapter: AdyenAdapter
) -> None:
    payment = adyen.pay("149.00")
    adapter.refund(of(payment))
    assert error_of(adapter, of(payment, amount=Money(5000, "EUR"))).kind is ErrorKind.KEY_CONFLICT
    assert adyen.refunded(payment) == 4900


def test_after_seven_days_a_key_means_a_new_refund(
    adyen: DescribedAdyen, adapter: AdyenAdapter
) -> None:
    payment = adyen.pay("149.00")
    first = adapter.refund(of(payment))
    adyen.advance(6 * 24 * 3600)
    assert adapter.refund(of(payment)) == first
    adyen.advance(24 * 3600)
    assert adapter.refund(of(payment)).processor_id != first.processor_id


def test_a_wrong_key_is_an_auth_error_and_is_not_shown(
    adyen: DescribedAdyen, served: tuple[DescribedAdyen, str]
) -> None:
    adapter = adapter_at(served[1], "AQE-nobodys")
    for call in (lambda: adapter.refund(of(adyen.pay("149.00"))), adapter.check):
        with pytest.raises(AdapterError) as caught:
            call()
        assert caught.value.kind is ErrorKind.AUTH
        assert "ADYEN_API_KEY" in str(caught.value)
        assert "nobodys" not in str(caught.value)
    adapter.close()


def test_where_nothing_listens_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    adapter = adapter_at(f"http://127.0.0.1:{port}")
    assert error_of(adapter, REQUEST).kind is ErrorKind.NOT_SENT
    adapter.close()


# What it is made of.


def test_doctor_asks_with_a_call_that_changes_nothing(adapter: AdyenAdapter) -> None:
    assert "lets the key in" in adapter.check()
    assert (adapter.mode, adapter.account()) == ("sandbox", MERCHANT_ACCOUNT)


def test_a_payment_is_a_psp_reference_of_which_nothing_else_is_known(
    adapter: AdyenAdapter,
) -> None:
    payment = adapter.payment(REQUEST.payment)
    assert (payment.currency, payment.charged, payment.refunded) == (None, None, None)
    assert adapter.recognizes("QFQTPCQ8HXSKGK82")
    assert not adapter.recognizes("pi_1")
    with pytest.raises(AdapterError):
        adapter.payment(PaymentRef("reference", "../paymentMethods"))
    with pytest.raises(UnsupportedFeatureError):
        adapter.payment(PaymentRef("payment_intent", "pi_1"))


def test_the_live_server_has_the_merchants_own_prefix() -> None:
    live = AdyenAdapter(API_KEY, MERCHANT_ACCOUNT, [HMAC_KEY], live_prefix="1797a841fbb37ca7-Acme")
    assert live.mode == "live"
    assert "https://1797a841fbb37ca7-Acme-checkout-live.adyenpayments.com" in repr(live)
    live.close()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"hmac_key": ""}, "ADYEN_HMAC_KEY: is not set"),
        ({"hmac_key": "not hex"}, "ADYEN_HMAC_KEY: not hexadecimal"),
        ({"merchant_account": "a/b"}, "ADYEN_MERCHANT_ACCOUNT"),
        ({"live_prefix": "https://x"}, "ADYEN_LIVE_PREFIX"),
        ({"currency": "euro"}, "ADYEN_CURRENCY"),
        ({"base_url": "http://example.com"}, "ADYEN_BASE_URL"),
    ],
)
def test_a_wrong_option_is_named_and_never_shown(changed: dict[str, str], said: str) -> None:
    options = {"api_key": API_KEY, "merchant_account": MERCHANT_ACCOUNT, "hmac_key": HMAC_KEY}
    with pytest.raises(ConfigurationError, match=said) as caught:
        build_adapter("adyen", options | changed)
    assert API_KEY not in str(caught.value)
    assert HMAC_KEY not in str(caught.value)


def test_no_webhook_key_is_no_adapter() -> None:
    with pytest.raises(InvalidArgumentError, match="hmac_keys"):
        AdyenAdapter(API_KEY, MERCHANT_ACCOUNT, [])
