"""Celery's workers, killed everywhere, with messages that are lost: each return is paid once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import func, select

import dispatch_sandbox
from dispatch_returns.connector.celery import install
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.refunds import ledger
from dispatch_returns.store import Store, inbox
from dispatch_returns.store.schema import inbox as events
from dispatch_returns.store.schema import ledger as refunds
from dispatch_returns.store.schema import outbox
from tests.e2e.crash.celery_app import CeleryOrders
from tests.e2e.crash.points import POINTS, RETURNS_POINTS
from tests.e2e.crash.returns import (
    Place,
    Processor,
    Return,
    a_return,
    a_return_that_became_refunded,
    client_of,
    event_body,
)
from tests.e2e.crash.walks import begin
from tests.support import brokers, postgres
from tests.support.celery_worker import worker
from tests.support.waiting import wait_until
from tests.support.webhooks import signed

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]

APP = "tests.e2e.crash.celery_app"
SECOND_WORKER = ["adapter.find", "comments.list", "refund.claim", "refund.sending"]
AGAIN = [f"{when} {step}" for step in SECOND_WORKER for when in ("before", "after")]
ALL_POINTS = [*POINTS, *AGAIN]
RETURNS = 12
PATIENCE = 240.0
NO_BROKER = "redis://127.0.0.1:1/0"


@pytest.fixture
def conf(request: pytest.FixtureRequest) -> Iterator[brokers.Conf]:
    with brokers.new_queue(request.param) as conf:
        yield conf


@pytest.fixture
def shop(
    request: pytest.FixtureRequest,
    dispatch: dispatch_sandbox.Sandbox,
    stand_in: Processor,
    tmp_path: Path,
) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place(f"sqlite:///{tmp_path}/returns.db", dispatch, stand_in)
        return
    with postgres.new_database() as url:
        yield Place(url, dispatch, stand_in)


def on(*places: Any) -> pytest.MarkDecorator:
    """Run a test with these brokers and stores."""
    return pytest.mark.parametrize(("conf", "shop"), places, indirect=True)


FIRST = pytest.param("redis", "sqlite", id="redis-sqlite")
SECOND = pytest.param("rabbitmq", "postgresql", id="rabbitmq-postgresql")
FIRST_LONG = pytest.param("redis", "sqlite", id="redis-sqlite", marks=pytest.mark.long)
SECOND_LONG = pytest.param(
    "rabbitmq", "postgresql", id="rabbitmq-postgresql", marks=pytest.mark.long
)


def all_paid(place: Place, how_many: int) -> bool:
    """Whether so many returns have their refund, and nothing is left to be told."""
    waiting = select(func.count()).select_from(events).where(events.c.due_at.is_not(None))
    telling = select(func.count()).select_from(outbox).where(outbox.c.due_at.is_not(None))
    paid = select(func.count()).select_from(refunds).where(refunds.c.state == "succeeded")
    # In one statement: a payment between two of them is paid, and its telling not seen.
    counts = select(*(query.scalar_subquery() for query in (waiting, telling, paid)))
    with Store.open(place.database_url) as store, store.read() as conn:
        found = conn.execute(counts).one()
    return tuple(found) == (0, 0, how_many)


def has_refunds(place: Place, enough: int) -> bool:
    """Whether the ledger holds so many refunds, whatever became of them."""
    with Store.open(place.database_url) as store, store.read() as conn:
        return len(ledger.newest(conn, limit=100)) >= enough


def arm_all(folder: Path, names: Sequence[str]) -> Path:
    """Make the files by which a worker's processes know where to die."""
    points = folder / "points"
    points.mkdir()
    for name in names:
        (points / name).touch()
    return points


def accept(place: Place, returned: Return, conf: brokers.Conf) -> None:
    """Receive the return's event in a web process that sends messages to a broker."""
    app = Celery("web", set_as_current=False)
    app.conf.update(conf)
    body = event_body(returned.ticket_id)
    with Connector(Settings(**returned.settings)) as connector:
        install(app, connector)
        answer = connector.receivers["dispatch"].receive("POST", signed(body), body)
        assert answer.status == 200
        if conf["broker_url"] != NO_BROKER:
            wait_until(lambda: brokers.length(conf) > 0, 30)


