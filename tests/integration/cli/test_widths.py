from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import PATIENCE, Shop


@pytest.fixture
def rows(shop: Shop) -> list[str]:
    """The tickets of two refunds, one of them held."""
    paid = shop.ticket(payment_intent=shop.pay())
    held = shop.ticket(order_id="77")
    shop.refund(paid)
    shop.refund(held)
    return [paid, held]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_what_people_copy_is_whole_at_each_width(shop: Shop, rows: list[str], width: int) -> None:
    said = shop.run("refunds", "list", COLUMNS=str(width)).out
    assert all(ticket in said for ticket in rows)
    assert "149.00 USD" in said
    assert max(map(len, said.splitlines())) <= width


def test_at_80_columns_a_refund_is_a_line_with_order_and_reason(
    shop: Shop, rows: list[str]
) -> None:
    heading, _, *lines = shop.run("refunds", "list", COLUMNS="90").out.splitlines()
    assert heading.split() == ["refund", "ticket", "order", "amount", "state", "age"]
    assert "77" in lines[0]
    assert "held: no payment" in lines[0]


def test_narrower_each_refund_is_a_paragraph(shop: Shop, rows: list[str]) -> None:
    said = shop.run("refunds", "list", COLUMNS="40").out
    assert [line.split() for line in said.splitlines() if line.startswith("ticket")] == [
        ["ticket", ticket] for ticket in reversed(rows)
    ]


def test_nothing_is_wrapped_in_a_pipe(shop: Shop, rows: list[str]) -> None:
    program = "import sys; from dispatch_returns.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {name: value for name, value in shop.settings.items() if name != "COLUMNS"}
    done = subprocess.run(
        [sys.executable, "-c", program, "doctor"],
        env=environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    (line,) = [line for line in done.stdout.splitlines() if "1 held" in line]
    assert line.split() == ["warning", "refunds", "1", "held:", "a", "person", "must", "look"]


def test_refunds_are_found_by_order_and_by_reason(shop: Shop, rows: list[str]) -> None:
    def found(*options: str) -> list[str]:
        listed = shop.run("refunds", "list", *options, "--json").json["refunds"]
        return [it["ticket_id"] for it in listed]

    assert found("--order", "77") == found("--reason", "no_payment") == [rows[1]]
    assert found("--order", "1234") == [rows[0]]


def test_the_timeline_shows_a_refund_without_a_policy(shop: Shop, rows: list[str]) -> None:
    said = shop.run("timeline", rows[0])
    assert "refund of 149.00 USD: succeeded" in said.text
    assert "refund: succeeded" in said.text
    document = shop.run("timeline", rows[1], "--json").json
    assert (document["return"], document["facts"]["order"]) == (None, "77")
    refused = shop.run("timeline", rows[0], "--html", "page.html")
    assert (refused.code, "only for returns with a policy" in refused.text) == (2, True)
