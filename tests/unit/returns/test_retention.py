"""Old events go, a replay of one is still refused, and several workers share the deleting."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.retention import Retention, thin_all
from dispatch_returns.connector.settings import MIN_KEEP_EVENTS, Settings
from dispatch_returns.store import NewEvent, Store, inbox
from dispatch_returns.store.inbox import EventState
from dispatch_returns.testing import FakeAdapter
from dispatch_returns.webhooks.receiver import Receiver
from tests.support.desk import NOW, Clock
from tests.support.stores import open_store
from tests.support.webhooks import SECRET, event_body, signed, stored

KEEP = timedelta(days=MIN_KEEP_EVENTS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path, durable=False) as store:
        yield store


def done(store: Store, number: int, first: int = 0) -> None:
    """Have so many events that were dealt with at `NOW`."""

    def write(conn: Connection) -> None:
        for it in range(first, first + number):
            event = NewEvent("dispatch", f"evt_{it}", "ticket.updated", None, None, b"{}", None)
            inbox.add(conn, event, NOW)
        for stored_event in inbox.claim(conn, NOW, timedelta(minutes=3), number):
            inbox.finish(conn, stored_event, NOW)

    store.write("done", write)


def test_a_pass_deletes_all_that_is_old_and_the_next_comes_an_hour_later(store: Store) -> None:
    done(store, 1201)
    clock = Clock(NOW + KEEP - timedelta(seconds=1))
    retention = Retention(store, KEEP, clock)

    def batches() -> int:
        number = 0
        while claimed := retention.claim(4):
            assert retention.claim(4) == [], "one batch at a time"
            retention.thin(*claimed)
            number += 1
        return number

    assert (batches(), len(stored(store))) == (1, 1000), "the list shows 1000 of 1201"
    clock.turn(seconds=2)
    assert batches() == 0
    clock.turn(hours=1)
    assert (batches(), len(stored(store))) == (3, 1)


def test_a_batch_that_fails_is_tried_again_in_the_next_pass(store: Store) -> None:
    done(store, 3)
    clock = Clock(NOW + KEEP * 2)
    retention = Retention(store, KEEP, clock)
    (after,) = retention.claim(1)
    write = store.write
    store.write = lambda *_: 1 / 0  # type: ignore[method-assign,assignment]
    with pytest.raises(ZeroDivisionError):
        retention.thin(after)
    store.write = write  # type: ignore[method-assign]
    assert retention.claim(1) == []
    clock.turn(hours=1)
    retention.thin(*retention.claim(1))
    assert len(stored(store)) == 1


def test_several_workers_at_once_delete_each_event_once(store: Store) -> None:
    done(store, 1500)
    numbers: list[int] = []
    threads = [
        threading.Thread(target=lambda: numbers.append(thin_all(store, NOW + KEEP)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(numbers) == 1499
    assert len(stored(store)) == 1


def test_a_replay_of_a_deleted_event_is_still_refused(store: Store) -> None:
    clock = Clock()
    receiver = Receiver(store, SECRET, clock=clock)
    # As late as its time may be: it says that it will happen in five minutes.
    body = event_body(timestamp=(NOW + timedelta(minutes=5)).isoformat())
    assert receiver.receive("POST", signed(body), body).status == 200
    (event,) = stored(store)
    (claimed,) = store.write("claim", lambda conn: inbox.claim(conn, NOW, KEEP, 1))
    assert claimed.id == event.id
    store.write("done", lambda conn: inbox.finish(conn, claimed, NOW))
    done(store, 1, first=7)  # one that is newer: the newest is kept
    clock.turn(days=MIN_KEEP_EVENTS, seconds=1)
    assert thin_all(store, clock() - KEEP) == 1
    assert receiver.receive("POST", signed(body), body).status == 401
    assert [it.event_id for it in stored(store)] == ["evt_7"]


def test_the_least_that_is_kept_outlasts_every_replay(store: Store) -> None:
    receiver = Receiver(store, SECRET)
    assert receiver._max_age + receiver._max_future < KEEP


def test_a_worker_does_it_where_the_setting_says_so(store: Store) -> None:
    def connector(**settings: object) -> Connector:
        given = {"api_key": "sk_1", "workspace": "ws_1", "reconcile_every": 0, **settings}
        return Connector(
            Settings(**given),  # type: ignore[arg-type]
            store=store,
            adapters=FakeAdapter({}),
            clock=Clock(NOW + timedelta(days=31)),
        )

    def thin(connector: Connector) -> None:
        (old,) = (queue for queue in connector._upkeep if queue.name == "old events")
        for item in old.claim(1):
            old.run(item)

    done(store, 5)
    thin(connector())
    assert len(stored(store)) == 5
    thin(connector(keep_events=30))
    assert [event.state for event in stored(store)] == [EventState.DONE]


def test_fewer_days_than_a_replay_needs_are_refused() -> None:
    with pytest.raises(ValueError, match="keep_events"):
        Settings(api_key="sk_1", workspace="ws_1", keep_events=7)  # type: ignore[arg-type]
