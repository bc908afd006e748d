"""The story of a return: everything the store has of it, in order, and as a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import dispatch_sandbox
from dispatch_returns.returns.policy.verdict import Outcome
from dispatch_returns.returns.steps.statuses import StatusNames
from dispatch_returns.returns.timeline import page
from dispatch_returns.returns.timeline.story import Story, story_of
from tests.support.cli import run
from tests.support.desk import NOW
from tests.support.returns_shop import ReturnsShop
from tests.support.workshop import EMAIL


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[ReturnsShop]:
    shop = ReturnsShop(box, tmp_path)
    yield shop
    shop.close()


def story(shop: ReturnsShop, **fields: str) -> Story:
    """A return that went to a person, arrived damaged and was paid back in part."""
    shop.merchant.rules.outcome = Outcome.REVIEW
    shop.merchant.rules.why = "<script>alert(1)</script> & more"
    ticket = shop.ask(**fields)
    shop.clock.turn(hours=3)
    shop.put(ticket, "approved")
    shop.clock.turn(days=4)
    shop.connector.returns.receive(ticket.id, condition="damaged", who="Bob, gate 3")
    shop.work()
    shop.work(minutes=1)
    with shop.store.read() as conn:
        return story_of(conn, shop.row(ticket))


def test_the_story_has_every_step_decision_parcel_payment_and_message(shop: ReturnsShop) -> None:
    found = story(shop)
    assert [it.title for it in found.moments if it.kind == "step"] == [
        "return_requested",
        "eligibility_check",
        "needs_review",
        "approved",
        "label_sent",
        "item_received",
        "refunded",
    ]
    titles = [f"{it.kind}: {it.title}" for it in found.moments]
    for wanted in (
        "decision: policy: review",
        "decision: label: sent",
        "parcel: package 1 arrived on 2024-01-19",
        "parcel: package 1: accepted",
        "money: refund of 74.50 USD entered",
        "money: refund: succeeded",
        "message: notification sent: approved",
        "message: note for agents",
    ):
        assert wanted in titles
    assert [it.at for it in found.moments] == sorted(it.at for it in found.moments)
    (arrived,) = [it for it in found.moments if it.title.startswith("package 1 arrived")]
    assert (arrived.who, arrived.lines) == ("Bob, gate 3", ("1 x SKU-001, damaged",))
    (somebody,) = [it for it in found.moments if it.title == "approved"]
    assert somebody.who == "someone in Dispatch"
    assert found.facts["refund"] == "74.50 USD (succeeded)"


def test_the_page_needs_nothing_else_and_escapes_what_comes_from_outside(
    shop: ReturnsShop,
) -> None:
    html = page.render(story(shop), StatusNames(), NOW)
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in html
    assert re.findall(r"(?:src|href|url)\s*[=(]", html) == []
    assert EMAIL not in html
    for wanted in (
        "74.50 USD",
        "Bob, gate 3",
        "notification sent: label sent",
        "1 return requested",
    ):
        assert wanted in html


def test_the_command_shows_it_writes_the_page_and_speaks_json(
    shop: ReturnsShop, tmp_path: Path
) -> None:
    number = story(shop).row.number
    url = f"sqlite:///{tmp_path}/returns.db"
    environment = {"DISPATCH_RETURNS_DATABASE_URL": url}
    said = run("timeline", number, environment=environment)
    assert said.code == 0
    assert "package 1 arrived on 2024-01-19 (Bob, gate 3)" in said.text
    target = tmp_path / "story.html"
    written = run("timeline", number, "--html", str(target), environment=environment)
    assert written.code == 0
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    document = json.loads(run("timeline", number, "--json", environment=environment).out)
    assert document["return"]["number"] == number
    assert document["moments"][0]["title"] == "return_requested"
    wrong = run("timeline", "tkt_nobody", environment=environment)
    assert (wrong.code, wrong.err) == (
        1,
        "Error: there is no return tkt_nobody: give the ticket's id, or the number on the label\n",
    )


def test_returns_are_listed_and_shown(shop: ReturnsShop, tmp_path: Path) -> None:
    row = story(shop).row
    environment = {"DISPATCH_RETURNS_DATABASE_URL": f"sqlite:///{tmp_path}/returns.db"}
    said = run("returns", "list", environment={**environment, "COLUMNS": "200"})
    assert row.number in said.out
    assert "refunded" in said.out
    none = run("returns", "list", "--step", "rejected", environment=environment)
    assert none.text == "There are no such returns."
    shown = run("returns", "show", row.ticket_id, "--json", environment=environment).json
    assert shown["return"]["step"] == "refunded"
    assert [it["state"] for it in shown["labels"]] == ["bought"]
    assert [it["amount"]["amount"] for it in shown["receipts"]] == ["74.50"]
    assert EMAIL not in json.dumps(shown)


def test_a_receipt_is_recorded_by_the_command(shop: ReturnsShop, tmp_path: Path) -> None:
    ticket = shop.ask()
    number = shop.row(ticket).number
    environment = {"DISPATCH_RETURNS_DATABASE_URL": f"sqlite:///{tmp_path}/returns.db"}
    call = ("receive", number, "--condition", "good", "--who", "Bob")
    wrong = run(*call, "--line", "SKU-001=none", environment=environment)
    assert wrong.code == 2
    said = run(*call, "--line", "SKU-001=1", "--date", "2024-02-01", environment=environment)
    assert said.code == 0
    assert "is recorded: 1 x SKU-001, good. A running worker will process it." in said.text
    again = run(*call, environment=environment)
    assert again.code == 1
    assert "has already arrived" in again.err
    shop.clock.now = datetime.now(UTC)
    shop.work()
    assert shop.status(ticket) == "refunded"
    assert shop.now(ticket).custom_fields["received_date"] == "2024-02-01"
