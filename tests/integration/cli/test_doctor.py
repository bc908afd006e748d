from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dispatch_returns.clock import utc_now
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import NewEvent, heartbeats, inbox, outbox
from tests.support.cli import Shop, run
from tests.support.mail_server import PASSWORD, USER, certificate, mail_server
from tests.support.postage_server import KEY, postage_server


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
        "go-live",
        "settings", "paying", "key and workspace", "clock", "statuses", "fields", "webhook",
        "webhook secret", "database", "events", "refunds", "payments", "whose payment",
        "installation",
        "processor events", "policy",
    }  # fmt: skip


def test_the_documented_way_from_an_empty_folder_ends_green(bare_shop: Shop) -> None:
    file = str(bare_shop.folder / "shop.env")
    url = "http://127.0.0.1:9/webhooks/dispatch"
    settings = {k: v for k, v in bare_shop.settings.items() if not k.endswith("WEBHOOK_SECRET")}
    shop = replace(bare_shop, settings=settings)
    assert shop.run("setup", "--write-env", file, "--webhook-url", url).code == 0
    said = shop.run("doctor", "--env-file", file, "--json")
    assert [it for it in said.json["checks"] if it["status"] == "failed"] == []
    assert said.code == 0


def test_for_people_it_ends_with_what_to_do(bare_shop: Shop) -> None:
    said = bare_shop.run("doctor", DISPATCH_WEBHOOK_SECRET="")
    assert said.code == 1
    assert "dispatch-returns setup" in said.text
    assert "dispatch-returns db upgrade" in said.text
    assert max(map(len, said.out.splitlines())) <= 80


def test_without_the_processors_webhook_it_says_what_to_set_up(shop: Shop) -> None:
    found = checks(shop, STRIPE_WEBHOOK_SECRET="")["processor events"]
    assert found["status"] == "warning"
    assert "STRIPE_WEBHOOK_SECRET is not set" in found["detail"]
    assert "for the events refund.created, refund.updated, refund.failed" in found["remedy"]
    paypal = checks(shop, DISPATCH_RETURNS_ADAPTERS="paypal", PAYPAL_WEBHOOK_ID="")
    assert "set PAYPAL_WEBHOOK_ID to its id" in paypal["processor events"]["remedy"]
    assert "PAYMENT.REFUND.FAILED" in paypal["processor events"]["remedy"]
    adyen = checks(shop, DISPATCH_RETURNS_ADAPTERS="adyen", ADYEN_HMAC_KEY="")
    assert "set ADYEN_HMAC_KEY to its signing secret" in adyen["processor events"]["remedy"]
    manual = checks(shop, DISPATCH_RETURNS_ADAPTERS="manual")
    assert "processor events" not in manual, "nobody sends anything"


def test_it_changes_nothing(bare_shop: Shop) -> None:
    bare_shop.run("doctor")
    assert list(bare_shop.folder.iterdir()) == []


def test_missing_settings_are_named_and_the_database_is_looked_at(shop: Shop) -> None:
    found = checks(shop, DISPATCH_API_KEY="", DISPATCH_WORKSPACE="")
    assert "DISPATCH_API_KEY: is not set" in found["settings"]["detail"]
    assert "DISPATCH_WORKSPACE: is not set" in found["settings"]["detail"]
    assert found["database"]["status"] == "ok"


def test_a_setting_that_is_wrong_is_said_in_our_words(shop: Shop) -> None:
    found = checks(shop, DISPATCH_RETURNS_MAX_REFUND="500")["settings"]
    assert found["detail"] == (
        'DISPATCH_RETURNS_MAX_REFUND: write amounts as "500 USD, 60000 JPY"'
        " (cap per refund: `500 USD, 60000 JPY`)"
    )


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
        ({"DISPATCH_RETURNS_ADAPTERS": "acme"}, "payments", "'acme'"),
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
    assert "type is text" in found["fields"]["detail"]


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


ADDRESS = "Acme; 417 Montgomery St; 94104; San Francisco; CA; US"


def with_policy(shop: Shop, text: str = 'version = "1"\n', **changed: str) -> dict[str, Any]:
    """Check a shop whose returns walk their steps."""
    path = shop.folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    steps = {
        "DISPATCH_RETURNS_POLICY": str(path),
        "DISPATCH_RETURNS_RETURN_ADDRESS": ADDRESS,
    }
    return checks(shop, **{**steps, **changed})


