"""Options, raw answers, the rate limit, the log, proxies and transports: in both clients."""

from __future__ import annotations

import asyncio
import io
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from dispatch_returns.client import AsyncDispatchClient, DispatchClient, RateLimit, RawResponse
from dispatch_returns.client.retry import Gate
from dispatch_returns.errors import (
    AuthenticationError,
    InvalidArgumentError,
    NotFoundError,
    ServerError,
)
from tests.support.api_callers import KEY, Caller, PortalAsynchronous, PortalBlocking
from tests.support.api_server import ApiServer, Received, Reply

TICKET = {"id": "tkt_1", "workspace_id": "ws_1", "subject": "Jane's", "status": "open"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RESET = NOW + timedelta(seconds=42)
MakeCaller = Callable[..., Caller]


def limits(remaining: int, reset: datetime = RESET) -> dict[str, str]:
    return {
        "x-ratelimit-limit": "100",
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(int(reset.timestamp())),
    }


def test_a_raw_answer_has_status_headers_request_id_and_value(
    server: ApiServer, caller: Caller
) -> None:
    server.reply(Reply(200, TICKET, {"x-request-id": "req_1", "X-Else": "yes"}))
    raw = caller.call("tickets.with_raw_response.get", "tkt_1")
    assert isinstance(raw, RawResponse)
    assert (raw.status_code, raw.request_id, raw.headers["x-else"]) == (200, "req_1", "yes")
    assert raw.value.id == "tkt_1"
    assert repr(raw) == "RawResponse(status_code=200, request_id='req_1')"


def test_a_raw_page_and_a_raw_delete(server: ApiServer, caller: Caller) -> None:
    server.reply(Reply(200, {"data": [], "pagination": {"hasMore": False}}), Reply(204))
    assert caller.call("tickets.with_raw_response.list_page").value.data == []
    assert caller.call("tickets.with_raw_response.delete", "tkt_1").status_code == 204


def test_a_raw_call_raises_and_retries_as_any_other(server: ApiServer, caller: Caller) -> None:
    server.reply(Reply(500), Reply(404))
    with pytest.raises(NotFoundError):
        caller.call("tickets.with_raw_response.get", "tkt_1")
    assert len(caller.waits) == 1


def test_options_are_the_copys_and_the_connections_are_shared(
    server: ApiServer, make_caller: MakeCaller
) -> None:
    caller = make_caller(max_retries=1)
    hasty = caller.client.with_options(max_retries=0)
    server.reply(Reply(500), Reply(500), Reply(200, TICKET))
    caller.client, patient = hasty, caller.client
    with pytest.raises(ServerError):
        caller.call("tickets.get", "tkt_1")
    assert len(server.received) == 1
    caller.client = patient
    assert caller.call("tickets.get", "tkt_1").id == "tkt_1"
    assert len({it.connection for it in server.received}) == 1


def test_a_resource_takes_options_for_one_call(server: ApiServer, caller: Caller) -> None:
    server.reply(Reply(500), Reply(500), Reply(200, TICKET))
    tickets = caller.client.tickets
    caller.client.tickets = tickets.with_options(max_retries=0)
    with pytest.raises(ServerError):
        caller.call("tickets.get", "tkt_1")
    caller.client.tickets = tickets
    assert caller.call("tickets.get", "tkt_1").id == "tkt_1"


def test_the_time_limit_of_a_copy_is_its_own() -> None:
    seen: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json=TICKET)

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        dispatch = DispatchClient(KEY, "ws_1", http_client=http, timeout=9)
        dispatch.with_options(timeout=2).tickets.get("tkt_1")
        dispatch.tickets.with_options(timeout=3).get("tkt_1")
        dispatch.with_options(max_retries=0).tickets.get("tkt_1")
    assert seen == [2, 3, 9]


@pytest.mark.parametrize("options", [{"timeout": 0}, {"max_retries": -1}])
def test_options_are_checked_as_the_clients_own(caller: Caller, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(options))):
        caller.client.with_options(**options)


def test_closing_a_copy_leaves_the_connections_open(server: ApiServer) -> None:
    server.reply_json(TICKET)
    with DispatchClient(KEY, "ws_1", base_url=server.url) as dispatch:
        dispatch.with_options(timeout=1).close()
        assert dispatch.tickets.get("tkt_1").id == "tkt_1"


def limit_of(caller: Caller) -> Any:
    return caller.client.rate_limit


def test_the_rate_limit_is_that_of_the_last_answer(server: ApiServer, caller: Caller) -> None:
    assert limit_of(caller) is None
    server.reply(Reply(200, TICKET, limits(7)), Reply(404, {}, limits(6)), Reply(200, TICKET))
    caller.call("tickets.get", "tkt_1")
    assert limit_of(caller) == RateLimit(limit=100, remaining=7, reset=RESET)
    assert caller.client.with_options(timeout=1).rate_limit == caller.client.rate_limit
    with pytest.raises(NotFoundError):
        caller.call("tickets.get", "tkt_1")
    assert limit_of(caller).remaining == 6
    caller.call("tickets.get", "tkt_1")
    assert limit_of(caller) is None


