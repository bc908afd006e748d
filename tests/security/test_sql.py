"""What means something in SQL is a text like any other, wherever it comes from: both databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

import dispatch_sandbox
from dispatch_returns.client import DispatchClient
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.refunds import attempts, ledger
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import NewEvent, Store, audit_log, inbox, outbox, schema, switches
from dispatch_returns.store.outbox import NewMessage
from dispatch_returns.store.switches import Switch
from dispatch_returns.testing import FakeAdapter
from tests.support import postgres
from tests.support.cli import run
from tests.support.desk import NOW, usd
from tests.support.stores import open_store
from tests.support.webhooks import event_body, shop, signed

NASTY = [
    "'; DROP TABLE ledger; --",
    "x' OR '1'='1",
    '" OR ""="',
    "') RETURNING (SELECT body FROM inbox) --",
    "%",
    "tkt\\_%",
    "$1 :row %(x)s %s ? {}",
    "\\'; --",
    "/* */ `x` [x] $$x$$",
    "üñí \u2019 \u202e",
]
UNSTORABLE = ["a\0b", "a\ud800b"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        open_store(tmp_path).close()
        yield f"sqlite:///{tmp_path}/returns.db"
        return
    with postgres.new_database() as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as store:
        yield store


@pytest.fixture(scope="module")
def box() -> Iterator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running() as box:
        with DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client:
            client.statuses.create(key="refunded", name="refunded")
            client.statuses.create(key="needs_review", name="needs_review")
        yield box


def rows(store: Store) -> dict[str, int]:
    """How many rows each table has: all of them are still there."""
    with store.read() as conn:
        return {
            table.name: conn.execute(select(func.count()).select_from(table)).scalar_one()
            for table in schema.metadata.sorted_tables
        }


def test_through_the_receiver(store: Store) -> None:
    receiver = shop(store).receiver
    for text in NASTY:
        if text.isprintable():
            body = event_body(id=text, brand_id=text, data={"id": text, "title": text})
            assert receiver.receive("POST", signed(body), body).status == 200
    with store.read() as conn:
        for text in filter(str.isprintable, NASTY):
            (event,) = inbox.with_event_id(conn, text)
            assert (event.event_id, event.workspace_id, event.ticket_id) == (text, text, text)
            assert inbox.newest(conn, limit=9, ticket_id=text) == [event]
        assert inbox.with_event_id(conn, "evt' OR 'a'='a") == []
    assert rows(store)["inbox"] == len([it for it in NASTY if it.isprintable()])


def test_through_every_text_of_the_store(store: Store) -> None:
    def write(conn: Any, text: str) -> None:
        refund = ledger.create(
            conn, text, text, 1, NOW, adapter=text, state=State.HELD, uncertain=False,
            reason=text, detail=text, order_id=text, instructions_email=text, processor_id=text,
            amount=usd("1.00"), payment={"kind": "reference", "id": text},
        )  # fmt: skip
        assert refund is not None
        changed = ledger.change(conn, refund, NOW, detail=text * 2, arn=text, failure_reason=text)
        attempts.record(
            conn, changed, text, text, NOW,
            processor_id=text, code=text, request_id=text, message=text,
        )  # fmt: skip
        audit_log.record(conn, text, NOW, who=text, why=text, refund_id=refund.id, subject=text)
        switches.throw(conn, Switch.KILL, NOW, is_on=False, who=text, why=text)
        message = NewMessage(text, text, text, text, refund.id, {"body": text})
        assert outbox.add(conn, message, NOW)
        event = NewEvent(text, text, text, text, text, text.encode(), None)
        assert inbox.add(conn, event, NOW)
        (claimed,) = inbox.claim(conn, NOW, NOW - NOW.replace(year=2000), 9)
        inbox.postpone(conn, claimed, NOW.replace(year=2050), text, since=NOW)

    for text in NASTY:
        store.write("nasty", lambda conn: write(conn, text))  # noqa: B023
    for text in NASTY:
        with store.read() as conn:
            (refund,) = ledger.newest(conn, limit=99, ticket_id=text)
            assert (refund.workspace_id, refund.adapter, refund.detail) == (text, text, text * 2)
            assert (refund.order_id, refund.arn, refund.reason) == (text, text, text)
            assert ledger.matching(conn, text, limit=9) == [refund]
            (attempt,) = attempts.of_refund(conn, refund.id)
            assert (attempt.call, attempt.code, attempt.message) == (text, text, text)
            (act,) = audit_log.of_refund(conn, refund.id)
            assert (act.action, act.who, act.why, act.subject) == (text, text, text, text)
            (message,) = outbox.of_refund(conn, refund.id)
            assert (message.dedupe_key, message.payload) == (text, {"body": text})
            (event,) = inbox.with_event_id(conn, text)
            assert (event.source, event.error, event.body) == (text, text, text.encode())
    found = rows(store)
    assert {found[name] for name in ("inbox", "ledger", "attempts", "outbox")} == {len(NASTY)}


def test_through_tickets_from_the_client_to_the_payment(
    box: dispatch_sandbox.Sandbox, store: Store
) -> None:
    texts = [*NASTY, *UNSTORABLE]
    adapter = FakeAdapter({f"pi_{number}": usd("149.00") for number in range(len(texts))})
    settings = Settings(
        api_key=SecretStr(dispatch_sandbox.API_KEY),
        workspace=dispatch_sandbox.WORKSPACE,
        base_url=box.api_url,
    )
    asked: list[str] = []

    def lookup(order_id: str) -> PaymentRef:
        asked.append(order_id)
        return PaymentRef("payment_intent", f"pi_{len(asked) - 1}")

    connector = Connector(settings, store=store, adapters=adapter, lookups=(lookup,))
    with connector.client as client:
        for text in texts:
            fields: dict[str, Any] = {
                "order_id": text,
                "received_date": text,
                "condition": text,
                "refund_amount": 149,
                "payment_intent": text,  # no id: the order is asked for
            }
            ticket = client.tickets.create(subject=text, status="refunded", custom_fields=fields)
            refund = connector.refund(ticket.id)
            now = client.tickets.get(ticket.id)
            stored = text.replace("\0", "\ufffd").replace("\ud800", "\ufffd")
            assert asked[-1] in (text, stored)  # half of a surrogate pair survives no JSON
            assert (refund.state, refund.order_id) == ("succeeded", stored)
            assert now.custom_fields["refund_status"] == "succeeded"
    assert rows(store)["ledger"] == len(texts) == len(adapter.refunds)


@pytest.mark.parametrize("text", [" ".join(NASTY), NASTY[0], "%"])
def test_through_the_command(url: str, text: str) -> None:
    environment = {"DISPATCH_RETURNS_DATABASE_URL": url}
    for words, code in (
        (("refunds", "list", "--ticket", text, "--json"), 0),
        (("refunds", "show", "--json", "--", text), 1),
        (("events", "list", "--ticket", text, "--json"), 0),
        (("events", "show", "--json", "--", text), 1),
        (("events", "replay", "--json", "--", text), 1),
        (("switch", "kill", "on", "--who", text, "--why", text, "--json"), 0),
    ):
        said = run(*words, environment=environment)
        assert said.code == code, words
        assert "error" not in said.json or "sql" not in json.dumps(said.json).lower()
    (act,) = run("audit-log", "--json", environment=environment).json["actions"]
    assert (act["who"], act["why"]) == (text.strip(), text)
