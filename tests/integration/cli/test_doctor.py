from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dispatch_returns.refunds.clock import utc_now
from dispatch_returns.store import NewEvent, inbox
from tests.support.cli import Shop, run


def checks(shop: Shop, **changed: str) -> dict[str, Any]:
    said = shop.run("doctor", "--json", **changed)
    found = {check["name"]: check for check in said.json["checks"]}
    failed = any(check["status"] == "failed" for check in found.values())
    assert said.json["ok"] is not failed
    assert said.code == int(failed)
    for secret in ("sk_test", "whsec_"):
        assert secret not in said.out
    return found


def test_a_shop_that_is_set_up_is_well(shop: Shop) -> None:
    found = checks(shop)
    assert {check["status"] for check in found.values()} == {"ok"}
    assert set(found) == {
        "settings", "paying", "key and workspace", "clock", "statuses", "fields", "webhook",
        "webhook secret", "database", "events", "refunds", "payments",
        "late news",
    }  # fmt: skip


def test_for_people_it_ends_with_what_to_do(bare_shop: Shop) -> None:
    said = bare_shop.run("doctor", DISPATCH_WEBHOOK_SECRET="")
    assert said.code == 1
    assert "dispatch-returns setup" in said.text
    assert "dispatch-returns db upgrade" in said.text
    assert max(map(len, said.out.splitlines())) <= 80


def test_without_the_processors_webhook_it_says_what_to_set_up(shop: Shop) -> None:
    found = checks(shop, STRIPE_WEBHOOK_SECRET="")["late news"]
    assert found["status"] == "warning"
    assert "STRIPE_WEBHOOK_SECRET is not set" in found["detail"]
    assert "for the events refund.created, refund.updated, refund.failed" in found["remedy"]
    manual = checks(shop, DISPATCH_RETURNS_ADAPTER="manual")
    assert "late news" not in manual, "nobody sends anything"


def test_it_changes_nothing(bare_shop: Shop) -> None:
    bare_shop.run("doctor")
    assert list(bare_shop.folder.iterdir()) == []


def test_missing_settings_are_named_and_the_database_is_looked_at(shop: Shop) -> None:
    found = checks(shop, DISPATCH_API_KEY="", DISPATCH_WORKSPACE="")
    assert "DISPATCH_API_KEY: is not set" in found["settings"]["detail"]
    assert "DISPATCH_WORKSPACE: is not set" in found["settings"]["detail"]
    assert found["database"]["status"] == "ok"


@pytest.mark.parametrize(
    ("changed", "name", "said"),
    [
        ({"DISPATCH_API_KEY": "sk_test_wrong"}, "key and workspace", "Check DISPATCH_API_KEY"),
        ({"DISPATCH_WORKSPACE": "ws_nope"}, "key and workspace", "no workspace ws_nope"),
        ({"DISPATCH_BASE_URL": "http://127.0.0.1:1/v1"}, "key and workspace", "no connection"),
        ({"DISPATCH_BASE_URL": "nonsense"}, "API", "base_url"),
        ({"DISPATCH_WEBHOOK_SECRET": ""}, "webhook secret", "every delivery is refused"),
        ({"STRIPE_API_KEY": ""}, "payments", "STRIPE_API_KEY"),
        ({"STRIPE_API_KEY": "sk_test_wrong"}, "payments", "does not accept the API key"),
        ({"STRIPE_BASE_URL": "http://127.0.0.1:1"}, "payments", "cannot be reached"),
        ({"DISPATCH_RETURNS_ADAPTER": "acme"}, "payments", "'acme'"),
    ],
)
def test_what_is_wrong_fails_and_stops_no_other_check(
    shop: Shop, changed: dict[str, str], name: str, said: str
) -> None:
    found = checks(shop, **changed)
    assert found[name]["status"] == "failed"
    assert said in found[name]["detail"]
    assert found["database"]["status"] == "ok"
    assert len([check for check in found.values() if check["status"] == "failed"]) == 1


def test_a_wrong_workspace_is_answered_with_those_the_key_sees(shop: Shop) -> None:
    found = checks(shop, DISPATCH_WORKSPACE="ws_nope")
    assert "this key sees: ws_sandbox" in found["key and workspace"]["remedy"]


def test_what_keeps_money_from_moving_is_a_warning(shop: Shop) -> None:
    for switch in ("KILL_SWITCH", "DRY_RUN"):
        found = checks(shop, **{f"DISPATCH_RETURNS_{switch}": "1"})
        assert found["paying"]["status"] == "warning"
        assert switch in found["paying"]["remedy"]


def test_the_limits_are_said(shop: Shop) -> None:
    found = checks(shop, DISPATCH_RETURNS_MAX_REFUND="500 USD, 450.50 EUR")
    assert found["paying"]["detail"] == (
        "on, at most 500 USD per refund, at most 450.50 EUR per refund"
    )


def test_missing_statuses_fail_and_missing_fields_only_warn(bare_shop: Shop) -> None:
    found = checks(bare_shop)
    assert found["statuses"]["status"] == "failed"
    assert "return_requested" in found["statuses"]["detail"]
    assert found["fields"]["status"] == "warning"


def test_a_field_of_another_type_is_a_warning(shop: Shop) -> None:
    with shop.client() as client:
        client.fields.delete("refund_amount")
        client.fields.create(key="refund_amount", label="Amount", type="text")
    found = checks(shop)
    assert found["fields"]["status"] == "warning"
    assert "of the type text" in found["fields"]["detail"]