@pytest.mark.parametrize("value", ["", "many", "9" * 30])
def test_a_rate_limit_that_is_no_number_is_none(
    server: ApiServer, caller: Caller, value: str
) -> None:
    server.reply(Reply(200, TICKET, limits(7) | {"x-ratelimit-reset": value}))
    caller.call("tickets.get", "tkt_1")
    assert caller.client.rate_limit is None


def test_a_client_that_respects_the_limit_waits_before_it_hits_it(
    server: ApiServer, make_caller: MakeCaller
) -> None:
    caller = make_caller(respect_rate_limit=True, clock=lambda: NOW)
    server.reply(Reply(200, TICKET, limits(1)), Reply(200, TICKET, limits(0)))
    later = NOW + timedelta(seconds=100)
    server.reply(Reply(200, TICKET, limits(0, later)), Reply(200, TICKET, limits(99, later)))
    for waits in ([], [], [42.0], [42.0, 60.0]):
        caller.call("tickets.get", "tkt_1")
        assert caller.waits == waits


def test_without_being_asked_to_a_client_does_not_wait(server: ApiServer, caller: Caller) -> None:
    server.reply(Reply(200, TICKET, limits(0)), Reply(200, TICKET, limits(0)))
    caller.call("tickets.get", "tkt_1")
    caller.call("tickets.get", "tkt_1")
    assert caller.waits == []


def test_threads_together_take_no_more_than_is_left() -> None:
    gate = Gate()
    gate.note(RateLimit(100, 50, RESET))
    free: list[bool] = []

    def take() -> None:
        free.extend(gate.wait(NOW) == 0 for _ in range(20))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(free) == 50
    gate.note(RateLimit(100, 80, RESET))  # an answer that was overtaken
    assert gate.wait(NOW) == 42
    assert gate.wait(RESET) == 0


def test_the_log_tells_of_each_attempt_and_of_nobody(
    server: ApiServer, make_caller: MakeCaller, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply(Reply(503, {"message": "jane@example.com"}), Reply(200, [], {"x-request-id": "r"}))
    with caplog.at_level(logging.DEBUG):
        make_caller().call("customers.search", "jane@example.com")
    lines = [it.getMessage() for it in caplog.records if it.name == "dispatch_returns.client"]
    assert [line.rpartition(" in ")[0] for line in lines] == [
        "GET /workspaces/ws_1/customers/search: 503",
        "GET /workspaces/ws_1/customers/search: 200",
    ]
    assert lines[1].endswith("(request r)")
    # httpx logs the address of every request, so this holds for its lines too.
    assert "jane" not in caplog.text
    assert KEY not in caplog.text
    assert len(caplog.records) > len(lines)


def test_the_calls_go_through_a_proxy(server: ApiServer) -> None:
    # What a proxy gets is the whole address as the path: the test server is the proxy.
    server.otherwise = lambda sent: Reply(200, TICKET)
    proxy = server.url.removesuffix("/v1")
    with httpx.Client(proxy=proxy, trust_env=False) as http:
        dispatch = DispatchClient(KEY, "ws_1", base_url="http://api.test/v1", http_client=http)
        assert dispatch.tickets.get("tkt_1").id == "tkt_1"

    async def use() -> None:
        async with httpx.AsyncClient(proxy=proxy, trust_env=False) as http:
            dispatch = AsyncDispatchClient(
                KEY, "ws_1", base_url="http://api.test/v1", http_client=http
            )
            assert (await dispatch.tickets.get("tkt_1")).id == "tkt_1"

    asyncio.run(use())
    assert [sent.headers["Host"] for sent in server.received] == ["api.test", "api.test"]


def test_a_transport_of_ones_own_carries_the_calls() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json=[])

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        DispatchClient(KEY, "ws_1", http_client=http).customers.search("jane@example.com")
    assert sent[0].url.params["q"] == "jane@example.com"
    assert "jane" not in f"{sent[0].url} {sent[0].url!r} {sent[0]!r}"


def test_a_repr_shows_the_workspace_and_no_key() -> None:
    dispatch = DispatchClient(KEY, "ws_1")
    assert "ws_1" in repr(dispatch.tickets)
    assert KEY not in f"{dispatch!r} {dispatch.tickets!r} {dispatch.with_options(timeout=1)!r}"


STORE = "http://{}/files/att_1?signature=let-me-in"
MADE = {"attachmentId": "att_1", "uploadUrl": "", "expiresIn": 900}
FILE = {"id": "att_1", "filename": "f", "status": "UPLOADED", "size": 5}


def store(server: ApiServer) -> str:
    host = server.url.removeprefix("http://").removesuffix("/v1")
    return STORE.format(host)


