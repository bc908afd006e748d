"""`health` for a worker, and the probes of `serve`."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

import httpx

from dispatch_returns.clock import utc_now
from dispatch_returns.store import NewEvent, inbox
from tests.support.cli import Shop, started


def an_event_from(shop: Shop, ago: timedelta) -> None:
    event = NewEvent("dispatch", f"evt_{ago}", "ticket.updated", None, "tkt_1", b"{}", None)
    with shop.store() as store:
        store.write("accept", lambda conn: inbox.add(conn, event, utc_now() - ago))


def test_a_worker_that_keeps_up_is_well(shop: Shop) -> None:
    shop.refund(shop.ticket(payment_intent=shop.pay()))
    shop.refund(shop.ticket(payment_intent=shop.pay(), received_date=None))
    shop.offline("switch", "kill", "on")
    said = shop.offline("health", "--json")
    assert said.code == 0
    assert said.json == {
        "status": "ok",
        "oldest_event_seconds": 0.0,
        "oldest_handler_seconds": 0.0,
        "handlers_over_limit": 0,
        "max_lag_seconds": 300.0,
        "refunds": {"held": 1},
        "adapters": {},
        "held": 1,
        "events_set_aside": {},
        "messages_undelivered": 0,
        "kill_switch": True,
        "kill_switches": [],
        "dry_run": False,
        "restored": False,
        "events_of_other_workspaces": 0,
    }
    assert "1 held" in shop.offline("health").text


def test_events_that_wait_too_long_are_exit_1(shop: Shop) -> None:
    an_event_from(shop, timedelta(seconds=90))
    assert shop.offline("health").code == 0
    said = shop.offline("health", "--max-lag", "60", "--json")
    assert (said.code, said.json["status"]) == (1, "late")
    assert said.json["oldest_event_seconds"] >= 90


def test_a_schema_of_another_version_is_exit_1_and_is_left_alone(shop: Shop) -> None:
    db = sqlite3.connect(shop.folder / "returns.db")
    with db:
        db.execute("UPDATE alembic_version SET version_num = '0000'")
    said = shop.offline("health", "--json")
    assert (said.code, said.json["status"]) == (1, "not ready")
    assert db.execute("SELECT version_num FROM alembic_version").fetchall() == [("0000",)]
    db.close()


def test_no_database_is_exit_4(bare_shop: Shop) -> None:
    assert bare_shop.offline("health").code == 4
    assert list(bare_shop.folder.iterdir()) == []


def test_serve_answers_the_probes_and_says_where(shop: Shop) -> None:
    command = ("serve", "--port", "0", "--json", "--max-lag", "60")
    with started(*command, environment=shop.settings, until="}", cwd=shop.folder) as process:
        url = process.said["health_url"]
        assert httpx.get(f"{url}/live").json() == {"status": "live"}
        assert httpx.get(f"{url}/ready").status_code == 200
        lag = httpx.get(f"{url}/lag")
        assert (lag.status_code, lag.json()["max_lag_seconds"]) == (200, 60)
        assert httpx.get(url).status_code == 404
        assert httpx.post(f"{url}/ready").status_code == 405


def test_serve_may_answer_the_probes_on_another_port(shop: Shop) -> None:
    command = ("serve", "--port", "0", "--health-port", "0", "--json")
    with started(*command, environment=shop.settings, until="}", cwd=shop.folder) as process:
        said = process.said
        public, probes = said["url"].removesuffix("/webhooks/dispatch"), said["health_url"]
        assert not probes.startswith(public)
        assert httpx.get(f"{probes}/ready").status_code == 200
        assert httpx.get(f"{public}/health/ready").status_code == 404
        assert httpx.post(probes.removesuffix("/health") + "/webhooks/dispatch").status_code == 404


def test_serve_may_leave_the_probes_out(shop: Shop) -> None:
    command = ("serve", "--port", "0", "--no-health", "--json")
    with started(*command, environment=shop.settings, until="}", cwd=shop.folder) as process:
        assert "health_url" not in process.said
        public = process.said["url"].removesuffix("/webhooks/dispatch")
        assert httpx.get(f"{public}/health/ready").status_code == 404
