"""What EasyPost and Shippo answer, and what follows: against a stand-in of both."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from dispatch_returns.errors import ConfigurationError, LabelError
from dispatch_returns.money import Money
from dispatch_returns.returns.labels import registry
from dispatch_returns.returns.labels.provider import Address, LabelProvider
from tests.support.label_requests import CUSTOMER, label_request
from tests.support.postage_server import KEY, PDF, PostageServer, postage_server

CALLS = {
    "easypost": {"look": "GET /v2/shipments", "draft": "POST /v2/shipments", "buy": "/buy"},
    "shippo": {"look": "GET /shipments", "draft": "POST /shipments", "buy": "POST /transactions"},
}
REQUEST = label_request(created_at=datetime.now(UTC))


@pytest.fixture
def server() -> Iterator[PostageServer]:
    with postage_server() as server:
        yield server


@pytest.fixture(params=["easypost", "shippo"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(name: str, server: PostageServer, **options: str) -> LabelProvider:
    base_url = server.url + ("/v2" if name == "easypost" else "")
    return registry.load(name, {"api_key": KEY, "base_url": base_url, "timeout": "5"} | options)


def error_of(provider: LabelProvider, request: Any = REQUEST) -> LabelError:
    with pytest.raises(LabelError) as caught:
        provider.buy(request)
    assert "jane" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def test_the_cheapest_rate_is_bought(name: str, server: PostageServer) -> None:
    label = make(name, server, valid_days="10").buy(REQUEST)
    assert label.cost == Money(758, "USD")
    assert label.pdf == PDF
    assert (label.carrier, label.tracking_number) == ("USPS", "9400100000000000000000")
    assert label.tracking_url == "https://track.example.com/1"
    assert label.expires_at is not None
    assert 9 <= (label.expires_at - datetime.now(UTC)).days <= 10


def test_a_service_can_be_chosen(name: str, server: PostageServer) -> None:
    service = {"easypost": "ups/ground", "shippo": "UPS/ups_ground"}[name]
    assert make(name, server, service=service).buy(REQUEST).cost == Money(1210, "USD")
    other = replace(REQUEST, key="other")
    assert "offers UPS/" in str(error_of(make(name, server, service="DHL/Express"), other))
    assert len(server.sales) == 1


@pytest.mark.parametrize("step", ["look", "draft", "buy"])
@pytest.mark.parametrize(
    ("answer", "means"),
    [
        (403, (False, False)),
        (422, (False, False)),
        (429, (True, False)),
        (500, (True, True)),
        ("lose", (True, True)),
        ("garbage", (True, True)),
    ],
)
def test_each_failure_says_what_may_have_happened(
    step: str, answer: int | str, means: tuple[bool, bool], name: str, server: PostageServer
) -> None:
    server.faults[CALLS[name][step]] = answer
    error = error_of(make(name, server))
    retryable, unknown = means
    assert (error.retryable, error.unknown) == (retryable, unknown and step == "buy")
    assert len(server.calls) == {"look": 1, "draft": 2, "buy": 3}[step]
    again = make(name, server)
    label = again.find(REQUEST)
    assert (label is not None) is (step == "buy" and answer in {"lose", "garbage"})
    assert again.buy(REQUEST).pdf == PDF
    assert len(server.sales) == 1


def test_a_lost_draft_is_used_and_not_made_again(name: str, server: PostageServer) -> None:
    server.faults[CALLS[name]["draft"]] = "lose"
    provider = make(name, server)
    error_of(provider)
    provider.buy(REQUEST)
    assert len(server.shipments) == 1


def test_a_label_is_found_among_many(name: str, server: PostageServer) -> None:
    provider = make(name, server)
    label = provider.buy(REQUEST)
    for number in range(5):
        provider.buy(replace(REQUEST, key=f"other {number}"))
    assert provider.find(REQUEST) == label


def test_two_drafts_of_one_key_are_for_a_person(name: str, server: PostageServer) -> None:
    provider = make(name, server)
    server.faults[CALLS[name]["draft"]] = "lose"
    error_of(provider)
    (shipment,) = server.shipments.values()
    server.shipments["late"] = dict(shipment)
    assert error_of(provider).unknown
    assert server.sales == []


def test_a_label_that_cannot_be_fetched_is_not_forgotten(name: str, server: PostageServer) -> None:
    server.faults[".pdf"] = 500
    provider = make(name, server)
    error = error_of(provider)
    assert (error.retryable, error.unknown) == (True, True)
    assert provider.find(REQUEST) is not None
    server.faults[".pdf"] = "garbage"
    with pytest.raises(LabelError, match="it is not a PDF"):
        provider.find(REQUEST)
    assert len(server.sales) == 1


def test_a_voided_label_is_not_handed_out_again(name: str, server: PostageServer) -> None:
    provider = make(name, server)
    assert provider.void(provider.buy(REQUEST).id)
    assert "voided" in str(error_of(provider))
    with pytest.raises(LabelError, match="voided"):
        provider.find(REQUEST)


def test_what_is_missing_is_said_before_a_call(name: str, server: PostageServer) -> None:
    provider = make(name, server)
    assert "customer's address" in str(error_of(provider, replace(REQUEST, sender=None)))
    assert f"{name.upper()}_WEIGHT" in str(error_of(provider, replace(REQUEST, weight=None)))
    assert server.calls == []
    assert make(name, server, weight="500").buy(replace(REQUEST, weight=None)).pdf == PDF


@pytest.mark.parametrize(
    ("word", "says", "unknown"),
    [
        ("INVALID", "customer's address is not valid", False),
        ("ERROR", "carrier_says_no", False),
        ("QUEUED", "under way", True),
    ],
)
def test_shippos_own_endings(word: str, says: str, unknown: bool, server: PostageServer) -> None:
    sender = Address("Jane Doe", f"{word} 1", "Redondo Beach", "90277", "US", state="CA")
    provider = make("shippo", server)
    error = error_of(provider, replace(REQUEST, sender=sender))
    assert says in str(error)
    assert error.unknown is unknown
    if unknown:
        with pytest.raises(LabelError, match="under way"):
            provider.find(REQUEST)


def test_addresses_are_checked_unless_switched_off(server: PostageServer) -> None:
    make("easypost", server).buy(REQUEST)
    make("easypost", server, check_addresses="off").buy(replace(REQUEST, key="other"))
    checked, unchecked = (b["shipment"]["from_address"] for b in server.bodies if "shipment" in b)
    assert checked["verify_strict"] == ["delivery"]
    assert "verify_strict" not in unchecked
    assert checked["zip"] == CUSTOMER.postal_code


def test_an_easypost_label_that_exists_is_looked_for(server: PostageServer) -> None:
    server.faults["/buy"] = "lose"
    provider = make("easypost", server)
    error_of(provider)
    provider.buy(REQUEST)
    assert len(server.sales) == 1


def test_no_log_holds_a_key_or_a_customer(
    name: str, server: PostageServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        make(name, server).buy(REQUEST)
    assert caplog.text == ""


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": ""},
        {"api_key": "a b"},
        {"timeout": "0"},
        {"timeout": "soon"},
        {"weight": "1.5"},
        {"weight": "-1"},
        {"valid_days": "0"},
        {"length": "0"},
    ],
)
def test_a_wrong_setting_is_refused(
    options: dict[str, str], name: str, server: PostageServer
) -> None:
    with pytest.raises(ConfigurationError):
        make(name, server, **options)
