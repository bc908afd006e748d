from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Shop


def paid(minor: int, shop: Shop) -> str:
    """A ticket that is refunded, with a payment of its own."""
    amount = f"{minor / 100:.2f}"
    return shop.ticket(payment_intent=shop.pay(minor), refund_amount=amount)


def results(shop: Shop, *arguments: str) -> list[tuple[str, str]]:
    said = shop.run("refunds", "pay", *arguments, "--json").json
    return [(it["ticket"], it["result"]) for it in said["tickets"]]


def ledger(shop: Shop) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = shop.run("refunds", "list", "--json").json["refunds"]
    return rows


def test_a_dry_run_shows_what_would_be_paid_and_writes_nothing(shop: Shop) -> None:
    good, without = paid(1000, shop), shop.ticket(order_id="77")
    said = shop.run("refunds", "pay", good, without, "tkt_none", "--dry-run", "--json")
    assert said.code == 1
    assert [(it["ticket"], it["result"]) for it in said.json["tickets"]] == [
        (good, "would be paid"),
        (without, "would be held"),
        ("tkt_none", "refused"),
    ]
    assert said.json["totals"] == [
        {"result": "would be paid", "currency": "USD", "amount": "10.00"}
    ]
    assert ledger(shop) == []


def test_a_file_of_tickets_is_paid_and_a_second_run_pays_nothing(
    shop: Shop, tmp_path: Path
) -> None:
    first, second = paid(1000, shop), paid(2000, shop)
    file = tmp_path / "tickets.csv"
    file.write_text(f"\ufeffticket,note\n{first},a\n\n# later\n{second},b\n{first},again\n")
    assert results(shop, "--file", str(file)) == [(first, "succeeded"), (second, "succeeded")]
    assert results(shop, "--file", str(file)) == [(first, "paid before"), (second, "paid before")]
    assert [row["amount"]["amount"] for row in ledger(shop)] == ["20.00", "10.00"]


def test_a_ticket_that_fails_stops_no_other(shop: Shop) -> None:
    good = paid(1000, shop)
    said = shop.run("refunds", "pay", "tkt_none", good)
    assert said.code == 1
    assert "1 refused, 1 succeeded." in said.out
    assert "succeeded: 10.00 USD" in said.out


def test_what_every_ticket_would_meet_ends_the_run(shop: Shop) -> None:
    said = shop.run("refunds", "pay", "tkt_1", "tkt_2", DISPATCH_API_KEY="sk_test_wrong")
    assert (said.code, said.out) == (3, "")


@pytest.mark.parametrize(
    ("arguments", "words"), [([], "give a ticket's id"), (["--file", "no.csv"], "no.csv cannot")]
)
def test_without_tickets_there_is_nothing_to_do(
    shop: Shop, arguments: list[str], words: str
) -> None:
    said = shop.run("refunds", "pay", *arguments)
    assert (said.code, words in said.err) == (2, True)


def test_the_refunds_are_written_for_bookkeeping(shop: Shop, tmp_path: Path) -> None:
    ticket, held = paid(1000, shop), shop.ticket(order_id="=1+1")
    results(shop, ticket, held)
    file = tmp_path / "refunds.csv"
    assert "1 refunds are in" in shop.run("refunds", "export", "--csv", str(file)).out
    (row,) = csv.DictReader(io.StringIO(file.read_text()))
    assert (row["ticket"], row["amount"], row["currency"], row["state"]) == (
        ticket,
        "10.00",
        "USD",
        "succeeded",
    )
    assert row["processor_id"].startswith("re_")
    assert row["sent_at"].endswith("+00:00")
    assert file.stat().st_mode & 0o077 == 0
    every = list(csv.DictReader(io.StringIO(shop.run("refunds", "export", "--every-state").out)))
    assert [(it["state"], it["order"]) for it in every] == [
        ("succeeded", "1234"),
        ("held", "'=1+1"),
    ]


def test_the_days_are_those_of_utc(shop: Shop) -> None:
    results(shop, paid(1000, shop), "--file", "/dev/null")
    (row,) = shop.run("refunds", "export", "--json").json["refunds"]
    day = row["created_at"][:10]
    assert len(shop.run("refunds", "export", "--since", day, "--json").json["refunds"]) == 1
    assert shop.run("refunds", "export", "--until", day, "--json").json["refunds"] == []
