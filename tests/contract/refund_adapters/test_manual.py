"""`ManualAdapter`: what the contract asks of a processor, nobody can ask of a person."""

from __future__ import annotations

from typing import ClassVar

from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.manual import ManualAdapter
from dispatch_returns.testing import RefundAdapterContract

DOES_NOT_APPLY = "there is no processor: a person pays"
APPLIES = {
    "test_it_satisfies_the_protocol",
    "test_its_capabilities_fit_together",
    "test_closing_twice_is_harmless",
}


class TestManualAdapter(RefundAdapterContract):
    cannot: ClassVar = {
        name: DOES_NOT_APPLY
        for name in dir(RefundAdapterContract)
        if name.startswith("test_") and name not in APPLIES
    }

    def make_adapter(self) -> ManualAdapter:
        return ManualAdapter()

    def make_payment(self, amount: Money) -> PaymentRef:
        return PaymentRef("reference", f"INV-{amount.minor}")
