"""Hooks, a client of one's own, closing, bad arguments, and many calls at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from dispatch_returns.client import (
    AsyncDispatchClient,
    DispatchClient,
    Hooks,
    RequestInfo,
    ResponseInfo,
    RetryInfo,
)
from dispatch_returns.errors import ConfigurationError, InvalidArgumentError, ServerError
from tests.support.api_callers import KEY, Asynchronous, Blocking, Caller
from tests.support.api_server import ApiServer, Received, Reply

TICKET = {"id": "tkt_1", "workspace_id": "ws_1", "subject": "s", "status": "open"}
PATH = "/workspaces/ws_1/tickets"
MakeCaller = Callable[..., Caller]


def test_hooks_hear_of_requests_responses_and_retries(
    server: ApiServer, make_caller: MakeCaller
) -> None:
    heard: list[Any] = []
    hooks = Hooks(request=heard.append, response=heard.append, retry=heard.append)
    server.reply(
        Reply(503, headers={"x-request-id": "r1"}), Reply(hang_up=True), Reply(201, TICKET)
    )
    make_caller(hooks=hooks).call("tickets.create", subject="s", idempotency_key="k")
    first, refused, retry, second, retry_again, third, answered = heard
    assert first == RequestInfo("POST", PATH, attempt=1, idempotency_key="k")
    assert isinstance(refused, ResponseInfo)
    assert (refused.status_code, refused.request_id, refused.seconds > 0) == (503, "r1", True)
    assert isinstance(retry, RetryInfo)
    assert (retry.method, retry.path, retry.attempt, retry.wait) == ("POST", PATH, 1, 0.25)
    assert isinstance(retry.error, ServerError)
    assert second == RequestInfo("POST", PATH, attempt=2, idempotency_key="k")
    assert isinstance(retry_again, RetryInfo)
    assert (retry_again.attempt, retry_again.wait) == (2, 0.5)
    assert third == RequestInfo("POST", PATH, attempt=3, idempotency_key="k")
    assert isinstance(answered, ResponseInfo)
    assert answered.status_code == 201


def test_a_hook_hears_neither_the_key_nor_a_query_nor_a_body(
    server: ApiServer, make_caller: MakeCaller
) -> None:
    heard: list[Any] = []
    hooks = Hooks(request=heard.append, response=heard.append, retry=heard.append)
    server.reply(Reply(500, {"message": "jane@example.com"}), Reply(200, []))
    make_caller(hooks=hooks).call("customers.search", "jane@example.com")
    assert len(heard) == 5
    assert KEY not in repr(heard)
    assert "jane" not in repr(heard)


def test_what_a_hook_raises_reaches_the_caller(server: ApiServer, make_caller: MakeCaller) -> None:
    def stop(_: RequestInfo) -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        make_caller(hooks=Hooks(request=stop)).call("tickets.get", "tkt_1")
    assert server.received == []


def test_an_http_client_of_ones_own_is_used_and_stays_open(server: ApiServer) -> None:
    server.reply_json(TICKET, TICKET)
    with httpx.Client(headers={"X-Mine": "yes", "Accept": "text/html"}) as mine:
        with DispatchClient(KEY, "ws_1", base_url=server.url, http_client=mine) as dispatch:
            dispatch.tickets.get("tkt_1")
        assert not mine.is_closed
        assert KEY not in str(mine.headers.raw)
    headers = server.received[0].headers
    assert headers["X-Mine"] == "yes"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Accept"] == "application/json"


def test_an_async_http_client_of_ones_own_is_used_and_stays_open(server: ApiServer) -> None:
    server.reply_json(TICKET)

    async def use() -> None:
        async with httpx.AsyncClient(headers={"X-Mine": "yes"}) as mine:
            async with AsyncDispatchClient(
                KEY, "ws_1", base_url=server.url, http_client=mine
            ) as dispatch:
                await dispatch.tickets.get("tkt_1")
            assert not mine.is_closed

    asyncio.run(use())
    assert server.received[0].headers["X-Mine"] == "yes"
    assert server.received[0].headers["Authorization"] == f"Bearer {KEY}"


def test_the_time_limit_of_ones_own_client_stays_unless_another_is_given() -> None:
    limits: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json=TICKET)

    with httpx.Client(transport=httpx.MockTransport(answer), timeout=7) as mine:
        DispatchClient(KEY, "ws_1", http_client=mine).tickets.get("tkt_1")
        DispatchClient(KEY, "ws_1", http_client=mine, timeout=3).tickets.get("tkt_1")
    assert limits == [7, 3]


def test_a_closed_client_has_closed_its_connections(server: ApiServer) -> None:
    server.reply_json(TICKET)
    with DispatchClient(KEY, "ws_1", base_url=server.url) as dispatch:
        dispatch.tickets.get("tkt_1")
    with pytest.raises(ConfigurationError, match="closed"):
        dispatch.tickets.get("tkt_1")


@pytest.mark.parametrize(
    ("argument", "name", "args", "arguments"),
    [
        ("ticket_id", "tickets.get", ["tkt/1"], {}),
        ("limit", "tickets.list_page", [], {"limit": 0}),
        ("subject", "tickets.create", [], {"subject": ""}),
        ("custom_fields.a.1", "tickets.update", ["t"], {"custom_fields": {"a": [0, 1.5]}}),
        ("set_status", "comments.create", ["t"], {"body": "b", "set_status": "closed"}),
    ],
)
def test_a_bad_argument_is_refused_before_anything_is_sent(  # noqa: PLR0917 - a row of the table
    server: ApiServer, caller: Caller, argument: str, name: str, args: Any, arguments: Any
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        caller.call(name, *args, **arguments)
    assert caught.value.argument == argument
    assert str(caught.value).startswith(f"{argument}: ")
    assert server.received == []


def test_a_list_refuses_a_bad_argument_before_it_is_iterated(caller: Caller) -> None:
    with pytest.raises(InvalidArgumentError, match="limit"):
        caller.client.tickets.list(limit=101)


def test_an_unknown_keyword_is_named_with_the_one_that_was_meant(caller: Caller) -> None:
    with pytest.raises(InvalidArgumentError, match=r"subjekt: .* did you mean subject\?"):
        caller.call("tickets.create", subject="s", subjekt="s")
    with pytest.raises(TypeError, match="positional"):
        caller.call("tickets.create", "s")


def flaky() -> Callable[[Received], Reply]:
    """Fails the first time a ticket is asked for, and then answers with that ticket."""
    asked: set[str] = set()

    def answer(sent: Received) -> Reply:
        ticket_id = sent.path.rpartition("/")[2]
        first = ticket_id not in asked
        asked.add(ticket_id)
        return Reply(500) if first else Reply(body={**TICKET, "id": ticket_id})

    return answer


def test_threads_can_share_a_client(server: ApiServer) -> None:
    server.otherwise = flaky()
    caller = Blocking(server.url)
    ids = [f"tkt_{number}" for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(caller.client.tickets.get, ids))
    caller.close()
    assert [ticket.id for ticket in found] == ids
    assert len(server.received) == 128


def test_tasks_can_share_a_client(server: ApiServer) -> None:
    server.otherwise = flaky()
    ids = [f"tkt_{number}" for number in range(64)]

    async def all_at_once(caller: Asynchronous) -> list[str]:
        found = await asyncio.gather(*map(caller.client.tickets.get, ids))
        return [ticket.id for ticket in found]

    caller = Asynchronous(server.url)
    assert caller.runner.run(all_at_once(caller)) == ids
    caller.close()
    assert len(server.received) == 128


def test_a_call_after_closing_says_so(make_caller: MakeCaller) -> None:
    caller = make_caller()
    caller.close()
    if isinstance(caller, Asynchronous):
        caller.runner = asyncio.Runner()
    with pytest.raises(ConfigurationError, match="this client is closed: make the call before"):
        caller.call("tickets.get", "tkt_1")


def test_a_call_through_an_http_client_that_is_closed_says_whose(server: ApiServer) -> None:
    with httpx.Client() as http:
        client = DispatchClient(KEY, "ws_1", base_url=server.url, http_client=http)
    with pytest.raises(ConfigurationError, match="the http_client of this client is closed"):
        client.tickets.get("tkt_1")


def test_a_second_event_loop_is_refused_with_its_cause(server: ApiServer) -> None:
    client = AsyncDispatchClient(KEY, "ws_1", base_url=server.url)
    server.reply(Reply(200, TICKET))
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(client.tickets.get("tkt_1"))
        with pytest.raises(ConfigurationError, match="another event loop: open one client in each"):
            second.run(client.with_options(timeout=1).tickets.get("tkt_1"))
        first.run(client.aclose())
    assert len(server.received) == 1
