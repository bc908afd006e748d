"""``labels show|void|sample``, as a shop's people run them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Shop, run
from tests.support.label_requests import text_of
from tests.support.postage_server import KEY, PDF, PostageServer, postage_server

POLICY = 'version = "1"\n'
ORDER: dict[str, Any] = {
    "order_id": "1234",
    "items_to_return": ["SKU-001"],
    "return_reason": "wrong_size",
    "currency": "USD",
    "order_lines": [{"sku": "SKU-001", "price": "149.00", "weight": 500}],
    "order_country": "US",
    "ship_name": "Jane Doe",
    "ship_street": "179 N Harbor Dr",
    "ship_city": "Redondo Beach",
    "ship_postal_code": "90277",
    "ship_state": "CA",
}


@pytest.fixture
def returning(shop: Shop) -> Shop:
    """A shop with a policy, orders on the tickets, and labels to print."""
    path = shop.folder / "policy.toml"
    path.write_text(POLICY, encoding="utf-8")
    settings = {
        **shop.settings,
        "DISPATCH_RETURNS_POLICY": str(path),
        "DISPATCH_RETURNS_RETURN_ADDRESS": "Acme; 417 Montgomery St; 94104; San Francisco; CA; US",
    }
    return Shop(shop.box, shop.folder, settings)


@pytest.fixture
def server() -> Iterator[PostageServer]:
    with postage_server() as server:
        yield server


@pytest.fixture
def selling(returning: Shop, server: PostageServer) -> Shop:
    """The same, with labels of a seller of postage."""
    seller = {
        "DISPATCH_RETURNS_LABELS": "easypost",
        "EASYPOST_API_KEY": KEY,
        "EASYPOST_BASE_URL": f"{server.url}/v2",
    }
    return Shop(returning.box, returning.folder, {**returning.settings, **seller})


def ask(shop: Shop, **fields: Any) -> str:
    """Have a customer ask for a return, and the workflow do what follows; return the ticket."""
    with shop.client() as client:
        ticket = client.tickets.create(
            subject="Return",
            customer_email="jane@example.com",
            status="return_requested",
            custom_fields={**ORDER, "delivered_date": "2126-01-01", **fields},
        ).id
    shop.event(ticket, f"evt_{ticket}", "ticket.created")
    shop.work()
    return ticket


def test_the_label_that_the_customer_got_is_written_to_a_file(returning: Shop) -> None:
    ticket = ask(returning)
    file = returning.folder / "new" / "label.pdf"
    said = returning.offline("labels", "show", ticket, "--out", str(file))
    assert said.code == 0
    assert f"Wrote the label of {ticket} (R-" in said.text
    assert "San Francisco" in text_of(file.read_bytes())
    with returning.client() as client:
        (attached,) = client.attachments.list(ticket)
        with (returning.folder / "attached.pdf").open("wb") as target:
            client.attachments.download(ticket, attached.id, target)
    assert file.read_bytes() == (returning.folder / "attached.pdf").read_bytes()


def test_the_labels_of_a_return_are_shown(returning: Shop) -> None:
    ticket = ask(returning)
    said = returning.offline("labels", "show", ticket)
    assert (said.code, "printable" in said.text, "bought" in said.text) == (0, True, True)
    document = returning.offline("labels", "show", ticket, "--json").json
    (label,) = document["labels"]
    assert (label["state"], label["provider"], document["file"]) == ("bought", "printable", None)
    assert "pdf" not in label
    number = document["return"]
    assert returning.offline("labels", "show", number, "--json").json == document


def test_a_return_without_a_label_is_one_sentence(returning: Shop) -> None:
    ticket = ask(returning, order_id="")
    said = returning.offline("labels", "show", ticket)
    assert (said.code, said.out) == (0, "It has no label yet.\n")
    for arguments in (("show", ticket, "--out", "label.pdf"), ("void", ticket, "--why", "torn")):
        said = returning.run("labels", *arguments)
        assert said.code == 1
        assert f"Error: {ticket} (R-" in said.err
        assert "has no label: it is needs_review, and one is made when it is approved" in said.text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("show", "tkt_none"), 1, "there is no return tkt_none: give the ticket's id, or the"),
        (("void", "tkt_none", "--why", "torn"), 1, "there is no return tkt_none"),
        (("void", "tkt_none"), 2, "Missing option '--why'"),
        (("void", "tkt_none", "--why", " "), 2, "--why is empty"),
        (("void", "tkt_none", "--why", "torn", "--who", " "), 2, "--who is empty"),
        (("show",), 2, "Missing argument 'TICKET'"),
    ],
)
def test_mistakes_are_one_sentence(
    returning: Shop, arguments: tuple[str, ...], code: int, said: str
) -> None:
    found = returning.run("labels", *arguments)
    assert found.code == code
    assert said in found.text
    document = returning.run("labels", *arguments, "--json")
    assert (document.code, set(document.json)) == (code, {"error"})


def test_a_file_that_cannot_be_written_is_one_sentence(returning: Shop) -> None:
    ticket = ask(returning)
    for out in (str(returning.folder), f"{returning.folder}/policy.toml/label.pdf"):
        said = returning.offline("labels", "show", ticket, "--out", out)
        assert said.code == 2
        assert "cannot be written (" in said.text
        assert run("labels", "sample", "--out", out).code == 2
        assert returning.offline("timeline", ticket, "--html", out).code == 2
        assert run("notifications", "preview", "--out", f"{returning.folder}/policy.toml").code == 2


def test_a_printed_label_is_voided_and_another_one_made(returning: Shop) -> None:
    ticket = ask(returning)
    said = returning.run("labels", "void", ticket, "--why", "torn", "--who", "Bob")
    assert said.code == 0
    assert "was voided; it cost nothing. Set the ticket to approved" in said.text
    out = str(returning.folder / "label.pdf")
    shown = returning.offline("labels", "show", ticket, "--out", out)
    assert shown.code == 1
    assert "was voided on" in shown.text
    (act,) = returning.offline("audit-log", "--json").json["actions"]
    assert (act["action"], act["who"], act["why"]) == ("void", "Bob", "torn")
    story = returning.offline("timeline", ticket)
    assert "(voided)" in story.text
    (at,) = [n for n, it in enumerate(story.out.splitlines()) if "label: voided  (Bob)" in it]
    explained = story.out.splitlines()[at + 1 : at + 3]
    assert " ".join(" ".join(explained).split()).endswith("it cost nothing. Why: torn")
    assert all(line.startswith(" " * 22) for line in explained), "folded, and not as far in"
    with returning.client() as client:
        client.tickets.update(ticket, status="approved")
    returning.event(ticket, "evt_again")
    returning.work()
    states = returning.offline("labels", "show", ticket, "--json").json["labels"]
    assert [it["state"] for it in states] == ["voided", "bought"]
    assert returning.offline("labels", "show", ticket, "--out", out).code == 0


def test_a_bought_label_is_given_back_once(selling: Shop, server: PostageServer) -> None:
    ticket = ask(selling)
    file = selling.folder / "label.pdf"
    assert selling.offline("labels", "show", ticket, "--out", str(file)).code == 0
    assert file.read_bytes() == PDF
    server.calls.clear()
    said = selling.run("labels", "void", ticket, "--why", "wrong address", "--json")
    assert said.code == 0
    assert said.json["label"]["state"] == "voided"
    again = selling.run("labels", "void", ticket, "--why", "wrong address")
    assert again.code == 1
    assert "was voided on" in again.text
    assert len([it for it in server.calls if it.endswith("/refund")]) == 1


def test_a_seller_who_refuses_or_is_away_is_one_sentence(
    selling: Shop, server: PostageServer
) -> None:
    ticket = ask(selling)
    for fault, code, said in (
        (422, 1, "easypost answered 422 (A.CODE)"),
        (401, 1, "check EASYPOST_API_KEY"),
        (503, 4, "easypost answered 503"),
    ):
        server.faults["/refund"] = fault
        found = selling.run("labels", "void", ticket, "--why", "torn")
        assert found.code == code
        assert said in found.text
        assert "jane" not in found.text
    shown = selling.offline("labels", "show", ticket, "--json").json["labels"]
    assert [it["state"] for it in shown] == ["bought"]
    wrong = selling.run("labels", "void", ticket, "--why", "x", DISPATCH_RETURNS_LABELS="printable")
    assert wrong.code == 3
    assert "set it to easypost for this command" in wrong.text
    assert selling.run("labels", "void", ticket, "--why", "torn").code == 0


def test_a_sample_label_is_a_pdf(tmp_path: Path) -> None:
    file = tmp_path / "label.pdf"
    said = run("labels", "sample", "--out", str(file), "--language", "de", "--paper", "Letter")
    assert said.code == 0
    assert file.read_bytes().startswith(b"%PDF-")
    assert run("labels", "sample", "--out", str(file), "--paper", "A5").code == 3


def test_the_sample_goes_by_its_first_name_too(tmp_path: Path) -> None:
    file = tmp_path / "label.pdf"
    assert run("label", "--sample", "--out", str(file)).code == 0
    assert file.read_bytes().startswith(b"%PDF-")
