"""`ShopifyAdapter`, held to the contract on the stand-in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import ClassVar

import pytest
from starlette.applications import Starlette

from dispatch_returns.money import Money
from dispatch_returns.refunds import PaymentRef, ShopifyAdapter
from dispatch_returns.testing import RefundAdapterContract
from dispatch_sandbox.shops import SHOPIFY_TOKEN, ShopFault, ShopifyState, shopify_routes
from tests.support.stripe_sandbox import serving

WRONG = "shpat_nobodys"


class TestShopify(RefundAdapterContract):
    secrets: ClassVar = (SHOPIFY_TOKEN, WRONG)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls) -> Iterator[None]:
        cls.shop = ShopifyState()
        with serving(Starlette(routes=shopify_routes(cls.shop))) as cls.url:
            yield

    shop: ClassVar[ShopifyState]
    url: ClassVar[str]

    def make_adapter(self) -> ShopifyAdapter:
        return ShopifyAdapter(self.url, SHOPIFY_TOKEN, webhook_secrets=["s"])

    def make_adapter_with_wrong_credential(self) -> ShopifyAdapter:
        return ShopifyAdapter(self.url, WRONG)

    def make_unreachable_adapter(self) -> ShopifyAdapter:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return ShopifyAdapter(f"http://127.0.0.1:{port}", SHOPIFY_TOKEN)

    def make_payment(self, amount: Money) -> PaymentRef:
        return PaymentRef("reference", self.shop.pay(f"{amount.major:f}", amount.currency))

    def make_payment_that_bounces(self, amount: Money) -> PaymentRef:
        ref = self.make_payment(amount)
        self.shop.bounce(ref.id)
        return ref

    def make_disputed_payment(self, amount: Money) -> PaymentRef:
        ref = self.make_payment(amount)
        self.shop.dispute(ref.id)
        return ref

    def refund_externally(self, ref: PaymentRef, amount: Money) -> None:
        self.shop.refund_externally(ref.id, f"{amount.major:f}")

    def lose_next_response(self) -> None:
        self.shop.faults.add(ShopFault("lost_answer"))
