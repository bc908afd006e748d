"""Who looks at a return: a person, or a queue, which is a category of Dispatch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import dispatch_sandbox
from dispatch_returns.client import DispatchClient, Style
from dispatch_returns.returns.policy.verdict import Outcome
from dispatch_returns.returns.steps.assignment import Reviewers
from tests.support.desk import Clock
from tests.support.returns_shop import ReturnsShop


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[ReturnsShop]:
    shop = ReturnsShop(box, tmp_path)
    shop.merchant.rules.outcome = Outcome.REVIEW
    yield shop
    shop.box.state.faults.clear()
    for category in shop.client.categories.list():
        shop.client.categories.delete(category.id)
    shop.close()


def test_a_return_for_a_queue_is_put_there_together_with_its_status(shop: ReturnsShop) -> None:
    shop.client.categories.create(name="Risk")
    customs = shop.client.categories.create(name="Customs")
    shop.merchant.rules.assignee = "queue:Customs"
    ticket = shop.ask()
    found = shop.now(ticket)
    assert (found.status, found.category_id) == ("needs_review", customs.id)
    assert found.assignee_id is None
    assert len(shop.notes(ticket)) == 1, "nothing is wrong"
    (status,) = [it for it in shop.decisions(ticket) if it.outcome == "needs_review"]
    assert status.why == "All is well."


def test_a_queue_that_is_not_there_is_said_and_keeps_no_return_from_people(
    shop: ReturnsShop,
) -> None:
    shop.merchant.rules.assignee = "queue:Customs"
    ticket = shop.ask()
    found = shop.now(ticket)
    assert (found.status, found.category_id, found.assignee_id) == ("needs_review", None, None)
    _, note = shop.notes(ticket)
    assert note.startswith("There is no queue Customs: make a category of that name in Dispatch")
    assert "dispatch-returns setup" in note
    (status,) = [it for it in shop.decisions(ticket) if it.outcome == "needs_review"]
    assert status.why is not None
    assert status.why.startswith("All is well. There is no queue Customs")
    assert shop.merchant.notifier.kinds == ["requested", "in_review"]


def test_a_queue_that_was_made_meanwhile_is_found(shop: ReturnsShop) -> None:
    shop.merchant.rules.assignee = "queue:Customs"
    shop.ask()
    customs = shop.client.categories.create(name="Customs")
    assert shop.now(shop.ask()).category_id == customs.id


def test_categories_are_read_once_for_a_while(shop: ReturnsShop) -> None:
    first = shop.client.categories.create(name="Customs")
    shop.merchant.rules.assignee = "queue:Customs"
    assert shop.now(shop.ask()).category_id == first.id
    shop.fault(status=503, times=None, match={"path": "*/categories"})
    assert shop.now(shop.ask()).category_id == first.id, "read again"
    shop.box.state.faults.clear()
    shop.client.categories.delete(first.id)
    second = shop.client.categories.create(name="Customs")
    shop.clock.turn(minutes=6)
    assert shop.now(shop.ask()).category_id == second.id


@pytest.mark.parametrize("status", [403, 404])
def test_a_key_that_may_not_read_categories_keeps_no_return_from_people(
    shop: ReturnsShop, status: int
) -> None:
    shop.merchant.rules.assignee = "queue:Customs"
    shop.fault(status=status, match={"path": "*/categories"})
    ticket = shop.ask()
    assert shop.status(ticket) == "needs_review"
    said = shop.notes(ticket)[1]
    assert "The queue Customs could not be looked up" in said
    assert f"answered {status}" in said


def test_what_cannot_be_read_now_is_read_later(shop: ReturnsShop) -> None:
    customs = shop.client.categories.create(name="Customs")
    shop.merchant.rules.assignee = "queue:Customs"
    shop.fault(status=503, times=None, match={"path": "*/categories"})
    ticket = shop.ask()
    assert shop.status(ticket) == "eligibility_check"
    shop.box.state.faults.clear()
    shop.work(minutes=10)
    found = shop.now(ticket)
    assert (found.status, found.category_id) == ("needs_review", customs.id)
    assert shop.story(ticket).count("eligibility review") == 1


def test_after_long_it_goes_to_people_without_its_queue(shop: ReturnsShop) -> None:
    shop.client.categories.create(name="Customs")
    shop.merchant.rules.assignee = "queue:Customs"
    shop.fault(status=503, times=None, match={"path": "*/categories"})
    ticket = shop.ask()
    for _ in range(14):
        shop.work(hours=1)
    assert shop.status(ticket) == "needs_review"
    assert "answered 503" in shop.notes(ticket)[1]


@pytest.mark.parametrize("style", get_args(Style))
def test_both_styles_write_the_queue(box: dispatch_sandbox.Sandbox, style: Style) -> None:
    with DispatchClient(
        dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url, style=style
    ) as client:
        ticket = client.tickets.create(subject="Return", customer_email="jane@example.com")
        category = client.categories.create(name="Customs & Duties")
        reviewers = Reviewers(client, Clock())
        given, wrong = reviewers.find("queue:customs & duties", patient=True)
        found = client.tickets.update(ticket.id, priority="high", **given)
        client.categories.delete(category.id)
    assert (found.category_id, found.priority, wrong) == (category.id, "high", None)


def test_of_two_names_in_other_capitals_the_exact_one_counts(shop: ReturnsShop) -> None:
    shop.client.categories.create(name="customs")
    exact = shop.client.categories.create(name="Customs")
    shop.merchant.rules.assignee = "queue:Customs"
    assert shop.now(shop.ask()).category_id == exact.id


def test_a_refused_reviewer_is_left_out_and_the_rest_is_written(
    shop: ReturnsShop,
) -> None:
    shop.merchant.rules.outcome = Outcome.REVIEW
    shop.merchant.rules.assignee = "no such person"
    ticket = shop.ask_only("SKU-001")
    shop.set(ticket, "eligibility_check")
    shop.fault(status=422, match={"method": "PATCH"})
    shop.arrive(ticket)
    found = shop.now(ticket)
    assert (found.status, found.assignee_id) == ("needs_review", None)
    (wrong,) = [note for note in shop.notes(ticket) if "Dispatch does not accept" in note]
    assert wrong.startswith("Dispatch does not accept no such person as assignee: name")
