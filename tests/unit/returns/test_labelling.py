"""Labels: bought once whatever happens, and given back where nobody needs them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.errors import LabelError, LeaseLostError
from dispatch_returns.returns.label_records import LabelState
from tests.support.returns import WAREHOUSE, order
from tests.support.returns_shop import ReturnsShop
from tests.support.workshop import EMAIL


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[ReturnsShop]:
    shop = ReturnsShop(box, tmp_path)
    yield shop
    shop.close()


def test_a_label_is_bought_with_all_that_stands_on_it(shop: ReturnsShop) -> None:
    ticket = shop.ask("SKU-001", "SKU-001", "SKU-002")
    (request,) = shop.merchant.labels.bought
    (label,) = shop.labels(ticket)
    row = shop.row(ticket)
    assert (request.key, request.ticket_id, request.return_number) == (
        label.id,
        ticket.id,
        row.number,
    )
    assert [(it.sku, it.quantity) for it in request.lines] == [("SKU-001", 2), ("SKU-002", 1)]
    assert request.created_at == label.created_at
    assert request.send_by == (shop.clock() + timedelta(days=30)).date()
    assert (label.state, label.provider_id, str(label.cost)) == (
        LabelState.BOUGHT,
        "label_1",
        "4.95 USD",
    )
    fields = shop.now(ticket).custom_fields
    assert (fields["return_number"], fields["tracking_number"]) == (row.number, "TRACK1")


def test_a_lost_answer_buys_no_second_label(shop: ReturnsShop) -> None:
    shop.merchant.labels.loses_answers = True
    ticket = shop.connector.returns.request(
        order_id="1234", items=["SKU-001"], reason="x", customer_email=EMAIL
    )
    shop.work()
    (label,) = shop.labels(ticket)
    assert (label.state, label.error) == (LabelState.UNKNOWN, "no answer arrived")
    shop.merchant.labels.loses_answers = False
    shop.work(minutes=5)
    assert len(shop.merchant.labels.bought) == 1
    assert shop.status(ticket) == "label_sent"
    assert [it.provider_id for it in shop.labels(ticket)] == ["label_1"]


def test_a_label_that_is_asked_for_again_is_the_same_document(
    shop: ReturnsShop, tmp_path: Path
) -> None:
    merchant = shop.merchant
    merchant.labels.loses_answers = True
    ticket = shop.ask_only("SKU-001")
    shop.work()

    merchant.orders.known["1234"] = order(SKU_001="149.00", SKU_009="9.00")
    merchant.labels.loses_answers = False
    moved = {"recipient": replace(WAREHOUSE, street="Dock 4"), "language": "fr"}
    later = ReturnsShop(shop.box, tmp_path, merchant, moved, store=shop.store)
    later.set(ticket, language="de", items_to_return=["SKU-009"], return_reason="other")
    later.clock.turn(days=3)
    later.put(ticket, "return_requested")
    assert later.status(ticket) == "label_sent"
    assert [it["sku"] for it in later.row(ticket).items] == ["SKU-009"]
    (bought,), (again,) = merchant.labels.bought, merchant.labels.looked_for
    assert again == bought
    later.client.close()


def test_a_label_that_was_refused_is_bought_later_with_what_counts_then(shop: ReturnsShop) -> None:
    shop.merchant.labels.error = LabelError("no such postal code")
    ticket = shop.ask()
    (label,) = shop.labels(ticket)
    assert (label.state, label.document) == (LabelState.WANTED, None)
    shop.merchant.labels.error = None
    shop.set(ticket, language="de")
    shop.clock.turn(days=40)
    shop.put(ticket, "approved")
    (request,) = shop.merchant.labels.bought
    assert request.language == "de"
    assert request.send_by == (shop.clock() + timedelta(days=30)).date()
    (label,) = shop.labels(ticket)
    assert label.send_by == shop.clock() + timedelta(days=30)


def test_a_provider_that_refuses_is_a_persons_to_mend(shop: ReturnsShop) -> None:
    shop.merchant.labels.error = LabelError("no such postal code")
    ticket = shop.ask()
    assert shop.status(ticket) == "needs_review"
    assert "The step approved failed: no such postal code." in shop.notes(ticket)[-1]
    shop.merchant.labels.error = None
    shop.put(ticket, "approved")
    assert shop.status(ticket) == "label_sent"
    assert len(shop.merchant.labels.bought) == 1


def test_a_provider_that_is_away_is_asked_again(shop: ReturnsShop) -> None:
    shop.merchant.labels.error = LabelError("away", retryable=True)
    ticket = shop.ask()
    assert shop.status(ticket) == "approved"
    shop.merchant.labels.error = None
    shop.work(minutes=5)
    assert shop.status(ticket) == "label_sent"
    assert len(shop.labels(ticket)) == 1


def test_a_return_brought_back_to_approved_keeps_its_label(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    shop.put(ticket, "approved")
    assert shop.status(ticket) == "label_sent"
    assert len(shop.merchant.labels.bought) == 1


def test_a_rejected_return_gives_its_label_back_once_and_may_get_a_new_one(
    shop: ReturnsShop,
) -> None:
    ticket = shop.ask()
    shop.put(ticket, "rejected")
    shop.arrive(ticket)
    assert shop.merchant.labels.voided == ["label_1"]
    shop.put(ticket, "approved")
    assert [it.state for it in shop.labels(ticket)] == [LabelState.VOIDED, LabelState.BOUGHT]
    assert len({request.key for request in shop.merchant.labels.bought}) == 2


@pytest.mark.parametrize(
    ("comes_back", "state"), [(True, LabelState.VOIDED), (False, LabelState.NOT_VOIDED)]
)
def test_what_came_of_giving_it_back_is_recorded(
    shop: ReturnsShop, comes_back: bool, state: LabelState
) -> None:
    shop.merchant.labels.comes_back = comes_back
    ticket = shop.ask()
    shop.put(ticket, "rejected")
    assert [it.state for it in shop.labels(ticket)] == [state]
    assert f"label {state}" in shop.story(ticket)


def test_an_expired_label_is_not_given_back(shop: ReturnsShop) -> None:
    shop.merchant.labels.expires_at = shop.clock() + timedelta(days=10)
    ticket = shop.ask()
    shop.clock.turn(days=11)
    shop.put(ticket, "rejected")
    assert shop.merchant.labels.voided == []
    assert [it.state for it in shop.labels(ticket)] == [LabelState.EXPIRED]


def test_a_return_that_is_approved_again_gets_no_label_that_has_expired(shop: ReturnsShop) -> None:
    shop.merchant.labels.expires_at = shop.clock() + timedelta(days=10)
    ticket = shop.ask()
    shop.put(ticket, "needs_review")
    shop.clock.turn(days=11)
    shop.merchant.labels.expires_at = shop.clock() + timedelta(days=10)
    shop.put(ticket, "approved")
    assert shop.status(ticket) == "label_sent"
    assert [it.state for it in shop.labels(ticket)] == [LabelState.EXPIRED, LabelState.BOUGHT]
    assert shop.story(ticket).count("label expired") == 1
    assert shop.merchant.notifier.told[-1].facts["tracking_number"] == "TRACK2"


def test_a_label_that_may_have_been_bought_is_found_before_it_is_given_back(
    shop: ReturnsShop,
) -> None:
    shop.merchant.labels.loses_answers = True
    ticket = shop.ask()
    shop.put(ticket, "rejected")
    assert shop.merchant.labels.voided == ["label_1"]
    assert [it.state for it in shop.labels(ticket)] == [LabelState.VOIDED]


def test_another_provider_is_not_asked_for_a_label_that_may_have_been_bought(
    shop: ReturnsShop,
) -> None:
    shop.merchant.labels.loses_answers = True
    ticket = shop.ask_only("SKU-001")
    shop.work()
    shop.merchant.labels.name = "other"
    shop.merchant.labels.loses_answers = False
    shop.work(minutes=5)
    assert shop.status(ticket) == "needs_review"
    assert "a label of fake, but DISPATCH_RETURNS_LABELS is other" in shop.notes(ticket)[-1]
    assert shop.merchant.labels.looked_for == []
    shop.merchant.labels.name = "fake"
    shop.put(ticket, "approved")
    assert shop.status(ticket) == "label_sent"
    assert len(shop.merchant.labels.bought) == 1


def test_a_label_that_one_provider_refused_another_may_sell(shop: ReturnsShop) -> None:
    shop.merchant.labels.error = LabelError("no such postal code")
    ticket = shop.ask()
    shop.merchant.labels.error = None
    shop.merchant.labels.name = "other"
    shop.merchant.labels.loses_answers = True
    shop.put(ticket, "approved")
    assert [(it.state, it.provider) for it in shop.labels(ticket)] == [
        (LabelState.UNKNOWN, "other")
    ]


@pytest.mark.parametrize("now", ["other", None])
def test_a_label_is_given_back_to_who_sold_it_and_to_nobody_else(
    shop: ReturnsShop, tmp_path: Path, now: str | None
) -> None:
    merchant = shop.merchant
    ticket = shop.ask()
    merchant.labels.name = now or "fake"
    parts = {"labels": merchant.labels if now else None}
    later = ReturnsShop(shop.box, tmp_path, merchant, parts, store=shop.store)
    later.clock.turn(minutes=1)
    later.put(ticket, "rejected")
    assert merchant.labels.voided == []
    assert [it.state for it in later.labels(ticket)] == [LabelState.NOT_VOIDED]
    assert "look for the label at fake" in later.notes(ticket)[-1]
    later.client.close()


def test_without_an_address_people_send_the_labels(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    shop = ReturnsShop(box, tmp_path, parts={"recipient": None})
    ticket = shop.ask()
    assert (shop.status(ticket), shop.merchant.labels.bought) == ("approved", [])
    shop.put(ticket, "label_sent")
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    assert shop.status(ticket) == "refunded"
    shop.close()


def test_the_label_is_attached_to_the_ticket_once(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    (attached,) = shop.client.attachments.list(ticket.id)
    (label,) = shop.labels(ticket)
    assert attached.id == label.attachment_id
    assert attached.filename == f"return-label-{shop.row(ticket).number}-1.pdf"
    assert attached.content_type == "application/pdf"
    got = io.BytesIO()
    shop.client.attachments.download(ticket.id, attached.id, got)
    assert got.getvalue() == b"%PDF-1.4 a label"
    shop.put(ticket, "approved")
    assert len(shop.client.attachments.list(ticket.id)) == 1


def files(shop: ReturnsShop, ticket: Ticket) -> list[str]:
    """How each file of a ticket stands at Dispatch, where the API does not list all of them."""
    workspace = shop.box.state.workspaces[dispatch_sandbox.WORKSPACE]
    return [it["status"] for it in workspace.attachments.values() if it["ticketId"] == ticket.id]


def test_an_attachment_that_was_begun_and_not_confirmed_is_not_left_behind(
    shop: ReturnsShop,
) -> None:
    shop.fault(status=503, times=2, match={"path": "*/confirm"})
    ticket = shop.ask_only("SKU-001")
    shop.work()
    assert files(shop, ticket) == ["PENDING"]
    shop.work(minutes=5)
    shop.work(minutes=10)
    assert shop.status(ticket) == "label_sent"
    assert files(shop, ticket) == ["UPLOADED"]
    assert [it.id for it in shop.client.attachments.list(ticket.id)] == [
        label.attachment_id for label in shop.labels(ticket)
    ]


def test_an_attachment_whose_confirmation_was_lost_is_used(shop: ReturnsShop) -> None:
    confirmed = shop.store.write

    def fails(name: str, work: Any) -> Any:
        if name == "label.attached":
            raise LeaseLostError("as if the worker had died")
        return confirmed(name, work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop.store, "write", fails)
        ticket = shop.ask_only("SKU-001")
        shop.work()
    (first,) = shop.client.attachments.list(ticket.id)
    shop.work(minutes=20)
    assert shop.status(ticket) == "label_sent"
    assert files(shop, ticket) == ["UPLOADED"]
    assert [it.attachment_id for it in shop.labels(ticket)] == [first.id]


@pytest.mark.parametrize("retryable", [True, False])
def test_a_label_that_cannot_be_given_back_ends_the_return_all_the_same(
    shop: ReturnsShop, retryable: bool
) -> None:
    ticket = shop.ask()
    shop.merchant.labels.error = LabelError("it was used", retryable=retryable)
    shop.put(ticket, "rejected")
    for _ in range(20):
        shop.work(hours=1)
    assert shop.status(ticket) == "rejected"
    assert [it.state for it in shop.labels(ticket)] == [LabelState.NOT_VOIDED]
    assert "could not be voided: it was used" in shop.notes(ticket)[-1]


def test_many_workers_at_once_buy_each_label_once(shop: ReturnsShop) -> None:
    tickets = [shop.ask_only(f"SKU-{number}") for number in range(4)]
    for ticket in tickets * 3:
        shop.event(ticket.id)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: shop.connector.work_off(), range(4)))
    shop.work()
    assert {shop.status(ticket) for ticket in tickets} == {"label_sent"}
    keys = [request.key for request in shop.merchant.labels.bought]
    assert len(keys) == len(set(keys)) == 4
    for ticket in tickets:
        assert shop.story(ticket).count("eligibility approve") == 1
