"""The receiver without a framework: what it answers, what it keeps, what it logs."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import logging
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dispatch_returns.store import Store
from dispatch_returns.store.inbox import EventState
from dispatch_returns.webhooks import Answer, Receiver
from dispatch_returns.webhooks.receiver import BaseReceiver, InboxStore
from tests.support.waiting import wait_until
from tests.support.webhooks import (
    HEADER,
    NOW,
    SECRET,
    ClosedStore,
    FullDisk,
    StuckStore,
    clock,
    event_body,
    signed,
    stored,
)

Receive = Callable[..., Answer]


@pytest.fixture
def store(tmp_path: Path) -> Generator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'inbox.db'}") as opened:
        yield opened


def blocking(receiver: Receiver, *request: Any) -> Answer:
    return receiver.receive(*request)


def awaited(receiver: Receiver, *request: Any) -> Answer:
    return asyncio.run(receiver.receive_async(*request))


@pytest.fixture(params=[blocking, awaited])
def receive(request: pytest.FixtureRequest) -> Receive:
    """Either way to call a receiver: what is true of one is true of the other."""
    way: Receive = request.param
    return way


def on(store: InboxStore, **options: Any) -> Receiver:
    return Receiver(store, SECRET, **{"clock": clock, **options})


def said(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["status"]


def test_an_event_is_accepted_and_on_disk(store: Store, receive: Receive) -> None:
    body = event_body()
    answer = receive(on(store), "POST", signed(body), body)
    assert answer == Answer(200, b'{"status": "accepted"}', (("content-type", "application/json"),))
    [event] = stored(store)
    assert (event.source, event.event_id, event.type) == ("dispatch", "evt_1", "ticket.updated")
    assert (event.workspace_id, event.ticket_id) == ("br_1", "tkt_1")
    assert event.body == body
    assert (event.state, event.received_at) == (EventState.ACCEPTED, NOW)
    assert event.occurred_at == NOW - timedelta(seconds=30)


def test_a_repeated_event_is_acknowledged_and_kept_once(store: Store, receive: Receive) -> None:
    receiver = on(store)
    first, again = event_body(), event_body(brand_id="br_2")  # the id alone decides
    assert said(receive(receiver, "POST", signed(first), first)) == (200, "accepted")
    assert said(receive(receiver, "POST", signed(again), again)) == (200, "repeated")
    assert [event.body for event in stored(store)] == [first]


@pytest.mark.parametrize("body", [b"", b"not JSON", b"\xff", event_body(timestamp=None)])
def test_what_is_authentic_and_not_understood_is_kept(
    store: Store, receive: Receive, body: bytes
) -> None:
    accepted: list[None] = []
    receiver = on(store, on_accept=lambda: accepted.append(None))
    assert said(receive(receiver, "POST", signed(body), body)) == (200, "unreadable")
    assert said(receive(receiver, "POST", signed(body), body)) == (200, "repeated")
    [event] = stored(store)
    assert event.event_id == "sha256:" + hashlib.sha256(body).hexdigest()
    assert (event.type, event.state) == ("unreadable", EventState.UNREADABLE)
    assert (event.workspace_id, event.ticket_id, event.occurred_at) == (None, None, None)
    assert event.body == body
    assert accepted == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {HEADER: ""},
        {HEADER: "sha256=" + "0" * 64},
        {HEADER: signed(event_body())[HEADER] + ", " + signed(event_body())[HEADER]},
        {HEADER: signed(event_body())[HEADER], HEADER.lower(): signed(event_body())[HEADER]},
        {HEADER: signed(event_body(), "another")[HEADER]},
        {"X-Signature": signed(event_body())[HEADER]},
    ],
)
def test_what_is_not_authentic_is_refused_without_a_reason(
    store: Store, receive: Receive, headers: Mapping[str, str]
) -> None:
    answer = receive(on(store), "POST", headers, event_body())
    assert (answer.status, answer.body) == (401, b'{"status": "unauthorized"}')
    assert stored(store) == []


@pytest.mark.parametrize("secrets", ["", [], [""]])
def test_without_a_secret_everything_is_refused(
    store: Store, receive: Receive, secrets: Any
) -> None:
    receiver = Receiver(store, secrets, clock=clock)
    answer = receive(receiver, "POST", signed(event_body()), event_body())
    assert answer.status == 401


def test_each_of_several_secrets_is_taken(store: Store, receive: Receive) -> None:
    receiver = Receiver(store, ["new", "old"], clock=clock)
    for number, secret in enumerate(["new", "old"]):
        body = event_body(id=f"evt_{number}")
        assert receive(receiver, "POST", signed(body, secret), body).status == 200


@pytest.mark.parametrize("name", ["X-DISPATCH-SIGNATURE", "x-dispatch-signature"])
def test_header_names_are_of_any_case(store: Store, receive: Receive, name: str) -> None:
    headers = {name: signed(event_body())[HEADER]}
    assert receive(on(store), "POST", headers, event_body()).status == 200


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (timedelta(days=7), 200),
        (timedelta(days=7, seconds=1), 401),
        (-timedelta(minutes=5), 200),
        (-timedelta(minutes=5, seconds=1), 401),
        (NOW - NOW.min.replace(tzinfo=NOW.tzinfo), 401),
        (NOW - NOW.max.replace(tzinfo=NOW.tzinfo), 401),
    ],
)
def test_a_replay_is_refused_in_both_directions(
    store: Store, receive: Receive, age: timedelta, status: int
) -> None:
    body = event_body(timestamp=(NOW - age).isoformat())
    answer = receive(on(store), "POST", signed(body), body)
    assert answer.status == status
    assert len(stored(store)) == (status == 200)
    if status == 401:
        assert answer.body == b'{"status": "unauthorized"}'


def test_the_limits_are_settings(store: Store, receive: Receive) -> None:
    receiver = on(store, max_age=timedelta(seconds=29), max_body=1000)
    assert receive(receiver, "POST", signed(event_body()), event_body()).status == 401
    receiver = on(store, max_future=timedelta(hours=1))
    body = event_body(timestamp=(NOW + timedelta(minutes=59)).isoformat())
    assert receive(receiver, "POST", signed(body), body).status == 200


def test_the_defaults_are_the_designs(store: Store) -> None:
    defaults = {
        name: parameter.default
        for kind in (BaseReceiver, Receiver)
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert defaults["max_age"] == timedelta(days=7)
    assert defaults["max_future"] == timedelta(minutes=5)
    assert defaults["max_body"] == 1_048_576
    assert defaults["max_wait"] < timedelta(seconds=10)  # senders hang up then
    assert abs(defaults["clock"]() - NOW.now(NOW.tzinfo)) < timedelta(minutes=1)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post", ""])
def test_only_post_is_taken(store: Store, receive: Receive, method: str) -> None:
    answer = receive(on(store), method, signed(event_body()), event_body())
    assert answer.status == 405
    assert ("allow", "POST") in answer.headers
    assert stored(store) == []


def test_a_body_may_be_as_large_as_the_limit_and_not_larger(store: Store, receive: Receive) -> None:
    body = event_body()
    fits = on(store, max_body=len(body))
    too_small = on(store, max_body=len(body) - 1)
    assert receive(too_small, "POST", signed(body), body).status == 413
    assert stored(store) == []
    assert receive(fits, "POST", signed(body), body).status == 200


@pytest.mark.parametrize(
    ("length", "status"),
    [
        ("10", None),
        ("11", 413),
        ("0", None),
        ("0010", None),
        ("9" * 18, 413),
        ("9" * 19, 413),
        ("9" * 5000, 413),
        ("", 400),
        ("ten", 400),
        ("-1", 400),
        ("+1", 400),
        ("1.0", 400),
        ("1_0", 400),
        ("٣", 400),
        ("²", 400),
        ("5, 5", 400),
    ],
)
def test_a_length_is_believed_when_it_refuses(
    store: Store, receive: Receive, length: str, status: int | None
) -> None:
    receiver = on(store, max_body=10)
    refusal = receiver.refusal("POST", {"Content-Length": length})
    assert (refusal and refusal.status) == status
    if status is not None:
        assert receive(receiver, "POST", {"content-length": length}, b"").status == status


def test_a_request_without_a_length_is_not_refused_for_it(store: Store) -> None:
    assert on(store).refusal("POST", {}) is None


@pytest.mark.parametrize("broken", [ClosedStore, FullDisk])
def test_nothing_is_acknowledged_that_is_not_on_disk(
    receive: Receive, broken: type[InboxStore]
) -> None:
    accepted: list[None] = []
    receiver = on(broken(), on_accept=lambda: accepted.append(None))
    answer = receive(receiver, "POST", signed(event_body()), event_body())
    assert said(answer) == (503, "unavailable")
    assert ("retry-after", "30") in answer.headers
    assert b"disk" not in answer.body
    assert accepted == []


def test_a_store_that_does_not_answer_in_time_is_unavailable(receive: Receive) -> None:
    store = StuckStore()
    receiver = on(store, max_wait=timedelta(milliseconds=20))
    answer = receive(receiver, "POST", signed(event_body()), event_body())
    assert said(answer) == (503, "unavailable")
    store.futures[0].set_result([True])  # what the store does later disturbs nobody


def test_the_answer_waits_for_the_disk() -> None:
    store = StuckStore()
    receiver = on(store)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(receiver.receive, "POST", signed(event_body()), event_body())
        wait_until(lambda: bool(store.futures))
        assert not answer.done()
        store.futures[0].set_result([True])
        assert said(answer.result(5)) == (200, "accepted")


def test_waiting_for_the_disk_does_not_hold_up_the_event_loop() -> None:
    store = StuckStore()
    receiver = on(store)

    async def two_at_once() -> tuple[Answer, Answer]:
        first = asyncio.create_task(
            receiver.receive_async("POST", signed(event_body()), event_body())
        )
        other = event_body(id="evt_2")
        second = asyncio.create_task(receiver.receive_async("POST", signed(other), other))
        await asyncio.sleep(0)  # both run up to where they wait for the store
        assert len(store.futures) == 2
        assert not first.done()
        threading.Thread(target=store.futures[1].set_result, args=[[False]]).start()
        answer = await second
        assert not first.done()
        store.futures[0].set_result([True])
        return await first, answer

    first, second = asyncio.run(two_at_once())
    assert (said(first), said(second)) == ((200, "accepted"), (200, "repeated"))


def test_a_client_that_hangs_up_disturbs_no_commit(store: Store) -> None:
    receiver = on(store)

    async def hang_up() -> None:
        task = asyncio.create_task(
            receiver.receive_async("POST", signed(event_body()), event_body())
        )
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(hang_up())
    wait_until(lambda: len(stored(store)) == 1)
    assert said(blocking(receiver, "POST", signed(event_body()), event_body()))[1] == "repeated"


def test_the_worker_is_told_after_the_commit_and_of_new_events_only(
    store: Store, receive: Receive
) -> None:
    seen: list[int] = []
    receiver = on(store, on_accept=lambda: seen.append(len(stored(store))))
    for _ in range(3):
        receive(receiver, "POST", signed(event_body()), event_body())
    assert seen == [1]


def test_an_event_stays_accepted_when_the_worker_cannot_be_told(
    store: Store, receive: Receive, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("private")

    receiver = on(store, on_accept=fail)
    assert said(receive(receiver, "POST", signed(event_body()), event_body())) == (200, "accepted")
    assert "on_accept failed: RuntimeError" in caplog.text
    assert "private" not in caplog.text


def test_an_error_of_the_program_is_not_dressed_up(receive: Receive) -> None:
    class Wrong(FullDisk):
        def submit(self, name: str, work: Any, /) -> Any:
            raise KeyError("a bug")

    with pytest.raises(KeyError):
        receive(on(Wrong()), "POST", signed(event_body()), event_body())


def test_the_transaction_has_the_name_the_crash_tests_know(receive: Receive) -> None:
    names: list[str] = []

    class Named(FullDisk):
        def submit(self, name: str, work: Any, /) -> Any:
            names.append(name)
            return super().submit(name, work)

    receive(on(Named()), "POST", signed(event_body()), event_body())
    assert names == ["inbox.accept"]


def test_many_at_once_are_each_kept_once(store: Store) -> None:
    receiver = on(store)

    async def all_at_once() -> list[Answer]:
        bodies = [event_body(id=f"evt_{number % 20}") for number in range(60)]
        return await asyncio.gather(
            *(receiver.receive_async("POST", signed(body), body) for body in bodies)
        )

    words = [said(answer)[1] for answer in asyncio.run(all_at_once())]
    assert (words.count("accepted"), words.count("repeated")) == (20, 40)
    assert len(stored(store)) == 20


def test_each_loop_gets_its_own_answers(store: Store) -> None:
    receiver = on(store)

    def several(thread: int) -> list[Answer]:
        async def receive() -> list[Answer]:
            bodies = [event_body(id=f"evt_{thread}_{number}") for number in range(30)]
            return await asyncio.gather(
                *(receiver.receive_async("POST", signed(body), body) for body in bodies)
            )

        return asyncio.run(receive())

    with ThreadPoolExecutor(4) as pool:
        answers = [answer for answers in pool.map(several, range(4)) for answer in answers]
    assert {said(answer) for answer in answers} == {(200, "accepted")}
    assert len(stored(store)) == 120


# -- logs -----------------------------------------------------------------------------------


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(level, text) for name, level, text in caplog.record_tuples if "webhooks" in name]


def test_an_accepted_event_is_logged_by_its_ids(
    store: Store, receive: Receive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for _ in range(2):
        receive(on(store), "POST", signed(event_body()), event_body())
    assert logged(caplog) == [
        (logging.INFO, "event evt_1 accepted (ticket.updated, ticket tkt_1)"),
        (logging.INFO, "event evt_1 repeated (ticket.updated, ticket tkt_1)"),
    ]


def test_of_an_unauthenticated_request_only_the_length_is_logged(
    store: Store, receive: Receive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receive(on(store), "POST", {HEADER: "sha256=" + "f" * 64}, event_body())
    assert logged(caplog) == [
        (
            logging.WARNING,
            f"delivery refused: the signature does not match ({len(event_body())} bytes)",
        )
    ]


def test_a_replay_is_logged_by_its_id(
    store: Store, receive: Receive, caplog: pytest.LogCaptureFixture
) -> None:
    body = event_body(timestamp="2024-01-01T12:00:00Z")
    receive(on(store), "POST", signed(body), body)
    assert logged(caplog) == [
        (
            logging.WARNING,
            "delivery refused: event evt_1 is 14 days, 0:00:00 old: taken for a replay (373 bytes)",
        )
    ]


def test_an_unreadable_event_is_logged_with_its_reason(
    store: Store, receive: Receive, caplog: pytest.LogCaptureFixture
) -> None:
    body = b"private"
    receive(on(store), "POST", signed(body), body)
    name = "sha256:" + hashlib.sha256(body).hexdigest()
    assert logged(caplog) == [
        (
            logging.WARNING,
            f"event {name} cannot be understood and is kept: the body is not a JSON object",
        )
    ]


def test_an_event_that_was_not_stored_is_logged(
    receive: Receive, caplog: pytest.LogCaptureFixture
) -> None:
    receive(on(FullDisk()), "POST", signed(event_body()), event_body())
    assert logged(caplog) == [
        (logging.ERROR, "event evt_1 not stored, to be sent again: StoreUnavailableError")
    ]


def test_no_log_and_no_repr_holds_a_secret_or_a_customer(
    store: Store, receive: Receive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver = on(store)
    for body in (event_body(), b"jane", event_body(data={"id": 5, "customerEmail": "jane@"})):
        receive(receiver, "POST", signed(body), body)
        receive(receiver, "POST", signed(body, "wrong"), body)
    shown = caplog.text + repr(receiver)
    for private in (SECRET, "jane", "Jane", signed(event_body())[HEADER][7:], "#1234"):
        assert private not in shown
