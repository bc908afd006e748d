"""The Adyen stand-in on a real port; requests and answers are held to Adyen's description."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from dispatch_returns.refunds.adapters.adyen import AdyenAdapter
from dispatch_sandbox.adyen import API_KEY, HMAC_KEY, MERCHANT_ACCOUNT, AdyenStandIn
from dispatch_sandbox.processors.base import ProcessorReply, ProcessorRequest
from dispatch_sandbox.processors.server import app_of
from tests.support.described import Description
from tests.support.stripe_sandbox import serving


class DescribedAdyen(AdyenStandIn):
    """A stand-in that notes every request and answer that Adyen describes otherwise."""

    def __init__(self, *clock: Callable[[], float]) -> None:
        super().__init__(*clock)
        self.description = Description("adyen-checkout-v72")
        self.strayed: list[str] = []

    def answer(self, request: ProcessorRequest) -> ProcessorReply:
        reply = super().answer(request)
        if not request.path.endswith("/refunds"):
            return reply  # the rest of the API is not in the excerpt
        schema = "PaymentRefundResponse" if reply.status == 201 else "ServiceError"
        try:
            self.description.check(request.json(), "PaymentRefundRequest")
            if not reply.lost and reply.content is not None:
                self.description.check(reply.content, schema)
        except ValueError as error:
            self.strayed.append(f"{request.path}: {error}")
        return reply


@contextmanager
def serving_adyen(*clock: Callable[[], float]) -> Generator[tuple[DescribedAdyen, str]]:
    """Run a new stand-in; give it with its address. All must be as Adyen describes it."""
    adyen = DescribedAdyen(*clock)
    with serving(app_of(adyen)) as url:
        yield adyen, url
    assert adyen.strayed == []


def adapter_at(url: str, api_key: str = API_KEY) -> AdyenAdapter:
    """Return an adapter for the stand-in at `url`."""
    return AdyenAdapter(api_key, MERCHANT_ACCOUNT, [HMAC_KEY], base_url=url)
