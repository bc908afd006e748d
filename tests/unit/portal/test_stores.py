"""Attempts and requests in both databases, and many at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dispatch_returns.returns.online import attempts, requests
from dispatch_returns.returns.online.attempts import Limit
from dispatch_returns.returns.online.requests import OnlineRequest
from dispatch_returns.store import Store, outbox
from tests.support import stores
from tests.support.desk import NOW

ASKED = OnlineRequest(
    id="req_1",
    workspace_id="ws_1",
    order_id="1234",
    order_key="1234",
    items=[{"sku": "A", "quantity": 2}],
    reason="other",
    detail=None,
    language="de",
    email="jane@example.com",
    note="ü\0\ud800",
    ticket_id=None,
    created_at=NOW,
)


@pytest.fixture(params=stores.KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with stores.opened(request.param, tmp_path) as opened:
        yield opened


def test_of_many_attempts_at_once_as_many_count_as_may(store: Store) -> None:
    limit = Limit(5, timedelta(hours=1))

    def attempt(_: int) -> bool:
        return store.write(
            "access.ask", lambda conn: attempts.may(conn, NOW, [("a", limit), ("b", limit)])
        )

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(30))) == 5


def test_attempts_are_forgotten(store: Store) -> None:
    limit = Limit(1, timedelta(hours=1))

    def attempt(hours: float) -> bool:
        now = NOW + timedelta(hours=hours)
        return store.write("access.ask", lambda conn: attempts.may(conn, now, [("a", limit)]))

    assert [attempt(it) for it in (0, 0.5, 1.1, 1.2, 30)] == [True, False, True, False, True]
    with store.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM access_attempts").scalar_one() == 1


def test_a_request_is_stored_once_with_one_message(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        added = list(
            pool.map(
                lambda _: store.write("online.request", lambda conn: requests.add(conn, ASKED)),
                range(8),
            )
        )
    assert sorted(added) == [False] * 7 + [True]
    with store.read() as conn:
        found = requests.get(conn, "req_1")
    lease = timedelta(minutes=1)
    waiting = store.write("message.claim", lambda conn: outbox.claim(conn, NOW, lease, 9))
    assert found == replace(ASKED, note="ü\ufffd\ufffd")
    assert [it.kind for it in waiting] == [requests.KIND]


def test_what_is_kept_of_a_request_names_nobody_once_its_ticket_is_open(store: Store) -> None:
    store.write("online.request", lambda conn: requests.add(conn, ASKED))
    store.write("online.opened", lambda conn: requests.opened(conn, "req_1", "tkt_1"))
    with store.read() as conn:
        (found,) = requests.of_order(conn, "ws_1", "1234")
    assert (found.ticket_id, found.email) == ("tkt_1", None)