def test_without_a_policy_nothing_of_the_steps_is_looked_at(shop: Shop) -> None:
    found = checks(shop)
    assert found["policy"]["detail"] == "none is set: no return is evaluated, and `refunded` pays"
    assert not any(name.startswith(("orders", "labels", "notifications")) for name in found)


def test_the_parts_of_the_steps_are_tried(shop: Shop) -> None:
    found = with_policy(shop, DISPATCH_RETURNS_ORDERS="ticket, stripe")
    assert found["policy"]["detail"].startswith("1@")
    assert found["orders: ticket"]["detail"].startswith("read from the ticket's fields")
    stripe = found["orders: stripe"]
    assert stripe["detail"] == (
        "it answers; set: STRIPE_API_KEY, STRIPE_BASE_URL, STRIPE_WEBHOOK_SECRET"
    )
    assert found["labels"]["detail"] == "printable answers"
    assert found["notifications: comments"]["detail"] == "written on the ticket"
    names = ("policy", "orders: ticket", "orders: stripe", "labels", "notifications: comments")
    assert {found[name]["status"] for name in names} == {"ok"}


@pytest.mark.parametrize(
    ("column", "status", "said"),
    [
        ("'j@x.test' AS customer_email, '1' AS ORDER_ID", "ok", ""),
        ("'1' AS order_id", "warning", "no customer_email: the order's owner is not checked"),
        ("'j@x.test' AS customer_email", "warning", "no order_id: two spellings of one order"),
    ],
)
def test_doctor_says_what_the_query_of_orders_must_select(
    shop: Shop, column: str, status: str, said: str
) -> None:
    query = {"SQL_URL": "sqlite://", "SQL_QUERY": f"SELECT {column} WHERE :order_id = '1'"}
    found = with_policy(shop, DISPATCH_RETURNS_ORDERS="sql", **query)["orders: sql"]
    assert found["status"] == status
    assert said in found["detail"]
    plain = checks(shop, DISPATCH_RETURNS_ORDERS="sql", **query)["orders: sql"]
    assert plain["status"] == status


def test_a_policy_is_checked_as_policy_check_does(shop: Shop) -> None:
    found = with_policy(shop, "version = '1'\nlabel_days = 5")["policy"]
    assert (found["status"], found["remedy"]) == (
        "warning",
        "Run: dispatch-returns policy check.",
    )
    assert found["detail"].startswith("1, label_days: ")


def test_without_a_return_address_people_send_the_labels(shop: Shop) -> None:
    found = with_policy(shop, DISPATCH_RETURNS_RETURN_ADDRESS="")["labels"]
    assert found["status"] == "warning"
    assert "no label is created" in found["detail"]


NO_SHOP = {"SHOPIFY_SHOP": "http://127.0.0.1:1", "SHOPIFY_ACCESS_TOKEN": "shpat_s3cret"}
NO_MAIL = {"DISPATCH_RETURNS_NOTIFICATIONS": "smtp", "SMTP_FROM": "Acme <returns@acme.example>"}


