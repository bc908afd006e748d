"""Processors whose payments can be told apart, and which may hang or be away."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.errors import AdapterError
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import RefundRequest, RefundResult
from dispatch_returns.testing import FakeAdapter

_NO_PAYMENTS: Mapping[str, Money] = {}


class Bank(FakeAdapter):
    """A processor whose payments' ids start with `prefix`, and with an account."""

    mode = "live"

    def __init__(
        self,
        prefix: str,
        payments: Mapping[str, Money] = _NO_PAYMENTS,
        *,
        account: str | None = None,
        clock: Clock = utc_now,
    ) -> None:
        super().__init__(payments, clock=clock)
        self.prefix = prefix
        self.number = account
        self.account_error: AdapterError | None = None
        self.account_goes_on = threading.Event()
        """While it is not set, calls of `account` hang."""
        self.account_goes_on.set()
        self.refuses: AdapterError | None = None
        """What the next calls of `refund` raise, before anything is done."""
        self.goes_on = threading.Event()
        """While it is not set, calls of `refund` hang."""
        self.goes_on.set()
        self.called = threading.Event()
        """Set by the first call of `refund`."""

    def recognizes(self, payment_id: str) -> bool:
        return payment_id.startswith(self.prefix)

    def account(self) -> str | None:
        self.account_goes_on.wait()
        if self.account_error is not None:
            raise self.account_error
        return self.number

    def refund(self, request: RefundRequest) -> RefundResult:
        self.called.set()
        self.goes_on.wait()
        if self.refuses is not None:
            raise self.refuses
        return super().refund(request)
