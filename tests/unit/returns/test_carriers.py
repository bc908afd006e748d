"""Labels bought from EasyPost and Shippo by the running workflow, at a stand-in for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns.connector.build import address_of
from dispatch_returns.errors import ConfigurationError, OrderError
from dispatch_returns.returns.label_records import LabelState
from dispatch_returns.returns.labels import registry
from dispatch_returns.returns.labels.provider import Address
from dispatch_returns.returns.notifications.comments import TicketComments
from dispatch_returns.returns.notifications.rendering import Templates
from tests.support.postage_server import KEY, PostageServer, postage_server
from tests.support.returns import Merchant, Orders, order
from tests.support.returns_shop import ReturnsShop
from tests.support.workshop import EMAIL

JANE = Address("Jane Doe", "179 N Harbor Dr", "Redondo Beach", "90277", "US", state="CA")
RETURNS = address_of("Acme; 417 Montgomery St; 94104; San Francisco; CA; US")
Open = Callable[..., ReturnsShop]


class Died(BaseException):
    """The worker is gone."""


@pytest.fixture
def server() -> Iterator[PostageServer]:
    with postage_server() as server:
        yield server


@pytest.fixture(params=["easypost", "shippo"])
def seller(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shop(
    box: dispatch_sandbox.Sandbox, tmp_path: Path, server: PostageServer, seller: str
) -> Iterator[ReturnsShop]:
    base_url = server.url + ("/v2" if seller == "easypost" else "")
    options = {"api_key": KEY, "base_url": base_url, "weight": "950", "timeout": "5"}
    parts = {"labels": registry.load(seller, options), "recipient": RETURNS}
    merchant = Merchant(orders=Orders({"1234": known_order()}))
    with closing(ReturnsShop(box, tmp_path, merchant, parts)) as shop:
        yield shop


def known_order(address: Address | None = JANE, weight: int | None = 400) -> Any:
    whole = order(SKU_001="149.00", SKU_002="20.00")
    lines = tuple(replace(it, weight=weight, title=f"Article {it.sku}") for it in whole.lines)
    return replace(whole, lines=lines, address=address, customer_email=EMAIL)


def drafted(server: PostageServer) -> dict[str, Any]:
    """The shipment that was drafted, from the one request that drafts."""
    (body,) = [
        body
        for call, body in zip(server.calls, server.bodies, strict=True)
        if call.endswith("POST /shipments") or call == "POST /v2/shipments"
    ]
    return dict(body.get("shipment", body))


def test_a_return_has_one_label_bought_and_attached(
    shop: ReturnsShop, server: PostageServer, seller: str
) -> None:
    ticket = shop.ask("SKU-001", "SKU-001", "SKU-002")
    assert shop.status(ticket) == "label_sent"
    assert len(server.sales) == 1
    (label,) = shop.labels(ticket)
    (attached,) = shop.client.attachments.list(ticket.id)
    assert (label.provider, label.attachment_id) == (seller, attached.id)
    asked = drafted(server)
    sender = asked["from_address" if seller == "easypost" else "address_from"]
    recipient = asked["to_address" if seller == "easypost" else "address_to"]
    assert (sender["street1"], sender["zip"], sender["state"]) == (JANE.street, "90277", "CA")
    assert (recipient["city"], recipient["state"]) == ("San Francisco", "CA")
    shop.put(ticket, "approved")
    assert len(server.sales) == 1


@pytest.mark.parametrize(("each", "grams"), [(400, 1200), (None, 950)])
def test_the_parcel_weighs_its_lines_or_what_the_settings_say(
    shop: ReturnsShop, server: PostageServer, seller: str, each: int | None, grams: int
) -> None:
    shop.merchant.orders.known["1234"] = known_order(weight=each)
    shop.ask("SKU-001", "SKU-001", "SKU-002")
    asked = drafted(server)
    if seller == "easypost":
        assert asked["parcel"]["weight"] == pytest.approx(grams / 28.3495, abs=0.06)
    else:
        assert (asked["parcels"][0]["weight"], asked["parcels"][0]["mass_unit"]) == (
            str(grams),
            "g",
        )


def test_a_worker_that_dies_after_the_purchase_buys_no_second_label(
    shop: ReturnsShop, server: PostageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = type(shop.store).write

    def dies(store: Any, name: str, *given: Any, **more: Any) -> Any:
        if name == "label.bought":
            raise Died
        return write(store, name, *given, **more)

    ticket = shop.ask_only("SKU-001")
    with monkeypatch.context() as patched:
        patched.setattr(type(shop.store), "write", dies)
        with pytest.raises(Died):
            shop.arrive(ticket)
    assert len(server.sales) == 1
    shop.work(hours=1)
    assert len(server.sales) == 1
    assert shop.status(ticket) == "label_sent"
    (label,) = shop.labels(ticket)
    assert label.state is LabelState.BOUGHT
    assert len(shop.client.attachments.list(ticket.id)) == 1


def test_without_the_customers_address_a_person_looks_at_once(
    shop: ReturnsShop, server: PostageServer, seller: str
) -> None:
    shop.merchant.orders.known["1234"] = known_order(address=None)
    ticket = shop.ask("SKU-001")
    assert shop.status(ticket) == "needs_review"
    note = shop.notes(ticket)[-1]
    assert f"{seller} needs the customer's address" in note
    assert "add it in the shop system" in note
    assert "set the status to approved again" in note
    assert server.sales == []
    shop.merchant.orders.known["1234"] = known_order()
    shop.put(ticket, "approved")
    assert (shop.status(ticket), len(server.sales)) == ("label_sent", 1)


def test_the_address_is_not_kept_here(shop: ReturnsShop, tmp_path: Path) -> None:
    shop.ask("SKU-001")
    kept = b"".join(it.read_bytes() for it in tmp_path.rglob("*") if it.is_file())
    assert b"SKU-001" in kept
    assert b"Harbor" not in kept
    assert b"90277" not in kept


def test_what_is_printed_needs_no_address(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> None:
    printable = registry.load("printable", {})
    merchant = Merchant(orders=Orders({"1234": known_order(address=None)}))
    with closing(ReturnsShop(box, tmp_path, merchant, {"labels": printable})) as shop:
        ticket = shop.ask("SKU-001")
        assert shop.status(ticket) == "label_sent"
        assert len(shop.client.attachments.list(ticket.id)) == 1


def test_the_packing_slip_says_what_the_articles_are_called(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    merchant = Merchant(orders=Orders({"1234": known_order()}))
    with closing(ReturnsShop(box, tmp_path, merchant)) as shop:
        shop.ask("SKU-002", "SKU-9")
        (asked,) = merchant.labels.bought
    assert [(it.sku, it.title) for it in asked.lines] == [
        ("SKU-002", "Article SKU-002"),
        ("SKU-9", None),
    ]
    assert (asked.sender, asked.weight) == (JANE, None)  # nobody knows what SKU-9 weighs


def test_a_shop_system_that_is_away_is_asked_again(
    shop: ReturnsShop, server: PostageServer
) -> None:
    ticket = shop.ask_only("SKU-001")
    shop.set(ticket, "approved")
    shop.merchant.orders.error = OrderError("away", retryable=True)
    shop.arrive(ticket)
    assert (shop.status(ticket), server.sales) == ("approved", [])
    shop.merchant.orders.error = None
    shop.work(minutes=5)
    assert (shop.status(ticket), len(server.sales)) == ("label_sent", 1)


def test_an_order_that_cannot_be_read_stops_no_printed_label(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    parts = {"labels": registry.load("printable", {})}
    merchant = Merchant(orders=Orders(error=OrderError("line 1: price: is missing")))
    with closing(ReturnsShop(box, tmp_path, merchant, parts)) as shop:
        ticket = shop.ask_only("SKU-001")
        shop.put(ticket, "approved")
        assert shop.status(ticket) == "label_sent"


@pytest.mark.parametrize("kept", [True, False])
def test_a_comment_says_attached_only_where_the_label_is_on_the_ticket(
    box: dispatch_sandbox.Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    if not kept:
        monkeypatch.setattr(
            "dispatch_returns.returns.steps.labelling.Labelling._attached",
            lambda _self, _now, label: label,
        )
    with closing(ReturnsShop(box, tmp_path)) as shop:
        ticket = shop.ask("SKU-001")
        notification = next(it for it in shop.merchant.notifier.told if it.kind == "label_sent")
        assert notification.facts.get("label_attached") is (True if kept else None)
        TicketComments(shop.client, Templates(shop="Acme")).send(notification)
        body = next(it.body for it in shop.comments(ticket) if "label" in it.body)
        assert ("attached" in body) is kept


@pytest.mark.parametrize(
    ("text", "state"),
    [("Acme; Dock 3; 12345; Springfield; us", None), ("A; D; 62701; Springfield; IL; US", "IL")],
)
def test_a_return_address_may_have_a_state(text: str, state: str | None) -> None:
    address = address_of(text)
    assert (address.city, address.state, address.country) == ("Springfield", state, "US")


@pytest.mark.parametrize(
    "text", ["A; D; 1; S", "A; D; 1; S; ; US", "A; D; 1; S; IL; USA", "A;B;C;D;E;F;US"]
)
def test_what_is_no_return_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="DISPATCH_RETURNS_RETURN_ADDRESS"):
        address_of(text)
