"""The PayPal stand-in on a real port; what it answers is held to PayPal's description."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dispatch_sandbox.paypal import PayPalStandIn
from dispatch_sandbox.processors.base import ProcessorReply, ProcessorRequest
from dispatch_sandbox.processors.server import app_of
from tests.support.described import Description
from tests.support.stripe_sandbox import serving

_REFUND_ERRORS = {
    400: ("error_400", "captures.refund-400"),
    409: ("error_409", "409"),
    422: ("error_422", "captures.refund-422"),
}


class DescribedPayPal(PayPalStandIn):
    """A stand-in that fails a test where it answers in another way than PayPal describes."""

    def __init__(self, *clock: Callable[[], float]) -> None:
        super().__init__(*clock)
        self.description = Description("paypal-payments-v2")
        self.strayed: list[str] = []

    def answer(self, request: ProcessorRequest) -> ProcessorReply:
        reply = super().answer(request)
        schemas: tuple[str, ...] = ()
        if "/v2/payments/" in request.path and not reply.lost and reply.status not in {401, 429}:
            found = "capture-2" if request.path.split("/")[3:4] == ["captures"] else "refund"
            found = "refund" if request.path.endswith("/refund") else found
            errors: dict[int, tuple[str, ...]] = {404: ("error_404", "404"), **_REFUND_ERRORS}
            schemas = (found,) if reply.status < 300 else errors.get(reply.status, ())
        try:
            self.description.check(reply.content, *schemas)
        except ValueError as error:
            self.strayed.append(f"{request.method} {request.path}: {error}")
        return reply


@contextmanager
def serving_paypal(**values: Any) -> Iterator[tuple[DescribedPayPal, str]]:
    """Run a new stand-in; give it with its address. Its answers must be as PayPal describes."""
    paypal = DescribedPayPal(**values)
    with serving(app_of(paypal)) as url:
        paypal.base_url = url
        yield paypal, url
    assert paypal.strayed == []
