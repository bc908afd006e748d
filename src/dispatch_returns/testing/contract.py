"""The behaviour that the refund service relies on, as tests for an adapter's author to inherit.

::

    from dispatch_returns.testing import RefundAdapterContract

    class TestAcme(RefundAdapterContract):
        cannot = {"test_a_disputed_payment_is_refused": "Acme has no disputes"}

        def make_adapter(self) -> AcmeRefunds:
            return AcmeRefunds(url=SANDBOX, key="test-key")

        def make_payment(self, amount: Money) -> PaymentRef:
            return PaymentRef("reference", sandbox.pay(amount.minor, amount.currency))

Run it with pytest, against something that really keeps payments: the processor's test mode or a
stand-in, not a mock of the calls.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    SignatureError,
    UnsupportedFeatureError,
)
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import (
    KnownRefund,
    PaymentRef,
    RefundAdapter,
    RefundRequest,
    RefundResult,
    RefundStatus,
    SupportsListing,
    SupportsWebhooks,
    UnreadableRefund,
    readable_refunds,
)
from dispatch_returns.refunds.capabilities import Capabilities
from dispatch_returns.refunds.details import RefundDetails, RefundLine, RefundReason
from dispatch_returns.testing.hooks import AdapterHooks

_WAIT = 60.0


class RefundAdapterContract(AdapterHooks):
    """Inherit it as ``Test...`` and override the hooks (see `AdapterHooks`)."""

    # Helpers for the tests.

    @pytest.fixture
    def adapter(self) -> Iterator[RefundAdapter]:
        """The adapter under test, closed afterwards."""
        adapter = self.make_adapter()
        yield adapter
        adapter.close()

    def money(self, minor: int) -> Money:
        """Return `minor` units of the contract's currency."""
        return Money(minor, self.currency)

    def request(self, ref: PaymentRef, minor: int) -> RefundRequest:
        """Return a new intent to refund `minor` units of a payment."""
        refund_id = f"rfd_{uuid.uuid4().hex}"
        return RefundRequest(
            refund_id=refund_id,
            idempotency_key=f"{refund_id}-g1",
            payment=ref,
            amount=self.money(minor),
            workspace_id="ws_contract",
            ticket_id="tkt_contract",
            order_id="1234",
        )

    # The adapter itself.

    def test_it_satisfies_the_protocol(self, adapter: RefundAdapter) -> None:
        assert isinstance(adapter, RefundAdapter)
        assert adapter.name
        assert isinstance(adapter.capabilities, Capabilities)

    def test_its_capabilities_fit_together(self, adapter: RefundAdapter) -> None:
        can = adapter.capabilities
        assert can.longest_key >= len(f"rfd_{uuid.uuid4().hex}-g10"), "our keys do not fit"
        assert not can.lookup_after or can.lookup, "without a look-up none can be late"
        knows_the_end = can.follows or isinstance(adapter, SupportsWebhooks) or can.manual
        assert knows_the_end or not can.asynchronous, "nothing says how its refunds end"

    def test_closing_twice_is_harmless(self, adapter: RefundAdapter) -> None:
        adapter.close()
        adapter.close()

    def test_its_repr_holds_no_secret(self, adapter: RefundAdapter) -> None:
        assert self.secrets, "set `secrets` to the keys the hooks use"
        self._hides_secrets(repr(adapter), str(adapter))

    # What a payment says.

    def test_a_payment_tells_what_was_charged(self, adapter: RefundAdapter) -> None:
        payment = adapter.payment(self.make_payment(self.money(14900)))
        assert payment.currency == self.currency
        assert payment.rule == adapter.capabilities.currency_rule(self.currency)
        assert payment.charged == self.money(14900)
        assert payment.refunded == self.money(0)
        assert payment.remaining == self.money(14900)
        assert not payment.disputed

    def test_a_payment_without_decimals_keeps_its_amount(self, adapter: RefundAdapter) -> None:
        payment = adapter.payment(self.make_payment(Money(500, "JPY", 0)))
        assert payment.rule == adapter.capabilities.currency_rule("JPY")
        assert payment.rule is not None
        assert payment.rule.decimals == 0
        assert payment.charged == Money(500, "JPY", 0)

    def test_an_unknown_payment_is_not_found(self, adapter: RefundAdapter) -> None:
        ref = self.unknown_payment()
        assert _kind(lambda: adapter.payment(ref)) is ErrorKind.NOT_FOUND

    # What a refund does.

    def test_a_full_refund_leaves_nothing(self, adapter: RefundAdapter) -> None:
        request = self._new_request(14900)
        result = adapter.refund(request)
        assert result.processor_id
        assert result.ours
        assert result.amount == request.amount
        assert result.status not in {RefundStatus.FAILED, RefundStatus.CANCELED}
        assert self._refunded(adapter, request.payment) == 14900
        assert self._remaining(adapter, request.payment) == 0

    def test_partial_refunds_add_up(self, adapter: RefundAdapter) -> None:
        ref = self.make_payment(self.money(14900))
        first = adapter.refund(self.request(ref, 4900))
        assert self._remaining(adapter, ref) == 10000
        second = adapter.refund(self.request(ref, 10000))
        assert self._remaining(adapter, ref) == 0
        assert first.processor_id != second.processor_id

    def test_more_than_is_left_is_refused(self, adapter: RefundAdapter) -> None:
        ref = self.make_payment(self.money(14900))
        adapter.refund(self.request(ref, 10000))
        too_much = self.request(ref, 4901)
        assert _kind(lambda: adapter.refund(too_much)) is ErrorKind.EXCEEDS_REMAINING
        assert self._remaining(adapter, ref) == 4900

    def test_a_payment_with_nothing_left_is_already_refunded(self, adapter: RefundAdapter) -> None:
        ref = self.make_payment(self.money(14900))
        adapter.refund(self.request(ref, 14900))
        again = self.request(ref, 14900)
        assert _kind(lambda: adapter.refund(again)) is ErrorKind.ALREADY_REFUNDED

    def test_a_refund_of_an_unknown_payment_is_not_found(self, adapter: RefundAdapter) -> None:
        request = self.request(self.unknown_payment(), 14900)
        assert _kind(lambda: adapter.refund(request)) is ErrorKind.NOT_FOUND

    def test_a_disputed_payment_is_refused(self, adapter: RefundAdapter) -> None:
        request = self.request(self.make_disputed_payment(self.money(14900)), 14900)
        self._until(lambda: adapter.payment(request.payment).disputed)
        assert _kind(lambda: adapter.refund(request)) is ErrorKind.DISPUTED

    # What an idempotency key does.

    def test_the_same_key_twice_pays_once(self, adapter: RefundAdapter) -> None:
        request = replace(self._new_request(14900), amount=self.money(4900))
        first, second = adapter.refund(request), adapter.refund(request)
        assert first.processor_id == second.processor_id
        assert self._refunded(adapter, request.payment) == 4900

    def test_the_same_key_from_another_process_pays_once(self, adapter: RefundAdapter) -> None:
        request = replace(self._new_request(14900), amount=self.money(4900))
        first = adapter.refund(request)
        other = self.make_adapter()
        try:
            assert other.refund(request).processor_id == first.processor_id
        finally:
            other.close()
        assert self._refunded(adapter, request.payment) == 4900

    def test_the_same_key_with_another_amount_is_a_conflict(self, adapter: RefundAdapter) -> None:
        request = replace(self._new_request(14900), amount=self.money(4900))
        adapter.refund(request)
        other = replace(request, amount=self.money(5000))
        assert _kind(lambda: adapter.refund(other)) is ErrorKind.KEY_CONFLICT
        assert self._refunded(adapter, request.payment) == 4900

    def test_two_threads_with_one_key_make_one_refund(self, adapter: RefundAdapter) -> None:
        request = replace(self._new_request(14900), amount=self.money(4900))
        together = threading.Barrier(2, timeout=_WAIT)

        def pay(_: int) -> str | ErrorKind:
            together.wait()
            try:
                return adapter.refund(request).processor_id
            except AdapterError as error:
                return error.kind

        with ThreadPoolExecutor(2) as pool:
            answers = set(pool.map(pay, range(2), timeout=_WAIT))
        assert len(answers - {ErrorKind.IN_PROGRESS}) == 1
        assert self._refunded(adapter, request.payment) == 4900

    def test_a_key_that_is_too_long_is_refused_before_it_is_sent(
        self, adapter: RefundAdapter
    ) -> None:
        request = self._new_request(14900)
        key = "k" * (adapter.capabilities.longest_key + 1)
        with pytest.raises(UnsupportedFeatureError):
            adapter.refund(replace(request, idempotency_key=key))
        assert self._refunded(adapter, request.payment) == 0

    def test_what_a_refund_is_for_changes_nothing_about_its_amount(
        self, adapter: RefundAdapter
    ) -> None:
        details = RefundDetails(
            RefundReason.RETURN,
            "R-7K3Q-X2M9-PD",
            (RefundLine("SKU-1", 2, "A shirt", self.money(4400)),),
            shipping=self.money(500),
        )
        request = replace(self._new_request(14900), amount=self.money(4900), details=details)
        assert adapter.refund(request).amount == self.money(4900)
        assert self._refunded(adapter, request.payment) == 4900

    # What a look-up finds.

    def test_find_by_the_processors_id_returns_our_refund(self, adapter: RefundAdapter) -> None:
        request = self._new_request(14900)
        made = adapter.refund(request)
        found = adapter.find(request, made.processor_id)
        assert found is not None
        assert (found.processor_id, found.amount) == (made.processor_id, request.amount)

    def test_find_returns_our_refund(self, adapter: RefundAdapter) -> None:
        request = self._new_request(14900)
        made = adapter.refund(request)
        found = adapter.find(request)
        assert found is not None
        assert (found.processor_id, found.ours) == (made.processor_id, True)
        assert found.amount == request.amount

    def test_find_tells_two_refunds_of_a_payment_apart(self, adapter: RefundAdapter) -> None:
        ref = self.make_payment(self.money(14900))
        first, second = self.request(ref, 4900), self.request(ref, 5000)
        made = [adapter.refund(request).processor_id for request in (first, second)]
        found = [adapter.find(request) for request in (first, second)]
        assert [result and result.processor_id for result in found] == made

    def test_find_returns_nothing_before_a_refund(self, adapter: RefundAdapter) -> None:
        assert adapter.find(self._new_request(14900)) is None

    def test_find_ignores_a_part_refunded_by_somebody_else(self, adapter: RefundAdapter) -> None:
        request = self._new_request(14900)
        self.refund_externally(request.payment, self.money(4900))
        assert adapter.find(request) is None

    def test_find_ignores_all_of_it_refunded_by_somebody_else(self, adapter: RefundAdapter) -> None:
        request = self._new_request(14900)
        self.refund_externally(request.payment, self.money(14900))
        assert adapter.find(request) is None

    def test_find_shows_that_our_refund_failed(self, adapter: RefundAdapter) -> None:
        request = self.request(self.make_payment_that_bounces(self.money(14900)), 14900)
        made = adapter.refund(request)
        self._until(lambda: self._failed(adapter, request, made))
        found = adapter.find(request, made.processor_id)
        assert found is not None
        assert (found.processor_id, found.ours) == (made.processor_id, True)

    def test_find_leaves_an_earlier_attempts_failure_out(self, adapter: RefundAdapter) -> None:
        first = self.request(self.make_payment_that_bounces(self.money(14900)), 14900)
        made = adapter.refund(first)
        self._until(lambda: self._failed(adapter, first, made))
        second = replace(first, idempotency_key=f"{first.refund_id}-g2")
        assert adapter.find(second) is None
        assert adapter.refund(second).processor_id != made.processor_id

    # What a failing call means.

    def test_a_wrong_credential_is_an_auth_error(self) -> None:
        adapter = self.make_adapter_with_wrong_credential()
        request = self._new_request(14900)
        try:
            for call in (lambda: adapter.payment(request.payment), lambda: adapter.refund(request)):
                error = _error(call)
                assert error.kind is ErrorKind.AUTH
                self._hides_secrets(str(error), repr(error), error.message)
        finally:
            adapter.close()

    def test_an_unreachable_processor_was_not_sent_anything(self) -> None:
        adapter = self.make_unreachable_adapter()
        request = self._new_request(14900)
        try:
            for call in (lambda: adapter.payment(request.payment), lambda: adapter.refund(request)):
                assert _kind(call) is ErrorKind.NOT_SENT
        finally:
            adapter.close()

    def test_a_lost_response_is_an_unknown_outcome(self, adapter: RefundAdapter) -> None:
        request = self._new_request(14900)
        self._lose(adapter, request)
        assert self._refunded(adapter, request.payment) == 14900

    def test_a_lost_refund_is_given_again_by_its_key(self, adapter: RefundAdapter) -> None:
        request = replace(self._new_request(14900), amount=self.money(4900))
        self._lose(adapter, request)
        assert adapter.refund(request).amount == request.amount
        assert self._refunded(adapter, request.payment) == 4900

    def test_a_lost_refund_can_be_looked_up(self, adapter: RefundAdapter) -> None:
        request = self._new_request(14900)
        self._lose(adapter, request)
        found = adapter.find(request)
        assert found is not None
        assert found.ours

    # What a webhook says, and which refunds exist. Both are optional, so they have their own tests.

    def test_an_unsigned_event_is_refused(self, adapter: RefundAdapter) -> None:
        assert isinstance(adapter, SupportsWebhooks), "it takes no webhooks"
        with pytest.raises(SignatureError):
            adapter.verify_webhook(WebhookRequest("POST", "/", {}, b"{}"))

    def test_a_payments_refunds_are_listed_with_whose_they_are(
        self, adapter: RefundAdapter
    ) -> None:
        assert isinstance(adapter, SupportsListing), "it lists no refunds"
        request = self._new_request(14900)
        assert _read(adapter.refunds_of(request.payment)) == []
        ours = adapter.refund(replace(request, amount=self.money(4900)))
        self.refund_externally(request.payment, self.money(5000))
        listed = _read(adapter.refunds_of(request.payment))
        others, first = sorted(listed, key=lambda refund: refund.result.ours)
        assert (first.result.processor_id, first.result.ours) == (ours.processor_id, True)
        assert (first.refund_id, first.ticket_id) == (request.refund_id, request.ticket_id)
        assert first.idempotency_key == request.idempotency_key
        assert first.workspace_id == request.workspace_id
        assert (others.refund_id, others.result.ours) == (None, False)
        assert others.result.amount == self.money(5000)
        assert all(request.payment in refund.payments for refund in (others, first))

    def test_all_refunds_are_listed_by_their_time(self, adapter: RefundAdapter) -> None:
        assert isinstance(adapter, SupportsListing), "it lists no refunds"
        requests = [self._new_request(14900) for _ in range(2)]
        made = [adapter.refund(request).processor_id for request in requests]
        (known,) = _read(adapter.refunds_of(requests[0].payment))
        soon, later = known.created_at, known.created_at + timedelta(days=1)
        found = [it.result.processor_id for it in _read(adapter.refunds_between(soon, later))]
        assert sorted(it for it in found if it in made) == sorted(made)
        earlier = _read(adapter.refunds_between(soon - timedelta(days=1), soon))
        assert known.result.processor_id not in {it.result.processor_id for it in earlier}

    def _new_request(self, minor: int) -> RefundRequest:
        return self.request(self.make_payment(self.money(minor)), minor)

    def _lose(self, adapter: RefundAdapter, request: RefundRequest) -> None:
        adapter.payment(request.payment)  # so that the loss does not hit the start of a connection
        self.lose_next_response()
        assert _kind(lambda: adapter.refund(request)) is ErrorKind.UNKNOWN_OUTCOME

    def _failed(self, adapter: RefundAdapter, request: RefundRequest, made: RefundResult) -> bool:
        found = adapter.find(request, made.processor_id)
        return found is not None and found.status is RefundStatus.FAILED

    def _until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _WAIT
        while not happened():
            assert time.monotonic() < deadline, "it did not happen in time"
            self.let_time_pass()

    def _refunded(self, adapter: RefundAdapter, ref: PaymentRef) -> int:
        refunded = adapter.payment(ref).refunded
        return self.paid_back(ref) if refunded is None else refunded.minor

    def _remaining(self, adapter: RefundAdapter, ref: PaymentRef) -> int:
        charged = adapter.payment(ref).charged
        assert charged is not None, "the processor does not tell what was charged"
        return charged.minor - self._refunded(adapter, ref)

    def _hides_secrets(self, *texts: str) -> None:
        for text in texts:
            assert not any(secret in text for secret in self.secrets), "a secret is shown"


def _read(listed: Iterable[KnownRefund | UnreadableRefund]) -> list[KnownRefund]:
    unreadable: list[UnreadableRefund] = []
    found = list(readable_refunds(listed, unreadable.append))
    assert not unreadable, "it can't read its own refunds"
    return found


def _error(call: Callable[[], object]) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        call()
    return caught.value


def _kind(call: Callable[[], object]) -> ErrorKind:
    return _error(call).kind