def put_off(place: Place, seconds: float) -> None:
    """Put the events that wait off until later, as a worker does that cannot read a ticket."""

    def work(conn: Any) -> None:
        now = datetime.now(UTC)
        for event in inbox.claim(conn, now, timedelta(minutes=1), 10):
            inbox.postpone(conn, event, now + timedelta(seconds=seconds), "for the test", since=now)

    with Store.open(place.database_url) as store:
        store.write("event.postpone", work)


@on(FIRST, SECOND)
def test_what_lost_messages_leave_behind_is_found_by_the_sweep(
    shop: Place, conf: brokers.Conf, tmp_path: Path
) -> None:
    later, purged, unsent = (a_return(shop) for _ in range(3))
    accept(shop, later, conf)
    put_off(shop, 3)
    accept(shop, purged, conf)
    assert brokers.purge(conf) == 2
    accept(shop, unsent, conf | {"broker_url": NO_BROKER})
    assert brokers.length(conf) == 0, "all that was sent is lost"
    environment = CeleryOrders(later.settings, conf).environment(tmp_path)
    with worker(APP, tmp_path, environment):
        wait_until(lambda: all_paid(shop, 3), PATIENCE)
    for returned in (later, purged, unsent):
        returned.was_paid_once(shop)


@on(FIRST_LONG, SECOND_LONG)
def test_workers_killed_and_stopped_as_a_whole_leave_exactly_one_refund_for_each_return(
    shop: Place, conf: brokers.Conf, tmp_path: Path
) -> None:
    returns = [a_return_that_became_refunded(shop) for _ in range(RETURNS)]
    environment = CeleryOrders(returns[0].settings, conf).environment(tmp_path)
    for enough in (1, 5):
        with worker(APP, tmp_path, environment) as running:
            wait_until(partial(has_refunds, shop, enough), PATIENCE)
            running.kill()
    with worker(APP, tmp_path, environment) as running:
        wait_until(partial(has_refunds, shop, RETURNS), PATIENCE)
        assert running.stop() == 0, "a deployment waits for what is under way"
    with worker(APP, tmp_path, environment):
        wait_until(lambda: all_paid(shop, RETURNS), PATIENCE)
    for returned in returns:
        returned.was_paid_once(shop)


@on(FIRST, SECOND_LONG)
def test_processes_killed_at_every_point_leave_exactly_one_refund_for_each_return(
    shop: Place, conf: brokers.Conf, tmp_path: Path
) -> None:
    returns = [a_return_that_became_refunded(shop) for _ in range(RETURNS)]
    points = arm_all(tmp_path, ALL_POINTS)
    orders = CeleryOrders(returns[0].settings, conf, str(points))
    with worker(APP, tmp_path, orders.environment(tmp_path)) as running:
        wait_until(lambda: not [*points.iterdir()] and all_paid(shop, RETURNS), PATIENCE)
        assert running.stop() == 0
    for returned in returns:
        returned.was_paid_once(shop)
    assert running.log.read_text().count("SIGKILL") >= len(ALL_POINTS)


@on(FIRST_LONG, SECOND_LONG)
def test_processes_killed_at_every_point_of_the_six_steps_leave_each_thing_done_once(
    workspace: dispatch_sandbox.Sandbox, shop: Place, conf: brokers.Conf, tmp_path: Path
) -> None:
    payment = shop.processor.pay()
    walk = begin(workspace, tmp_path, shop.database_url, **payment)
    processor = {"api_key": shop.processor.key, "base_url": shop.processor.url}
    points = arm_all(tmp_path, RETURNS_POINTS)
    orders = CeleryOrders(
        walk.settings | {"adapter_options": {"stripe": processor}}, conf, str(points), str(tmp_path)
    )
    with Store.open(shop.database_url) as store, client_of(workspace) as client:
        walk.event(store)
        with worker(APP, tmp_path, orders.environment(tmp_path)) as running:
            ticket = partial(client.tickets.get, walk.ticket_id)
            wait_until(lambda: ticket().status == "label_sent", PATIENCE)
            walk.receive()
            walk.event(store)
            wait_until(lambda: not [*points.iterdir()] and all_paid(shop, 1), PATIENCE)
            walk.event(store)
            wait_until(lambda: all_paid(shop, 1), PATIENCE)
            assert running.stop() == 0
        walk.was_done_once(store)
    (refund,) = shop.processor.refunds(payment)
    assert refund["amount"] == 14900
