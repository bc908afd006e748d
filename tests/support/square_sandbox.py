"""The Square stand-in on a real port; requests and answers are held to Square's description."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dispatch_sandbox.processors.base import ProcessorReply, ProcessorRequest
from dispatch_sandbox.processors.server import app_of
from dispatch_sandbox.square import SquareStandIn
from tests.support.described import Description, only_known
from tests.support.stripe_sandbox import serving


class DescribedSquare(SquareStandIn):
    """A stand-in that notes every request and answer that Square describes otherwise."""

    def __init__(self, *clock: Callable[[], float]) -> None:
        super().__init__(*clock)
        self.description = Description("square-refunds")
        self.strayed: list[str] = []

    def answer(self, request: ProcessorRequest) -> ProcessorReply:
        reply = super().answer(request)
        if "/merchants/" in request.path:
            return reply  # not in the excerpt
        schema, known = self._schema(request), self.description.properties
        try:
            if request.method == "POST":
                body = request.json()
                self.description.check(body, "RefundPaymentRequest")
                only_known(body, known("RefundPaymentRequest"))
                assert len(body["idempotency_key"]) <= 45, "the key is too long"
            if not reply.lost:
                self.description.check(reply.content, schema)
                only_known(reply.content, known(schema))
                only_known(reply.content.get("refund", {}), known("PaymentRefund"))
                only_known(reply.content.get("payment", {}), known("Payment"))
        except (AssertionError, ValueError) as error:
            self.strayed.append(f"{request.method} {request.path}: {error}")
        return reply

    def _schema(self, request: ProcessorRequest) -> str:
        if request.method == "POST":
            return "RefundPaymentResponse"
        match request.path.strip("/").split("/")[1:]:
            case ["payments", _]:
                return "GetPaymentResponse"
            case ["refunds", _]:
                return "GetPaymentRefundResponse"
            case _:
                return "ListPaymentRefundsResponse"


@contextmanager
def serving_square(*clock: Callable[[], float]) -> Iterator[tuple[DescribedSquare, str]]:
    """Run a new stand-in; give it with its address. All must be as Square describes it."""
    square = DescribedSquare(*clock)
    with serving(app_of(square)) as url:
        square.base_url = url
        yield square, url
    assert square.strayed == []
