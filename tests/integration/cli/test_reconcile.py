"""``reconcile`` as a person and a program see it."""

from __future__ import annotations

import csv
import io

import httpx
import pytest

from dispatch_returns.cli.output import spreadsheet_cell
from dispatch_sandbox.stripe import API_KEY
from tests.support.cli import Shop


def late_failure(shop: Shop) -> str:
    """A ticket whose refund has failed at Stripe since."""
    payment = shop.pay()
    ticket = shop.ticket(payment_intent=payment)
    shop.refund(ticket)
    state = shop.box.state.stripe
    with state.lock:
        (refund,) = state.book().refunds.values()
        state.book().end(refund, "failed", "lost_or_stolen_card")
    return ticket


def test_books_that_agree(shop: Shop) -> None:
    shop.refund(shop.ticket(payment_intent=shop.pay()))
    said = shop.run("reconcile")
    assert (said.code, said.err) == (0, "")
    assert "No discrepancies." in said.out
    assert "Compared: 1 tickets, 1 rows, 1 refunds." in said.out
    assert shop.run("reconcile", "--json").json == {
        "lines": {"tickets": 1, "rows": 1, "refunds": 1},
        "count": 0,
        "open": 0,
        "not_compared": {},
        "discrepancies": [],
    }


def test_each_difference_has_its_cause_and_remedy(shop: Shop) -> None:
    failed = late_failure(shop)
    never = shop.ticket(payment_intent=shop.pay())
    said = shop.run("reconcile")
    assert said.code == 1
    for wanted in (
        failed,
        never,
        "failed later: The refund failed at the processor later. Run with --fix:",
        "never entered: The ticket is refunded, but its event never arrived.",
        "Discrepancies: 2, open: 2.",
    ):
        assert wanted in said.text
    found = shop.run("reconcile", "--json")
    assert found.code == 1
    causes = {it["ticket"]: it["cause"] for it in found.json["discrepancies"]}
    assert causes == {failed: "failed_later", never: "never_entered"}
    lines = list(csv.DictReader(io.StringIO(shop.run("reconcile", "--csv").out)))
    assert {it["ticket"]: it["cause"] for it in lines} == causes
    assert all(it["remedy"].startswith("Run with --fix") for it in lines)


def test_fix_puts_right_what_is_safe_and_pays_nothing_itself(shop: Shop) -> None:
    failed = late_failure(shop)
    never = shop.ticket(payment_intent=shop.pay())
    said = shop.run("reconcile", "--fix", "--by", "Ann", "--why", "the webhook was off")
    (act,) = shop.offline("audit-log", "--json").json["actions"]
    assert (act["action"], act["who"], act["subject"]) == (
        "fix",
        "Ann",
        "reconcile since the beginning",
    )
    assert said.code == 0
    assert "Discrepancies: 2, open: 0." in said.text
    assert (shop.row(failed).state, shop.row(never).state) == ("failed", "requested")
    shop.work()
    assert shop.row(never).state == "succeeded"
    assert shop.run("reconcile").code == 0
    listed = httpx.get(f"{shop.box.url}/v1/refunds", auth=(API_KEY, ""), trust_env=False)
    assert len(listed.json()["data"]) == 2


@pytest.mark.parametrize(
    ("since", "code"), [("1d", 1), ("12h", 1), ("2020-01-31", 1), ("2099-01-01T00:00", 0)]
)
def test_only_a_time_can_be_compared(shop: Shop, since: str, code: int) -> None:
    late_failure(shop)
    assert shop.run("reconcile", "--since", since).code == code
    assert shop.run("reconcile", "--until", "2020-01-01").code == 0


def test_a_time_that_is_none_is_a_usage_error(shop: Shop) -> None:
    said = shop.run("reconcile", "--since", "yesterday", "--json")
    assert said.code == 2
    assert "--since: write 7d, 12h or 2026-01-31" in said.json["error"]["message"]
    assert shop.run("reconcile", "--json", "--csv").code == 2


def test_an_adapter_that_cannot_list_and_a_processor_that_is_away(shop: Shop) -> None:
    by_hand = {
        "DISPATCH_RETURNS_ADAPTERS": "manual",
        "DISPATCH_RETURNS_DATABASE_URL": f"sqlite:///{shop.folder}/by-hand.db",
    }
    assert shop.run("db", "upgrade", **by_hand).code == 0
    said = shop.run("reconcile", "--json", **by_hand)
    assert said.code == 1
    assert "the adapter manual cannot list its refunds" in said.json["error"]["message"]
    away = shop.run("reconcile", "--json", STRIPE_BASE_URL="http://127.0.0.1:1")
    assert away.code == 4
    assert away.json["error"]["type"] == "AdapterError"


def test_looking_makes_no_database(bare_shop: Shop) -> None:
    assert bare_shop.run("reconcile").code == 4
    assert list(bare_shop.folder.iterdir()) == []


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert spreadsheet_cell(text).startswith("'")
    assert spreadsheet_cell("tkt_1") == "tkt_1"
    assert spreadsheet_cell("\t=1") == "\\x09=1", "what commands a terminal is shown"