@pytest.mark.parametrize(
    ("changed", "name", "said"),
    [
        (
            {"DISPATCH_RETURNS_POLICY": "nowhere.toml"},
            "policy",
            "nowhere.toml: cannot be read (No such file or directory)",
        ),
        ({"DISPATCH_RETURNS_ORDERS": "acme"}, "orders: acme", "the order source 'acme'"),
        (
            {"DISPATCH_RETURNS_ORDERS": "shopify", "SHOPIFY_SHOP": ""},
            "orders: shopify",
            "SHOPIFY_SHOP: is not set",
        ),
        (
            {"DISPATCH_RETURNS_ORDERS": "shopify", **NO_SHOP},
            "orders: shopify",
            "Shopify cannot be reached (ConnectError)",
        ),
        (
            {"DISPATCH_RETURNS_ORDERS": "ticket, stripe", "STRIPE_API_KEY": "sk_test_wrong"},
            "orders: stripe",
            "does not accept the API key",
        ),
        (
            {
                "DISPATCH_RETURNS_ORDERS": "sql",
                "SQL_URL": "postgresql+psycopg://jane:s3cret@127.0.0.1:1/shop",
                "SQL_QUERY": "SELECT 1 WHERE :order_id = '1'",
            },
            "orders: sql",
            "the orders' database raised",
        ),
        (
            {
                "DISPATCH_RETURNS_ORDERS": "sql",
                "SQL_URL": "sqlite://",
                "SQL_QUERY": "SELECT nothing FROM nowhere WHERE id = :order_id",
            },
            "orders: sql",
            "the orders' database raised OperationalError",
        ),
        ({"DISPATCH_RETURNS_LABELS": "acme"}, "labels", "the label provider 'acme'"),
        ({"DISPATCH_RETURNS_LABELS": "easypost"}, "labels", "EASYPOST_API_KEY: is not set"),
        (
            {
                "DISPATCH_RETURNS_LABELS": "easypost",
                "EASYPOST_API_KEY": "s3cret",
                "EASYPOST_BASE_URL": "http://127.0.0.1:1/v2",
            },
            "labels",
            "easypost did not answer",
        ),
        ({"DISPATCH_RETURNS_RETURN_ADDRESS": "Acme"}, "labels", "RETURN_ADDRESS: write"),
        ({"PRINTABLE_FONT": "nowhere.ttf"}, "labels", "the font nowhere.ttf cannot be used"),
        (
            {"DISPATCH_RETURNS_NOTIFICATION_TEMPLATES": "nowhere"},
            "notifications: comments",
            "the folder of templates nowhere does not exist",
        ),
        (
            {"DISPATCH_RETURNS_NOTIFICATIONS": "pigeon"},
            "notifications: pigeon",
            "unknown notifier pigeon",
        ),
        (NO_MAIL, "notifications: smtp", "SMTP_HOST: is not set"),
        (
            {**NO_MAIL, "SMTP_HOST": "127.0.0.1", "SMTP_PORT": "1"},
            "notifications: smtp",
            "127.0.0.1:1 cannot be reached (ConnectionRefusedError): check SMTP_HOST",
        ),
        (
            {**NO_MAIL, "SMTP_HOST": "nowhere.invalid"},
            "notifications: smtp",
            "nowhere.invalid:587 cannot be reached (gaierror)",
        ),
    ],
)
def test_what_is_wrong_with_a_part_fails_in_one_line_and_stops_no_other(
    shop: Shop, changed: dict[str, str], name: str, said: str
) -> None:
    found = with_policy(shop, **changed)
    assert found[name]["status"] == "failed"
    assert said in found[name]["detail"]
    assert "\n" not in found[name]["detail"]
    others = {it["name"] for it in found.values() if it["status"] == "failed"} - {name}
    assert others <= {"payments"}
    assert "s3cret" not in str(found)
    assert found["database"]["status"] == "ok"


def test_the_sellers_key_is_tried_and_nothing_is_made(shop: Shop) -> None:
    with postage_server() as server:
        seller = {
            "DISPATCH_RETURNS_LABELS": "easypost",
            "EASYPOST_API_KEY": KEY,
            "EASYPOST_BASE_URL": f"{server.url}/v2",
        }
        assert with_policy(shop, **seller)["labels"]["status"] == "ok"
        assert {call.split()[0] for call in server.calls} == {"GET"}
        wrong = with_policy(shop, **{**seller, "EASYPOST_API_KEY": "nonsense"})["labels"]
    assert (wrong["status"], wrong["remedy"]) == (
        "failed",
        "Check EASYPOST_API_KEY, EASYPOST_BASE_URL.",
    )
    assert "check EASYPOST_API_KEY" in wrong["detail"]


