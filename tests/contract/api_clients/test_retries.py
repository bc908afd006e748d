"""What is tried again, when, and how the server knows that it is the same call."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from dispatch_returns import errors
from tests.support.api_callers import Caller
from tests.support.api_server import ApiServer, Reply

TICKET = {"id": "tkt_1", "workspace_id": "ws_1", "subject": "s", "status": "open"}
OK = Reply(body=TICKET)
HANG_UP = Reply(hang_up=True)
MakeCaller = Callable[..., Caller]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again(server: ApiServer, caller: Caller, status: int) -> None:
    server.reply(Reply(status), OK)
    assert caller.call("tickets.get", "tkt_1").id == "tkt_1"
    assert len(server.received) == 2


def test_a_lost_connection_is_tried_again(server: ApiServer, caller: Caller) -> None:
    server.reply(HANG_UP, HANG_UP, OK)
    assert caller.call("tickets.get", "tkt_1").id == "tkt_1"
    assert len(server.received) == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.ValidationError),
        (401, errors.AuthenticationError),
        (402, errors.APIStatusError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (405, errors.APIStatusError),
        (409, errors.ConflictError),
        (422, errors.ValidationError),
    ],
)
def test_a_refusal_is_final(
    server: ApiServer, caller: Caller, status: int, kind: type[errors.APIStatusError]
) -> None:
    server.reply(Reply(status), OK)
    with pytest.raises(errors.APIStatusError) as caught:
        caller.call("tickets.get", "tkt_1")
    assert type(caught.value) is kind
    assert (caught.value.status_code, caught.value.retryable) == (status, False)
    assert len(server.received) == 1
    assert caller.waits == []


@pytest.mark.parametrize(
    ("status", "kind"), [(429, errors.RateLimitError), (500, errors.ServerError)]
)
def test_the_last_failure_is_raised_when_the_attempts_are_used_up(
    server: ApiServer, make_caller: MakeCaller, status: int, kind: type[errors.APIStatusError]
) -> None:
    server.otherwise = lambda _: Reply(status, headers={"x-request-id": f"r{len(server.received)}"})
    with pytest.raises(kind) as caught:
        make_caller(max_retries=2).call("tickets.get", "tkt_1")
    assert (caught.value.request_id, caught.value.retryable) == ("r3", True)
    assert len(server.received) == 3


def test_no_retries_means_one_attempt(server: ApiServer, make_caller: MakeCaller) -> None:
    server.reply(Reply(503), OK)
    with pytest.raises(errors.ServerError):
        make_caller(max_retries=0).call("tickets.get", "tkt_1")
    assert len(server.received) == 1


def test_the_waits_grow(server: ApiServer, caller: Caller) -> None:
    server.reply(Reply(500), Reply(500), Reply(500), OK)
    caller.call("tickets.get", "tkt_1")
    assert caller.waits == [0.25, 0.5, 1.0]  # half of 0.5, 1 and 2 s: the chance here is 0


@pytest.mark.parametrize(
    ("retry_after", "waited"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("Mon, 15 Jan 2024 12:00:09 GMT", 9.0),
        ("Mon, 15 Jan 2024 11:59:00 GMT", 0.0),
        ("3600", 60.0),
        ("soon", 0.25),
    ],
)
def test_retry_after_is_kept_to_up_to_a_minute(
    server: ApiServer, make_caller: MakeCaller, retry_after: str, waited: float
) -> None:
    server.reply(Reply(429, headers={"Retry-After": retry_after}), OK)
    caller = make_caller(clock=lambda: datetime(2024, 1, 15, 12, tzinfo=UTC))
    caller.call("tickets.get", "tkt_1")
    assert caller.waits == [waited]


def test_an_error_says_how_long_the_server_asked_to_wait(
    server: ApiServer, make_caller: MakeCaller
) -> None:
    server.reply(Reply(429, headers={"Retry-After": "3600"}))
    with pytest.raises(errors.RateLimitError) as caught:
        make_caller(max_retries=0).call("tickets.get", "tkt_1")
    assert caught.value.retry_after == 3600


def test_no_answer_in_time_is_a_timeout(server: ApiServer, make_caller: MakeCaller) -> None:
    done = threading.Event()
    server.otherwise = lambda _: Reply(body=TICKET, after=done)
    try:
        with pytest.raises(errors.APITimeoutError) as caught:
            make_caller(timeout=0.05, max_retries=1).call("tickets.get", "tkt_1")
    finally:
        done.set()
    assert caught.value.retryable
    assert len(server.received) == 2


def test_nobody_listening_is_a_connection_error(make_caller: MakeCaller) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        caller = make_caller(f"http://127.0.0.1:{bound.getsockname()[1]}", max_retries=1)
        refused = pytest.raises(errors.APIConnectionError, match=r"^GET .*/tkt_1: no connection: ")
        with refused as caught:
            caller.call("tickets.get", "tkt_1")
    assert len(caller.waits) == 1
    # httpx's error holds its request, and that one the key.
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_all_attempts_of_a_create_carry_the_same_key(server: ApiServer, caller: Caller) -> None:
    server.reply(HANG_UP, Reply(500), Reply(429), Reply(201, TICKET))
    caller.call("tickets.create", subject="s")
    keys = {sent.headers["X-Idempotency-Key"] for sent in server.received}
    assert len(server.received) == 4
    assert len(keys) == 1


def test_each_create_has_a_key_of_its_own(server: ApiServer, caller: Caller) -> None:
    server.reply(Reply(201, TICKET), Reply(201, TICKET))
    caller.call("tickets.create", subject="s")
    caller.call("tickets.create", subject="s")
    first, second = (sent.headers["X-Idempotency-Key"] for sent in server.received)
    assert first != second
    assert len(first) >= 32


def test_a_key_that_is_given_is_used(server: ApiServer, caller: Caller) -> None:
    server.reply(Reply(500), Reply(201, TICKET))
    caller.call("tickets.create", subject="s", idempotency_key="order-1234")
    assert {sent.headers["X-Idempotency-Key"] for sent in server.received} == {"order-1234"}


def test_no_other_method_carries_a_key(server: ApiServer, caller: Caller) -> None:
    server.reply(OK, OK, Reply(204))
    caller.call("tickets.get", "tkt_1")
    caller.call("tickets.update", "tkt_1", status="open")
    caller.call("tickets.delete", "tkt_1")
    assert all("X-Idempotency-Key" not in sent.headers for sent in server.received)


# A change, which may be sent again only where it was certainly not carried out.


@pytest.mark.parametrize(
    "lost", [HANG_UP, Reply(408), Reply(500), Reply(502), Reply(503), Reply(504)]
)
def test_a_change_that_may_have_been_carried_out_is_not_sent_again(
    server: ApiServer, caller: Caller, lost: Reply
) -> None:
    server.reply(lost, OK)
    with pytest.raises(errors.OutcomeUnknownError, match="may have been carried out") as caught:
        caller.call("tickets.update", "tkt_1", status="open")
    assert caught.value.status_code == (None if lost.hang_up else lost.status)
    assert not caught.value.retryable
    assert len(server.received) == 1
    assert caller.waits == []


def test_a_change_without_an_answer_in_time_is_not_sent_again(
    server: ApiServer, make_caller: MakeCaller
) -> None:
    done = threading.Event()
    server.otherwise = lambda _: Reply(body=TICKET, after=done)
    try:
        with pytest.raises(errors.OutcomeUnknownError):
            make_caller(timeout=0.05).call("tickets.update", "tkt_1", status="open")
    finally:
        done.set()
    assert len(server.received) == 1


def test_a_change_that_was_not_carried_out_is_sent_again(server: ApiServer, caller: Caller) -> None:
    server.reply(Reply(429), OK)
    assert caller.call("tickets.update", "tkt_1", status="open").id == "tkt_1"
    assert len(server.received) == 2


def test_a_change_that_never_left_is_tried_again(make_caller: MakeCaller) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        caller = make_caller(f"http://127.0.0.1:{bound.getsockname()[1]}", max_retries=2)
        with pytest.raises(errors.APIConnectionError, match="no connection"):
            caller.call("tickets.update", "tkt_1", status="open")
    assert len(caller.waits) == 2


def test_a_deletion_is_tried_again(server: ApiServer, caller: Caller) -> None:
    server.reply(HANG_UP, Reply(503), Reply(204))
    caller.call("tickets.delete", "tkt_1")
    assert len(server.received) == 3
