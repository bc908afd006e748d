"""The providers under the contract of `LabelProvider`: printed, EasyPost, Shippo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from dispatch_returns.returns.labels import registry
from dispatch_returns.returns.labels.printable import PrintableLabels
from dispatch_returns.returns.labels.provider import LabelProvider
from dispatch_returns.testing import LabelProviderContract
from tests.support.ports import free_port
from tests.support.postage_server import KEY, PostageServer, postage_server

NOTHING_IS_KEPT = "it is printed again, and nothing is kept"
NOBODY_IS_ASKED = "nobody is asked"


class TestPrintable(LabelProviderContract):
    cannot: ClassVar = {
        "test_the_same_key_twice_is_one_label": "nothing is sold, so nothing can be counted",
        "test_nothing_is_found_before_a_purchase": NOTHING_IS_KEPT,
        "test_an_unknown_label_cannot_be_voided": NOTHING_IS_KEPT,
        "test_a_lost_answer_is_unknown_and_the_label_is_found": NOBODY_IS_ASKED,
        "test_a_wrong_credential_is_refused": NOBODY_IS_ASKED,
        "test_an_unreachable_seller_is_asked_again": NOBODY_IS_ASKED,
    }

    def make_provider(self) -> PrintableLabels:
        return PrintableLabels()


class _Sold(LabelProviderContract):
    name: ClassVar[str]
    base: ClassVar[str] = ""
    buy_call: ClassVar[str]
    secrets = (KEY, "wrong_s3cret")
    server: PostageServer

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with postage_server() as self.server:
            yield

    def make(self, key: str = KEY, url: str | None = None) -> LabelProvider:
        base_url = f"{url or self.server.url}{self.base}"
        return registry.load(self.name, {"api_key": key, "base_url": base_url, "timeout": "5"})

    def make_provider(self) -> LabelProvider:
        return self.make()

    def make_provider_with_wrong_credential(self) -> LabelProvider:
        return self.make("wrong_s3cret")

    def make_unreachable_provider(self) -> LabelProvider:
        return self.make(url=f"http://127.0.0.1:{free_port()}")

    def lose_next_purchase(self) -> None:
        self.server.faults[self.buy_call] = "lose"

    def sold(self) -> int:
        return len(self.server.sales)


class TestEasyPost(_Sold):
    name = "easypost"
    base = "/v2"
    buy_call = "/buy"


class TestShippo(_Sold):
    name = "shippo"
    buy_call = "POST /transactions"
