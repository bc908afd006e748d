"""PayPal's webhooks: who signed them, with a certificate that is fetched outside the request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import (
    EventError,
    NotVerifiableYetError,
    ReplayError,
    SignatureError,
)
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef, RefundRequest, RefundStatus
from dispatch_returns.refunds.adapters.paypal import PayPalAdapter
from dispatch_returns.refunds.adapters.paypal.certificates import Certificates, read_roots
from dispatch_returns.refunds.adapters.paypal.events import read_head
from dispatch_sandbox.paypal import CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID, signing
from dispatch_sandbox.processors.base import OutgoingEvent
from tests.support.paypal_sandbox import DescribedPayPal, serving_paypal
from tests.support.waiting import wait_until

PUBLISHED = Path(__file__).parents[2] / "data" / "paypal-refunded-event.json"
REQUEST = RefundRequest(
    refund_id=f"rfd_{'a' * 32}",
    idempotency_key=f"rfd_{'a' * 32}-g1",
    payment=PaymentRef("reference", "?"),
    amount=Money(14900, "USD"),
    workspace_id="ws_1",
    ticket_id="tkt_1",
)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[DescribedPayPal, str]]:
    with serving_paypal() as (paypal, url):
        paypal.listen("http://127.0.0.1:9/webhooks/paypal")
        yield paypal, url


@pytest.fixture
def adapter(served: tuple[DescribedPayPal, str]) -> Iterator[PayPalAdapter]:
    adapter = new_adapter(served[1])
    yield adapter
    adapter.close()


def new_adapter(url: str, **changes: object) -> PayPalAdapter:
    values: dict[str, object] = {
        "webhook_id": WEBHOOK_ID,
        "base_url": url,
        "webhook_roots": signing.key_pair().roots,
        **changes,
    }
    return PayPalAdapter(CLIENT_ID, CLIENT_SECRET, **values)  # type: ignore[arg-type]


def refund_event(
    paypal: DescribedPayPal, adapter: PayPalAdapter, **fault: object
) -> WebhookRequest:
    """The event of a new refund."""
    capture = paypal.pay("149.00")
    if fault:
        paypal.fail("fail_later", payment=capture, **fault)
    paypal.outgoing()
    adapter.refund(
        replace(REQUEST, payment=PaymentRef("reference", capture), idempotency_key=key())
    )
    (event,) = paypal.outgoing()
    return posted(event)


_KEYS = iter(range(1, 10_000))


def key() -> str:
    return f"rfd_{next(_KEYS):032x}-g1"


def posted(event: OutgoingEvent, **changes: str) -> WebhookRequest:
    headers = {**event.headers, **{name.replace("_", "-"): it for name, it in changes.items()}}
    return WebhookRequest("POST", "/webhooks/paypal", headers, event.body)


def verified(adapter: PayPalAdapter, request: WebhookRequest) -> bool:
    """Whether it is verified, as often as the sender asks."""

    def try_it() -> bool:
        try:
            adapter.verify_webhook(request)
        except NotVerifiableYetError:
            return False
        return True

    wait_until(try_it)
    return True


def test_until_the_certificate_is_here_the_sender_is_asked_to_retry(
    served: tuple[DescribedPayPal, str], adapter: PayPalAdapter
) -> None:
    request = refund_event(served[0], adapter)
    asked = len(fetched(served[0]))
    with pytest.raises(NotVerifiableYetError, match="is being fetched"):
        adapter.verify_webhook(request)
    assert verified(adapter, request)
    (head,) = adapter.verify_webhook(request)
    assert (head.type, head.ticket_id) == ("PAYMENT.CAPTURE.REFUNDED", "tkt_1")
    assert head.event_id.startswith("WH-")
    assert len(fetched(served[0])) == asked + 1, "it is fetched once"


def fetched(paypal: DescribedPayPal) -> list[str]:
    return [it.path for it in paypal.log if "/certs/" in it.path]


def test_the_fetch_carries_no_credential(
    served: tuple[DescribedPayPal, str], adapter: PayPalAdapter
) -> None:
    verified(adapter, refund_event(served[0], adapter))
    asked = [it for it in served[0].log if "/certs/" in it.path]
    assert "authorization" not in asked[-1].headers


def test_an_event_says_where_the_refund_stood_and_whose_it_is(
    served: tuple[DescribedPayPal, str], adapter: PayPalAdapter
) -> None:
    paypal = served[0]
    request = refund_event(paypal, adapter, seconds=60)
    pending = adapter.parse_event(request.body)
    paypal.advance(60)
    (event,) = paypal.outgoing()
    failed = adapter.parse_event(event.body)
    assert pending is not None
    assert failed is not None
    (before,), (after,) = pending.refunds, failed.refunds
    assert (before.result.status, after.result.status) == (
        RefundStatus.PENDING,
        RefundStatus.FAILED,
    )
    assert before.refund_id == after.refund_id is not None
    assert (after.workspace_id, after.ticket_id) == ("ws_1", "tkt_1")
    assert after.payments == failed.payments


def test_paypals_own_published_event_is_read_right(adapter: PayPalAdapter) -> None:
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))["event"]
    body = json.dumps(published).encode()
    news = adapter.parse_event(body)
    assert news is not None
    (refund,) = news.refunds
    assert news.payments == (PaymentRef("reference", "0JF852973C016714D"),)
    assert (refund.result.processor_id, refund.result.amount) == (
        "1Y107995YT783435V",
        Money(99, "USD"),
    )
    assert refund.result.status is RefundStatus.SUCCEEDED
    assert refund.created_at == datetime(2018, 8, 15, 19, 13, 29, tzinfo=UTC)
    assert refund.refund_id is None
    head = read_head(body)
    assert (head.event_id, head.type) == (published["id"], "PAYMENT.CAPTURE.REFUNDED")


def test_a_refund_made_in_paypals_own_pages_is_not_ours(
    served: tuple[DescribedPayPal, str], adapter: PayPalAdapter
) -> None:
    paypal = served[0]
    capture = paypal.pay("149.00")
    paypal.outgoing()
    paypal.refund_externally(capture, "10.00")
    (event,) = paypal.outgoing()
    news = adapter.parse_event(event.body)
    assert news is not None
    assert news.payments == (PaymentRef("reference", capture),)
    assert (news.refunds[0].refund_id, news.refunds[0].result.ours) == (None, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"paypal_transmission_id": "another"},
        {"paypal_transmission_time": "2026-01-01T00:00:00Z"},
        {"paypal_transmission_sig": "AAAA"},
        {"paypal_transmission_sig": "not base64!"},
        {"paypal_transmission_sig": ""},
        {"paypal_auth_algo": "none"},
        {"paypal_transmission_time": "yesterday"},
    ],
)
def test_what_paypal_did_not_sign_is_refused(
    served: tuple[DescribedPayPal, str], adapter: PayPalAdapter, changes: dict[str, str]
) -> None:
    request = refund_event(served[0], adapter)
    verified(adapter, request)
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    with pytest.raises(SignatureError):
        adapter.verify_webhook(replace(request, headers={**request.headers, **named}))


def test_another_body_and_another_webhook_are_refused(
    served: tuple[DescribedPayPal, str], adapter: PayPalAdapter
) -> None:
    request = refund_event(served[0], adapter)
    verified(adapter, request)
    with pytest.raises(SignatureError):
        adapter.verify_webhook(replace(request, body=request.body + b" "))
    for webhook, why in (("ANOTHER1", "does not match"), ("", "PAYPAL_WEBHOOK_ID")):
        with (
            closing(new_adapter(served[1], webhook_id=webhook)) as other,
            pytest.raises(SignatureError, match=why),
        ):
            verified(other, request)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/v1/notifications/certs/CERT-1",
        "https://api-m.paypal.com.example.com/v1/notifications/certs/CERT-1",
        "https://example.com/?https://api-m.paypal.com/v1/notifications/certs/CERT-1",
        "https://api-m.paypal.com@example.com/v1/notifications/certs/CERT-1",
        "http://api-m.paypal.com/v1/notifications/certs/CERT-1",
        "https://api-m.paypal.com:8443/v1/notifications/certs/CERT-1",
        "https://api-m.paypal.com/v1/notifications/certs/../../x",
        "https://api-m.paypal.com/v1/notifications/certs/CERT-1?x",
        "https://api-m.paypal.com/other/CERT-1",
        "file:///etc/passwd",
        "https://api-m.paypal.com/v1/notifications/certs/" + "C" * 1000,
    ],
)
def test_only_paypals_own_addresses_are_asked_for_a_certificate(url: str) -> None:
    def fetch(_: str) -> bytes:
        raise AssertionError("it was asked")

    found = Certificates({"https://api-m.paypal.com"}, fetch, lambda: datetime.now(UTC))
    with pytest.raises(SignatureError, match="not at an address of PayPal's"):
        found.verify(url, b"", b"")


URL = "https://api-m.paypal.com/v1/notifications/certs/CERT-1"


def problem_of(chain: bytes, roots: bytes, *, at: datetime | None = None) -> str:
    """Why a certificate is not used."""
    now = at or datetime.now(UTC)
    found = Certificates(
        {"https://api-m.paypal.com"}, lambda _: chain, lambda: now, read_roots(roots)
    )

    def asked() -> str:
        try:
            found.verify(URL, b"", b"")
        except NotVerifiableYetError as error:
            return str(error)
        except SignatureError:
            return "it is used"
        raise AssertionError("an empty signature matched")

    wait_until(lambda: "fetched" not in asked())
    return asked()


def test_a_certificate_counts_only_with_its_chain_its_name_and_in_its_time() -> None:
    ours = signing.key_pair()
    others = signing.key_pair("messageverificationcerts.paypal.com.example.com")
    sandbox = signing.key_pair("messageverificationcerts.sandbox.paypal.com")
    page = signing.key_pair("www.paypal.com")
    assert problem_of(ours.chain, ours.roots) == "it is used"
    assert problem_of(sandbox.chain, sandbox.roots) == "it is used"
    assert "VerificationError" in problem_of(ours.chain, sandbox.roots)
    assert "ValueError" in problem_of(page.chain, page.roots), "it is PayPal's, for something else"
    assert "ValueError" in problem_of(others.chain, others.roots), "it is not of PayPal's name"
    assert "ValueError" in problem_of(b"not a certificate", ours.roots)
    late = datetime.now(UTC) + timedelta(days=366)
    assert "VerificationError" in problem_of(ours.chain, ours.roots, at=late)


def test_made_up_addresses_push_no_certificate_out_and_are_asked_one_at_a_time() -> None:
    good, running, most = signing.key_pair(), [0], [0]
    asked, ahead = list[str](), [timedelta()]
    guard = threading.Lock()

    def fetch(url: str) -> bytes:
        asked.append(url)
        with guard:
            running[0] += 1
            most[0] = max(most[0], running[0])
        try:
            if url != URL:
                raise OSError("there is none")
            return good.chain
        finally:
            with guard:
                running[0] -= 1

    found = Certificates(
        {"https://api-m.paypal.com"},
        fetch,
        lambda: datetime.now(UTC) + ahead[0],
        read_roots(good.roots),
    )

    def is_used(url: str) -> bool:
        try:
            found.verify(url, b"", b"")
        except NotVerifiableYetError as error:
            return "fetched" not in str(error)
        except SignatureError:
            return True
        return False

    wait_until(lambda: is_used(URL))
    for number in range(30):
        wait_until(lambda number=number: is_used(f"{URL}{number}"))  # type: ignore[misc]
        assert not is_used(f"{URL}made-up-{number}"), "it is fetched five seconds later at the most"
        ahead[0] += timedelta(seconds=6)
    assert not [url for url in asked if "made-up" in url]
    with pytest.raises(SignatureError, match="does not match"):
        found.verify(URL, b"", b"")
    assert most == [1]


@pytest.mark.parametrize("off", [timedelta(days=5), -timedelta(minutes=6)])
def test_an_old_delivery_is_a_replay(served: tuple[DescribedPayPal, str], off: timedelta) -> None:
    shift = [timedelta()]
    moved = new_adapter(served[1], clock=lambda: datetime.now(UTC) + shift[0])
    with closing(moved) as adapter:
        request = refund_event(served[0], adapter)
        verified(adapter, request)
        shift[0] = off
        with pytest.raises(ReplayError):
            adapter.verify_webhook(request)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"not json",
        b"{}",
        json.dumps({"event_type": "PAYMENT.CAPTURE.REFUNDED", "resource": {}}).encode(),
        json.dumps({"event_type": "PAYMENT.CAPTURE.REFUNDED", "resource": "x"}).encode(),
        b"[" * 100_000,
    ],
)
def test_an_event_that_is_not_paypals_form_is_no_crash(adapter: PayPalAdapter, body: bytes) -> None:
    with pytest.raises(EventError) as caught:
        adapter.parse_event(body)
    assert caught.value.__cause__ is None


def test_an_event_about_something_else_says_nothing(adapter: PayPalAdapter) -> None:
    assert adapter.parse_event(b'{"event_type": "PAYMENT.CAPTURE.COMPLETED"}') is None