def test_a_presigned_address_gets_neither_our_key_nor_our_headers(
    server: ApiServer, caller: Caller
) -> None:
    url = store(server)
    server.reply(Reply(201, {**MADE, "uploadUrl": url}), Reply(200), Reply(200, FILE))
    caller.call("attachments.upload", "tkt_1", io.BytesIO(b"hello"), filename="f.txt")
    made, put, confirmed = server.received
    assert made.json == {"filename": "f.txt", "content_type": "text/plain", "size": 5}
    assert (put.method, put.path, put.body) == ("PUT", "/files/att_1", b"hello")
    assert put.query == {"signature": "let-me-in"}
    assert set(put.headers) <= {"Host", "Content-Type", "Content-Length"}
    assert put.headers["Content-Type"] == "text/plain"
    assert (confirmed.body, confirmed.headers["Content-Type"]) == (b"", "application/json")


def test_a_presigned_address_is_shown_nowhere(
    server: ApiServer, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    denied = Reply(403, b"<Error>let-me-in</Error>")
    server.reply(Reply(201, {**MADE, "uploadUrl": store(server)}), denied)
    with caplog.at_level(logging.DEBUG), pytest.raises(Exception, match="answered 403") as caught:
        caller.call("attachments.upload", "tkt_1", io.BytesIO(b"hello"), filename="f")
    told = f"{caught.value} {caught.value!r} {vars(caught.value)} {caplog.text}"
    assert "let-me-in" not in told
    assert "att_1" in str(caught.value)


def test_an_upload_is_begun_again_where_the_file_can_be_wound_back(
    server: ApiServer, caller: Caller
) -> None:
    server.reply(Reply(201, {**MADE, "uploadUrl": store(server)}), Reply(503))
    server.reply(Reply(hang_up=True), Reply(200), Reply(200, FILE))
    source = io.BytesIO(b"skipped hello")
    source.seek(8)
    caller.call("attachments.upload", "tkt_1", source, filename="f")
    assert [sent.body for sent in server.received[1:4]] == [b"hello"] * 3
    assert len(caller.waits) == 2


def test_a_stream_that_cannot_be_wound_back_is_sent_once(server: ApiServer, caller: Caller) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    server.reply(Reply(201, {**MADE, "uploadUrl": store(server)}), Reply(503))
    with pytest.raises(InvalidArgumentError, match="size"):
        caller.call("attachments.upload", "tkt_1", Pipe(b"hello"), filename="f")
    with pytest.raises(Exception, match="cannot be rewound"):
        caller.call("attachments.upload", "tkt_1", Pipe(b"hello"), filename="f", size=5)
    assert len(server.received) == 2


def test_a_download_that_breaks_off_leaves_no_file(
    server: ApiServer, caller: Caller, tmp_path: Any
) -> None:
    server.otherwise = _cut(store(server))
    with pytest.raises(Exception, match="2 of 5 bytes"):
        caller.call("attachments.download", "tkt_1", "att_1", tmp_path / "f")
    assert len(caller.waits) == 3
    assert list(tmp_path.iterdir()) == []


def _cut(url: str) -> Callable[[Received], Reply]:
    def answer(sent: Received) -> Reply:
        if sent.path == "/files/att_1":
            assert "Authorization" not in sent.headers
            return Reply(200, b"he")
        return Reply(200, {**FILE, "downloadUrl": url})

    return answer


@pytest.mark.parametrize("bad", ["/no/such/file", 7, "text"])
def test_what_is_no_file_is_refused_by_name(caller: Caller, bad: Any) -> None:
    source = io.StringIO("x") if bad == "text" else bad
    with pytest.raises(InvalidArgumentError, match="source"):
        caller.call("attachments.upload", "tkt_1", source, filename="f")


def test_a_refused_key_is_not_taken_for_the_address(server: ApiServer, caller: Caller) -> None:
    server.reply(Reply(401, {"message": "no"}))
    with pytest.raises(AuthenticationError):
        caller.call("attachments.download", "tkt_1", "att_1", "/tmp/never")


@pytest.mark.parametrize("make", [PortalBlocking, PortalAsynchronous])
def test_a_portal_token_is_never_shown_and_a_new_one_is_used(server: ApiServer, make: Any) -> None:
    old, new = "header.claims.old", "header.claims.new"
    server.reply(Reply(200, {"token": new}), Reply(401, {"message": f"{new} is late"}))
    portal = make(server.url, token=old)
    renewed = portal.call("refresh")
    with pytest.raises(AuthenticationError) as caught:
        portal.call("tickets.get", "tkt_1")
    portal.close()
    told = f"{caught.value} {vars(caught.value)} {portal.client!r} {renewed!r}"
    assert new not in told
    assert old not in told
    refreshed, asked = server.received
    assert (refreshed.path, refreshed.body) == ("/v1/portal/refresh", b"")
    assert refreshed.headers["Authorization"] == f"Bearer {old}"
    assert asked.headers["Authorization"] == f"Bearer {new}"


@pytest.mark.parametrize("make", [PortalBlocking, PortalAsynchronous])
def test_a_link_is_verified_without_a_key(server: ApiServer, make: Any) -> None:
    server.reply(Reply(200, {"token": "t"}))
    portal = make(server.url, token="unused")
    portal.call("verify", "link-token", base_url=server.url)
    portal.close()
    [sent] = server.received
    assert sent.json == {"token": "link-token"}
    assert "Authorization" not in sent.headers
