"""The adapter contract for whatever speaks Stripe's API, through a proxy that loses answers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import httpx
import pytest

from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.testing import RefundAdapterContract
from tests.support.lossy_proxy import LossyProxy, lossy_proxy

KEY = "sk_test_contract4242"
WRONG_KEY = "rk_test_nobodys4242"


class StripeContract(RefundAdapterContract):
    """`StripeAdapter` on a server. Payments are PaymentIntents unless a subclass says otherwise."""

    secrets: ClassVar[tuple[str, ...]] = (KEY, WRONG_KEY, KEY[-4:])
    key: ClassVar[str] = KEY
    drops: ClassVar[frozenset[str]] = frozenset()
    proxy: ClassVar[LossyProxy]
    http: ClassVar[httpx.Client]

    @classmethod
    def start_server(cls) -> AbstractContextManager[str]:
        """Run the server; give its address."""
        raise NotImplementedError

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls) -> Iterator[None]:
        with (
            cls.start_server() as url,
            lossy_proxy(url, cls.drops) as cls.proxy,
            httpx.Client(base_url=cls.proxy.url, timeout=20) as cls.http,
        ):
            yield

    def make_adapter(self) -> StripeAdapter:
        return StripeAdapter(self.key, base_url=self.proxy.url, timeout=20)

    def make_adapter_with_wrong_credential(self) -> StripeAdapter:
        return StripeAdapter(WRONG_KEY, base_url=self.proxy.url)

    def make_unreachable_adapter(self) -> StripeAdapter:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return StripeAdapter(self.key, base_url=f"http://127.0.0.1:{port}")

    def make_payment(self, amount: Money) -> PaymentRef:
        return self.pay(amount, "pm_card_visa")

    def make_payment_that_bounces(self, amount: Money) -> PaymentRef:
        return self.pay(amount, "pm_card_refundFail")

    def make_disputed_payment(self, amount: Money) -> PaymentRef:
        return self.pay(amount, "pm_card_createDispute")

    def not_there(self, amount: Money) -> PaymentRef:
        """Stand in for a hook that a server has no means for."""
        raise NotImplementedError(f"{type(self).__name__} cannot make such a payment")

    def lose_next_response(self) -> None:
        self.proxy.lose_next_response()

    def refund_externally(self, ref: PaymentRef, amount: Money) -> None:
        self.post("/v1/refunds", {ref.kind: ref.id, "amount": str(amount.minor)})

    def pay(self, amount: Money, method: str) -> PaymentRef:
        """Pay with one of Stripe's test cards."""
        form = {
            "amount": str(amount.minor),
            "currency": amount.currency.lower(),
            "payment_method": method,
            "payment_method_types[0]": "card",
            "confirm": "true",
        }
        return PaymentRef("payment_intent", self.post("/v1/payment_intents", form)["id"])

    def post(self, path: str, form: dict[str, str]) -> dict[str, Any]:
        """Do something that is no business of the adapter's."""
        headers = {"authorization": f"Bearer {self.key}"}
        answer = self.http.post(path, data=form, headers=headers)
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()
        return content
