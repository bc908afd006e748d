"""A Checkout Session or an invoice names a payment; the payment is what is refunded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_sandbox.stripe import API_KEY
from tests.support.stripe_sandbox import Sandbox


@pytest.fixture(name="adapter")
def _adapter(sandbox: Sandbox) -> Iterator[StripeAdapter]:
    adapter = StripeAdapter(API_KEY, base_url=sandbox.url)
    yield adapter
    adapter.close()


def test_a_checkout_session_is_resolved_to_its_payment(
    sandbox: Sandbox, adapter: StripeAdapter
) -> None:
    intent = sandbox.pay(10_000)
    session = sandbox.state.check_out(intent.id)
    payment = adapter.payment(PaymentRef("checkout_session", session, reverse_transfer=True))
    assert payment.ref == PaymentRef("payment_intent", intent.id, reverse_transfer=True)
    assert payment.names == {session, intent.id, intent.latest_charge}
    assert payment.remaining is not None
    assert payment.remaining.minor == 10_000
    assert sandbox.sdk.v1.checkout.sessions.retrieve(session).payment_intent == intent.id


def test_the_invoice_of_a_subscription_and_its_session_are_resolved(
    sandbox: Sandbox, adapter: StripeAdapter
) -> None:
    intent = sandbox.pay(10_000)
    invoice, session = sandbox.state.invoice(intent.id)
    for ref in (PaymentRef("invoice", invoice), PaymentRef("checkout_session", session)):
        assert adapter.payment(ref).ref == PaymentRef("payment_intent", intent.id)


def test_an_invoice_that_two_payments_have_paid_is_left_to_a_person(
    sandbox: Sandbox, adapter: StripeAdapter
) -> None:
    invoice, _ = sandbox.state.invoice(sandbox.pay(6_000).id)
    sandbox.state.pay_invoice(invoice, sandbox.pay(4_000).id)
    with pytest.raises(AdapterError, match="not paid with one PaymentIntent") as caught:
        adapter.payment(PaymentRef("invoice", invoice))
    assert caught.value.kind is ErrorKind.NOT_REFUNDABLE


@pytest.mark.parametrize(
    ("ref", "kind"),
    [
        (PaymentRef("checkout_session", "cs_test_nobodys"), ErrorKind.NOT_FOUND),
        (PaymentRef("invoice", "in_nobodys"), ErrorKind.NOT_REFUNDABLE),
    ],
)
def test_what_was_not_paid_has_no_payment(
    adapter: StripeAdapter, ref: PaymentRef, kind: ErrorKind
) -> None:
    with pytest.raises(AdapterError) as caught:
        adapter.payment(ref)
    assert caught.value.kind is kind


def test_sessions_survive_a_restart_of_the_sandbox(sandbox: Sandbox) -> None:
    session = sandbox.state.check_out(sandbox.pay().id)
    kept = sandbox.state.dump()
    sandbox.state.load(kept)
    assert sandbox.sdk.v1.checkout.sessions.retrieve(session).id == session