def test_a_queue_of_the_policy_that_is_missing_is_a_warning(shop: Shop) -> None:
    path = shop.folder / "policy.toml"
    path.write_text('version = "1"\nassignee = "queue:Returns"\n', encoding="utf-8")
    found = checks(shop, DISPATCH_RETURNS_POLICY=str(path))
    assert found["queues"] == {
        "name": "queues",
        "status": "warning",
        "detail": "missing: Returns",
        "remedy": "Run: dispatch-returns setup.",
    }
    shop.run("setup", DISPATCH_RETURNS_POLICY=str(path))
    assert checks(shop, DISPATCH_RETURNS_POLICY=str(path))["queues"]["status"] == "ok"


def test_a_webhook_must_be_there_switched_on_and_sent_changes_of_tickets(shop: Shop) -> None:
    with shop.client() as client:
        (hook,) = client.webhooks.list()
        client.webhooks.delete(hook.id)
        assert "there is none" in checks(shop)["webhook"]["detail"]
        client.webhooks.create(url=hook.url, events=["comment.created"])
        assert "there is none" in checks(shop)["webhook"]["detail"]
        off = client.webhooks.create(url=hook.url, events=["ticket.updated"])
    with shop.box.state.lock:
        shop.box.state.workspaces["ws_sandbox"].webhooks[off.id]["enabled"] = False
    assert "is switched off" in checks(shop)["webhook"]["detail"]


def test_a_webhook_whose_last_delivery_failed_is_a_warning(shop: Shop) -> None:
    with shop.client() as client:
        (hook,) = client.webhooks.list()
    with shop.box.state.lock:
        record = shop.box.state.workspaces["ws_sandbox"].webhooks[hook.id]
        record |= {"failureCount": 3, "lastFailure": "2026-01-15T10:00:00.000Z"}
        record["lastTriggered"] = record["lastFailure"]
    found = checks(shop)
    assert found["webhook"]["status"] == "warning"
    assert "failed 3 times, last 2026-01-15 10:00:00 UTC" in found["webhook"]["detail"]
    with shop.box.state.lock:
        record["lastTriggered"] = "2026-01-15T10:00:01.000Z"
    assert checks(shop)["webhook"]["status"] == "ok"


# The database.


def test_a_database_of_another_version_is_not_touched(shop: Shop) -> None:
    db = sqlite3.connect(shop.folder / "returns.db")
    with db:
        db.execute("UPDATE alembic_version SET version_num = '0000'")
    found = checks(shop)
    assert found["database"]["status"] == "failed"
    assert "db upgrade" in found["database"]["remedy"]
    assert "events" not in found
    assert db.execute("SELECT version_num FROM alembic_version").fetchall() == [("0000",)]
    db.close()


def test_a_database_that_cannot_be_written_fails(shop: Shop) -> None:
    url = f"sqlite:///file:{shop.folder}/returns.db?mode=ro&uri=true"
    found = checks(shop, DISPATCH_RETURNS_DATABASE_URL=url)
    assert found["database"]["status"] == "failed"
    assert "readonly" in found["database"]["detail"]


def test_an_event_that_waits_for_long_is_a_warning(shop: Shop) -> None:
    shop.event("tkt_1", "evt_new")
    assert checks(shop)["events"]["status"] == "ok"
    event = NewEvent("dispatch", "evt_old", "ticket.updated", None, "tkt_1", b"{}", None)
    long_ago = utc_now() - timedelta(hours=3)
    with shop.store() as store:
        store.write("inbox.accept", lambda conn: inbox.add(conn, event, long_ago))
    found = checks(shop)
    assert found["events"]["status"] == "warning"
    assert found["events"]["detail"] == "the oldest waits since 3 h"


def test_refunds_that_wait_for_a_person_are_counted(shop: Shop) -> None:
    shop.refund(shop.ticket(payment_intent=shop.pay()))
    assert checks(shop)["refunds"]["detail"] == "1, none waits for a person"
    shop.refund(shop.ticket(payment_intent=shop.pay(), received_date=None))
    found = checks(shop)
    assert found["refunds"]["status"] == "warning"
    assert found["refunds"]["detail"] == "1 held: a person must look"
    assert found["refunds"]["remedy"] == "Look: dispatch-returns refunds list --state held."


# The clock.


@contextlib.contextmanager
def api_at(date: str | None) -> Iterator[str]:
    """An API that knows one workspace and believes that it is `date`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            one = {"id": "ws_1", "name": "Shop"}
            body = json.dumps(one if self.path.endswith("/ws_1") else []).encode()
            self.send_response_only(200)
            if date is not None:
                self.send_header("Date", date)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("ahead", "status", "said"),
    [
        (timedelta(0), "ok", "agrees"),
        (timedelta(seconds=20), "ok", "agrees"),
        (timedelta(seconds=90), "warning", "behind"),
        (timedelta(seconds=-90), "warning", "ahead of"),
        (timedelta(minutes=10), "failed", "behind"),
    ],
)
def test_the_clock_is_held_against_the_apis(ahead: timedelta, status: str, said: str) -> None:
    date = format_datetime(datetime.now(UTC) + ahead, usegmt=True)
    with api_at(date) as url:
        clock = clock_check(url)
    assert clock is not None
    assert clock["status"] == status
    assert said in clock["detail"]


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_an_api_that_tells_no_time_is_not_held_against_anything(date: str | None) -> None:
    with api_at(date) as url:
        assert clock_check(url) is None


def clock_check(url: str) -> Any:
    environment = {
        "DISPATCH_API_KEY": "sk_1",
        "DISPATCH_WORKSPACE": "ws_1",
        "DISPATCH_BASE_URL": url,
        "DISPATCH_RETURNS_ADAPTER": "manual",
    }
    found = run("doctor", "--json", environment=environment).json["checks"]
    return next((check for check in found if check["name"] == "clock"), None)
