"""The probes, through each mount and in `serve`'s own words."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import django.urls
import fastapi
import flask
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from dispatch_returns import webhooks
from dispatch_returns.connector.health import Health
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.transitions import RefundAction, State
from dispatch_returns.store import NewEvent, Store, heartbeats, inbox, switches
from dispatch_returns.store.switches import Switch
from dispatch_returns.webhooks.http import PROBES

from tests.support.django_project import wsgi_project  # isort: skip
from tests.support.stores import open_store
from tests.support.web_requests import Reply, Request, ask_asgi, ask_wsgi
from tests.support.webhooks import NOW, clock, shop

Ask = Callable[..., Reply]


class Service:
    """As much of a connector as the probes ask."""

    def __init__(self, store: Store) -> None:
        self.health = Health(store, self.stopped_by, clock)
        self.receivers = shop(store).receivers
        self.store = store

    def stopped_by(self) -> frozenset[str]:
        with self.store.read() as conn:
            return switches.on(conn)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with open_store(tmp_path) as store:
        yield store


def through_asgi(service: Any, path: str, method: str, lag: float) -> Reply:
    return ask_asgi(webhooks.asgi.health(service, lag), Request(method=method), path)


def through_wsgi(service: Any, path: str, method: str, lag: float) -> Reply:
    return ask_wsgi(webhooks.wsgi.health(service, lag), Request(method=method), path)


def through_fastapi(service: Any, path: str, method: str, lag: float) -> Reply:
    app = fastapi.FastAPI()
    app.include_router(webhooks.fastapi.health_router(service, lag), prefix="/health")
    assert app.openapi()["paths"] == {}
    return ask_asgi(app, Request(method=method), path)


def through_starlette(service: Any, path: str, method: str, lag: float) -> Reply:
    routes = webhooks.fastapi.health_routes(service, lag)
    return ask_asgi(
        Starlette(routes=[Mount("/health", routes=routes)]), Request(method=method), path
    )


def through_flask(service: Any, path: str, method: str, lag: float) -> Reply:
    app = flask.Flask("shop")
    app.register_blueprint(webhooks.flask.health_blueprint(service, lag), url_prefix="/health")
    return ask_wsgi(app, Request(method=method), path)


def through_django(service: Any, path: str, method: str, lag: float) -> Reply:
    patterns = webhooks.django.health_urls(service, lag)
    app = wsgi_project(django.urls.path("health/", django.urls.include(patterns)))
    return ask_wsgi(app, Request(method=method), path)


@pytest.fixture(
    params=[
        through_asgi,
        through_wsgi,
        through_fastapi,
        through_starlette,
        through_flask,
        through_django,
    ],
    ids=lambda it: it.__name__.removeprefix("through_"),
)
def ask(request: pytest.FixtureRequest, store: Store) -> Ask:
    def ask(path: str, method: str = "GET", lag: float = 300.0) -> Reply:
        reply: Reply = request.param(Service(store), f"/health/{path}", method, lag)
        return reply

    return ask


def waiting_since(store: Store, age: timedelta) -> None:
    event = NewEvent("dispatch", f"evt_{age}", "ticket.updated", None, "tkt_1", b"secret", None)
    store.write("accept", lambda conn: inbox.add(conn, event, NOW - age))


def test_every_probe_answers_with_json_that_nobody_keeps(ask: Ask) -> None:
    for probe in PROBES:
        reply = ask(probe)
        assert reply.status == 200
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["cache-control"] == "no-store"
        assert json.loads(reply.body)["status"] in {"live", "ready", "ok"}
        assert ask(probe, "HEAD").status == 200
        assert ask(probe, "POST").status == 405
    assert ask("other").status == 404


def test_lag_is_the_age_of_the_oldest_event_and_beyond_the_limit_it_is_503(
    ask: Ask, store: Store
) -> None:
    assert json.loads(ask("lag").body)["oldest_event_seconds"] == 0.0
    waiting_since(store, timedelta(seconds=20))
    waiting_since(store, timedelta(seconds=61))
    at_the_limit = ask("lag", lag=61.0)
    assert (at_the_limit.status, json.loads(at_the_limit.body)["oldest_event_seconds"]) == (200, 61)
    late = ask("lag", lag=60.0)
    assert (late.status, json.loads(late.body)["status"]) == (503, "late")
    assert ask("live").status == ask("ready").status == 200


def test_refunds_that_are_not_over_are_counted_and_switches_are_said(
    ask: Ask, store: Store
) -> None:
    def fill(conn: Any) -> None:
        for number, state in enumerate((State.HELD, State.HELD, State.SUCCEEDED)):
            by = RefundAction.ADOPT if state is State.SUCCEEDED else RefundAction.ENTER
            ledger.create(conn, "ws_1", f"tkt_{number}", 1, NOW, adapter="fake", state=state, by=by)
        switches.throw(conn, Switch.KILL, NOW, is_on=True, who="Ann", why="a trial")

    store.write("fill", fill)
    found = json.loads(ask("lag").body)
    assert (found["refunds"], found["held"]) == ({"held": 2}, 2)
    assert (found["kill_switch"], found["dry_run"]) == (True, False)
    assert "tkt_" not in str(found)
    assert "Ann" not in str(found)


def test_a_store_that_cannot_commit_is_not_ready_and_the_process_lives(
    ask: Ask, store: Store
) -> None:
    store.close()
    for probe in ("ready", "lag"):
        reply = ask(probe)
        assert reply.status == 503
        assert "store" in json.loads(reply.body)["problem"]
        assert b"/" not in reply.body, "no path, no host, no password"
    assert ask("live").status == 200


def test_another_revision_is_not_ready(ask: Ask, tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "returns.db")
    with db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    reply = ask("ready")
    assert reply.status == 503
    assert "9999" in json.loads(reply.body)["problem"]


def test_where_events_wait_and_no_worker_runs_it_is_not_ready(ask: Ask, store: Store) -> None:
    waiting_since(store, timedelta(minutes=7))
    reply = ask("ready")
    assert reply.status == 503
    problem = json.loads(reply.body)["problem"]
    assert problem.startswith("events wait, and no worker has run for 7 minutes")
    store.write("beat", lambda conn: heartbeats.beat(conn, NOW - timedelta(minutes=2)))
    assert ask("ready").status == 200, "a worker runs, and lag says that it is late"


def test_where_nothing_waits_a_worker_is_not_missed(ask: Ask, store: Store) -> None:
    store.write("beat", lambda conn: heartbeats.beat(conn, NOW - timedelta(days=2)))
    assert ask("ready").status == 200
    waiting_since(store, timedelta(minutes=1))
    assert ask("ready").status == 200, "the event has just come"


def test_the_mounts_of_the_webhooks_answer_no_probe(store: Store) -> None:
    service = Service(store)
    for probe in PROBES:
        request = Request(method="GET")
        asgi = ask_asgi(webhooks.asgi.app(service), request, f"/health/{probe}")
        wsgi = ask_wsgi(webhooks.wsgi.app(service), request, f"/health/{probe}")
        assert asgi.status == wsgi.status == 405
