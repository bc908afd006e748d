"""No processor: a person pays, and confirms it in the ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field

from dispatch_returns.errors import InvalidArgumentError, MoneyError, UnsupportedFeatureError
from dispatch_returns.money import stripe_rule
from dispatch_returns.plugins.options import PluginOptions
from dispatch_returns.refunds.adapter import (
    Payment,
    PaymentRef,
    RefundRequest,
    RefundResult,
    RefundStatus,
)
from dispatch_returns.refunds.capabilities import Capabilities

_FOR_GOOD = timedelta(days=36_500)


class ManualOptions(PluginOptions):
    """The options of `ManualAdapter`."""

    currency: str = Field(default="USD", description="the currency of all payments")


class ManualAdapter:
    """A `RefundAdapter` that moves no money: each refund is ``pending`` until a person confirms.

    ``currency`` is the currency of all payments, since no processor can be asked. Raises
    `InvalidArgumentError` if it is not a currency code.

    The same refund always gets the same answer, so a key is remembered for good; nothing can be
    looked up, because nothing is kept.
    """

    name = "manual"
    options_model = ManualOptions
    capabilities = Capabilities(key_lifetime=_FOR_GOOD, asynchronous=True, manual=True)

    def __init__(self, currency: str = "USD") -> None:
        try:
            self._rule = stripe_rule(currency)
        except MoneyError as error:
            raise InvalidArgumentError("currency", str(error)) from None
        self._currency = currency.upper()

    @classmethod
    def from_options(cls, options: ManualOptions) -> Self:
        """Build it from its options."""
        return cls(options.currency)

    def __repr__(self) -> str:
        return f"ManualAdapter(currency={self._currency!r})"

    def payment(self, ref: PaymentRef) -> Payment:  # noqa: ARG002 - there is none to look at
        """Return what is known: the currency."""
        return Payment(currency=self._currency, rule=self._rule)

    def refund(self, request: RefundRequest) -> RefundResult:
        """Return a pending refund with an id derived from the ledger's. Nothing is sent."""
        return RefundResult(
            processor_id=f"manual_{request.refund_id}",
            status=RefundStatus.PENDING,
            amount=request.amount,
        )

    def find(
        self,
        request: RefundRequest,  # noqa: ARG002 - nothing is kept
        processor_id: str | None = None,  # noqa: ARG002
    ) -> RefundResult | None:
        """Raise `UnsupportedFeatureError`: only the ledger knows whether a person has paid."""
        raise UnsupportedFeatureError("a person pays: there is no processor to look it up with")

    def close(self) -> None:
        """Do nothing: there is no connection."""