def test_the_mail_server_lets_us_in_and_is_sent_nothing(shop: Shop, tmp_path: Path) -> None:
    file = certificate(tmp_path)
    with mail_server("starttls", file) as box:
        server = {
            **NO_MAIL,
            "SMTP_HOST": "localhost",
            "SMTP_PORT": str(box.port),
            "SMTP_USER": USER,
            "SMTP_PASSWORD": PASSWORD,
            "SMTP_CA_FILE": str(file),
        }

        def found(**changed: str) -> str:
            check = with_policy(shop, **{**server, **changed})["notifications: smtp"]
            assert PASSWORD not in str(check)
            return str(check["detail"])

        assert found() == f"localhost:{box.port} accepts the login"
        assert "refuses user and password (535)" in found(SMTP_PASSWORD="wrong")
        assert "a certificate that is not trusted" in found(SMTP_CA_FILE="")
        assert "does not speak TLS there" in found(SMTP_SECURITY="tls")
    with mail_server() as plain:
        server = {**NO_MAIL, "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(plain.port)}
        assert "STARTTLS" in found()
        assert found(SMTP_SECURITY="none") == f"127.0.0.1:{plain.port} answers"
    assert (box.mails, plain.mails) == ([], [])


def test_a_template_that_is_wrong_is_a_warning(shop: Shop) -> None:
    (shop.folder / "en").mkdir()
    (shop.folder / "en" / "refunded.txt").write_text("Paid\n\n{{ amuont }}", encoding="utf-8")
    found = with_policy(shop, DISPATCH_RETURNS_NOTIFICATION_TEMPLATES=str(shop.folder))
    assert found["notifications: comments"]["status"] == "warning"
    assert "'amuont' is undefined" in found["notifications: comments"]["detail"]


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
    with shop.client() as client:
        client.webhooks.create(url=hook.url, events=["ticket.updated"])
        found = checks(shop)["webhook"]
        assert (found["status"], "not sent ticket.deleted" in found["detail"]) == ("warning", True)
        client.webhooks.create(url=hook.url, events=["*"])
    assert checks(shop)["webhook"]["status"] == "ok"


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
    assert "can be reached at this URL" in found["webhook"]["remedy"]
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
    assert found["events"]["detail"] == "the oldest has waited for 3 h"
    assert found["workers"]["status"] == "failed"
    assert found["workers"]["detail"].startswith("no worker has run for 3 h")
    with shop.store() as store:
        store.write("beat", lambda conn: heartbeats.beat(conn, utc_now()))
    found = checks(shop)["workers"]
    assert (found["status"], found["detail"]) == ("warning", "1 events wait for a free worker")
    assert "DISPATCH_RETURNS_WORKERS" in found["remedy"]
    with shop.store() as store:
        claim = partial(inbox.claim, now=utc_now(), lease=timedelta(hours=2), limit=9)
        store.write("event.claim", claim)
    assert "workers" not in checks(shop)


def test_a_handler_over_its_limit_is_a_warning_and_so_is_one_that_waits_for_long(
    shop: Shop,
) -> None:
    long_ago = utc_now() - timedelta(hours=1)
    call = outbox.NewMessage("handler-1", "handler", "ws_sandbox", "tkt_1")
    with shop.store() as store:
        store.write("message.add", lambda conn: outbox.add(conn, call, long_ago))
    found = checks(shop)["handlers"]
    assert (found["status"], found["detail"][:33]) == (
        "warning",
        "1 calls are waiting, the oldest f",
    )
    with shop.store() as store:
        lease = timedelta(hours=2)
        claim = partial(outbox.claim, now=long_ago, lease=lease, limit=1, handlers=True)
        (message,) = store.write("message.claim", claim)
        keep = partial(outbox.keep, message=message, until=utc_now(), overdue_since=long_ago)
        store.write("message.keep", keep)
    found = checks(shop)["handlers"]
    assert found["status"] == "warning"
    assert found["detail"] == "1 exceed their time limit, 1 are not done"
    assert "add a timeout to what they wait for" in found["remedy"]


def test_refunds_that_wait_for_another_adapter_are_counted(shop: Shop) -> None:
    assert "other adapters" not in checks(shop)
    with shop.store() as store:
        store.write(
            "enter",
            lambda conn: ledger.create(
                conn,
                "ws_1",
                "tkt_1",
                1,
                utc_now(),
                adapter="gone",
                state=State.REQUESTED,
                uncertain=False,
                due_at=utc_now(),
                detail="The key is not accepted.",
                failing_since=utc_now() - timedelta(hours=1),
            ),
        )
    every = checks(shop)
    found = every["other adapters"]
    assert found["status"] == "warning"
    assert found["detail"].startswith("1 refunds wait for an adapter")
    assert every["waiting refunds"]["detail"].startswith("1 refunds of gone can't go on: the")


def test_refunds_that_wait_for_a_person_are_counted(shop: Shop) -> None:
    shop.refund(shop.ticket(payment_intent=shop.pay()))
    assert checks(shop)["refunds"]["detail"] == "0 not over, none needs a person"
    shop.refund(shop.ticket(payment_intent=shop.pay(), received_date=None))
    found = checks(shop)
    assert found["refunds"]["status"] == "warning"
    assert found["refunds"]["detail"] == "1 held: a person must look"
    assert found["refunds"]["remedy"] == "See: dispatch-returns refunds list --state held."


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
        "DISPATCH_RETURNS_ADAPTERS": "manual",
    }
    found = run("doctor", "--json", environment=environment).json["checks"]
    return next((check for check in found if check["name"] == "clock"), None)
