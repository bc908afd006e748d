"""The contract's own promise: what an adapter declares impossible is listed, and stays true."""

from __future__ import annotations

from typing import ClassVar

import pytest

from dispatch_returns import testing
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.testing import FakeAdapter, RefundAdapterContract

CLOSING = "test_closing_twice_is_harmless"
DISPUTES = "test_a_disputed_payment_is_refused"
RATE = "test_a_payment_tells_what_was_charged"


class Acme(RefundAdapterContract):
    cannot: ClassVar = {CLOSING: "never", DISPUTES: "it has no disputes", RATE: "it is mute"}

    def make_adapter(self) -> FakeAdapter:
        return FakeAdapter({"pi_1": Money(100, "USD")})

    def make_payment(self, amount: Money) -> PaymentRef:
        return PaymentRef("reference", "pi_1")


@pytest.mark.parametrize("name", [DISPUTES, RATE])
def test_what_is_declared_impossible_is_skipped_with_its_reason(name: str) -> None:
    contract = Acme()
    with pytest.raises(pytest.skip.Exception, match=f"cannot: {Acme.cannot[name]}"):
        getattr(contract, name)(contract.make_adapter())


def test_what_is_declared_impossible_and_works_is_a_failure() -> None:
    contract = Acme()
    with pytest.raises(pytest.fail.Exception, match=r"take it out of `cannot` \(never\)"):
        contract.test_closing_twice_is_harmless(contract.make_adapter())


@pytest.mark.parametrize("name", ["test_nothing_of_the_kind", "make_adapter"])
def test_a_declaration_about_no_test_is_an_error(name: str) -> None:
    with pytest.raises(TypeError, match=f"the contract has no {name}"):
        type("Wrong", (RefundAdapterContract,), {"cannot": {name: "a typing error"}})


def test_a_hook_that_is_missing_says_what_to_do() -> None:
    for hook in (
        lambda: RefundAdapterContract().make_adapter(),
        lambda: RefundAdapterContract().make_payment(Money(1, "USD")),
        lambda: Acme().make_adapter_with_wrong_credential(),
        lambda: Acme().make_unreachable_adapter(),
        lambda: Acme().lose_next_response(),
        lambda: Acme().refund_externally(PaymentRef("reference", "pi_1"), Money(1, "USD")),
        lambda: Acme().make_payment_that_bounces(Money(1, "USD")),
        lambda: Acme().make_disputed_payment(Money(1, "USD")),
    ):
        with pytest.raises(NotImplementedError, match=r"override \w+, or list this test"):
            hook()


def test_the_module_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nope'"):
        testing.Nope  # noqa: B018 - looking it up is the act
