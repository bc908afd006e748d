"""What an adapter's author tells the contract: how to reach the processor, and what it lacks."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef, RefundAdapter


class Cannot:
    """A contract with tests that may be impossible.

    A test that the processor makes impossible goes into ``cannot`` with the reason: the test then
    shows as skipped for that reason, and fails once it passes, so the list stays true.
    """

    cannot: ClassVar[Mapping[str, str]] = {}
    """Test name to the reason why this processor cannot pass it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, reason in cls.cannot.items():
            if not name.startswith("test_") or not hasattr(cls, name):
                raise TypeError(f"{cls.__name__}.cannot: the contract has no {name}")
            setattr(cls, name, _cannot(getattr(cls, name), reason))


class AdapterHooks(Cannot):
    """The first two hooks are required; the tests that call the others need those too."""

    secrets: ClassVar[Sequence[str]] = ()
    """What no message and no ``repr`` may contain: every key that the hooks use."""

    currency: ClassVar[str] = "USD"
    """An ordinary currency with two decimals that the processor accepts."""

    def make_adapter(self) -> RefundAdapter:
        """Return a new adapter for the processor under test."""
        raise not_overridden("make_adapter")

    def make_payment(self, amount: Money) -> PaymentRef:  # noqa: ARG002 - a hook
        """Have a customer pay `amount`; return the payment, captured and not refunded."""
        raise not_overridden("make_payment")

    def unknown_payment(self) -> PaymentRef:
        """Return a payment that the processor does not know."""
        ref = self.make_payment(Money(14900, self.currency))
        return replace(ref, id=f"{ref.id}unknown")

    def make_adapter_with_wrong_credential(self) -> RefundAdapter:
        """Return an adapter whose key the processor refuses."""
        raise not_overridden("make_adapter_with_wrong_credential")

    def make_unreachable_adapter(self) -> RefundAdapter:
        """Return an adapter that points at a port without a listener."""
        raise not_overridden("make_unreachable_adapter")

    def lose_next_response(self) -> None:
        """Make the processor carry out the next call, and lose its answer."""
        raise not_overridden("lose_next_response")

    def refund_externally(self, ref: PaymentRef, amount: Money) -> None:  # noqa: ARG002 - a hook
        """Make a refund elsewhere, as a person does in the processor's dashboard."""
        raise not_overridden("refund_externally")

    def paid_back(self, ref: PaymentRef) -> int:  # noqa: ARG002 - a hook
        """Return what was refunded of a payment, in minor units: asked where it does not tell."""
        raise not_overridden("paid_back")

    def make_payment_that_bounces(self, amount: Money) -> PaymentRef:  # noqa: ARG002 - a hook
        """Return a payment whose refunds are made, and fail soon after at the customer's bank."""
        raise not_overridden("make_payment_that_bounces")

    def make_disputed_payment(self, amount: Money) -> PaymentRef:  # noqa: ARG002 - a hook
        """Return a payment that the customer's bank disputes, now or soon."""
        raise not_overridden("make_disputed_payment")

    def let_time_pass(self) -> None:
        """Wait a little for what happens soon. Override it to move the processor's clock."""
        time.sleep(0.25)


def not_overridden(hook: str) -> NotImplementedError:
    """Return the error that a hook raises if its author has to write it."""
    return NotImplementedError(
        f"override {hook}, or list this test in `cannot` with the reason why it is impossible"
    )


def _cannot(test: Callable[..., None], reason: str) -> Callable[..., None]:
    """Return `test` as one that must fail, and that shows as skipped with the reason."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            test(*args, **kwargs)
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - it may fail in any way
            pytest.skip(f"the processor cannot: {reason}")
        pytest.fail(f"it can after all: take it out of `cannot` ({reason})")

    return run
