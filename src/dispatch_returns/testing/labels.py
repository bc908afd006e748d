"""The behaviour that the workflow relies on, as tests for a label provider's author to inherit.

::

    from dispatch_returns.testing import LabelProviderContract

    class TestAcme(LabelProviderContract):
        def make_provider(self) -> AcmeLabels:
            return AcmeLabels(url=SANDBOX, key="test-key")

Run it with pytest, against something that really keeps labels: the seller's test mode or a
stand-in, not a mock of the calls.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from dispatch_returns.errors import LabelError
from dispatch_returns.returns.labels.provider import (
    Address,
    Label,
    LabelProvider,
    LabelRequest,
    PackingLine,
)
from dispatch_returns.testing.hooks import Cannot, not_overridden


class LabelProviderContract(Cannot):
    """Inherit it as ``Test...``. A test that the seller makes impossible goes into ``cannot``."""

    cannot: ClassVar[Mapping[str, str]] = {}
    secrets: ClassVar[Sequence[str]] = ()
    """What no message and no ``repr`` may contain: every key that the hooks use."""

    # Hooks.

    def make_provider(self) -> LabelProvider:
        """Return a new provider for the seller under test."""
        raise not_overridden("make_provider")

    def make_provider_with_wrong_credential(self) -> LabelProvider:
        """Return a provider whose key the seller refuses."""
        raise not_overridden("make_provider_with_wrong_credential")

    def make_unreachable_provider(self) -> LabelProvider:
        """Return a provider that points at a port without a listener."""
        raise not_overridden("make_unreachable_provider")

    def lose_next_purchase(self) -> None:
        """Make the seller carry out the next purchase, and lose its answer."""
        raise not_overridden("lose_next_purchase")

    def sold(self) -> int:
        """Return how many labels the seller has sold in all."""
        raise not_overridden("sold")

    # Helpers for the tests.

    @pytest.fixture
    def provider(self) -> Iterator[LabelProvider]:
        """The provider under test, closed afterwards."""
        provider = self.make_provider()
        yield provider
        provider.close()

    def request(self, **changes: Any) -> LabelRequest:
        """Return a new request."""
        request = LabelRequest(
            key=f"lbl_{uuid.uuid4().hex}",
            ticket_id="tkt_contract",
            return_number="RET-1",
            recipient=Address(
                "Acme Returns", "417 Montgomery St", "San Francisco", "94104", "US", state="CA"
            ),
            sender=Address(
                "Jane Doe", "179 N Harbor Dr", "Redondo Beach", "90277", "US", state="CA"
            ),
            lines=(PackingLine("SKU-001", 1, "Wool jumper"),),
            created_at=datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1),
            weight=800,
        )
        return replace(request, **changes)

    # What a label is.

    def test_a_label_is_a_pdf_with_an_id(self, provider: LabelProvider) -> None:
        label = provider.buy(self.request())
        assert label.provider == provider.name
        assert label.id
        assert label.pdf.startswith(b"%PDF-")
        assert label.expires_at is None or label.expires_at.tzinfo is not None

    def test_two_returns_have_two_labels(self, provider: LabelProvider) -> None:
        first, second = provider.buy(self.request()), provider.buy(self.request())
        assert first.id != second.id

    # Bought once.

    def test_the_same_key_twice_is_one_label(self, provider: LabelProvider) -> None:
        request, before = self.request(), self.sold()
        assert provider.buy(request) == provider.buy(request)
        assert self.sold() == before + 1

    def test_the_same_key_from_another_process_is_one_label(self, provider: LabelProvider) -> None:
        request = self.request()
        label = provider.buy(request)
        other = self.make_provider()
        try:
            assert other.buy(request) == label
        finally:
            other.close()

    def test_a_label_is_found_by_its_key(self, provider: LabelProvider) -> None:
        request = self.request()
        provider.buy(self.request())
        label = provider.buy(request)
        assert provider.find(request) == label

    def test_nothing_is_found_before_a_purchase(self, provider: LabelProvider) -> None:
        provider.buy(self.request())
        assert provider.find(self.request()) is None

    def test_a_lost_answer_is_unknown_and_the_label_is_found(self, provider: LabelProvider) -> None:
        request, before = self.request(), self.sold()
        self.lose_next_purchase()
        error = _error(lambda: provider.buy(request))
        assert error.unknown
        found = provider.find(request)
        assert found is not None
        assert provider.buy(request) == found
        assert self.sold() == before + 1

    # Voided.

    def test_a_label_is_voided_and_again_the_same(self, provider: LabelProvider) -> None:
        label = provider.buy(self.request())
        assert provider.void(label.id) is provider.void(label.id)

    def test_an_unknown_label_cannot_be_voided(self, provider: LabelProvider) -> None:
        assert not _error(lambda: provider.void("unknown")).unknown

    # What fails.

    def test_a_wrong_credential_is_refused(self) -> None:
        provider = self.make_provider_with_wrong_credential()
        try:
            for call in self._calls(provider):
                error = _error(call)
                assert not error.retryable
                assert not error.unknown
                self._hides_secrets(str(error), repr(error))
        finally:
            provider.close()

    def test_an_unreachable_seller_is_asked_again(self) -> None:
        provider = self.make_unreachable_provider()
        try:
            for call in self._calls(provider):
                assert _error(call).retryable
        finally:
            provider.close()

    def test_its_repr_holds_no_secret(self, provider: LabelProvider) -> None:
        self._hides_secrets(repr(provider), str(provider))

    def test_closing_twice_is_harmless(self, provider: LabelProvider) -> None:
        provider.close()
        provider.close()

    def _calls(self, provider: LabelProvider) -> list[Callable[[], Label | None]]:
        request = self.request()
        return [lambda: provider.buy(request), lambda: provider.find(request)]

    def _hides_secrets(self, *texts: str) -> None:
        for text in texts:
            assert not any(secret in text for secret in self.secrets), "a secret is shown"


def _error(call: Callable[[], object]) -> LabelError:
    with pytest.raises(LabelError) as caught:
        call()
    return caught.value
