"""Whatever is sent, the sandbox answers, and never with a failure of its own."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Generator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dispatch_sandbox
from dispatch_sandbox import tokens

WORDS = [
    "tickets", "comments", "webhooks", "deliveries", "statuses", "fields", "ticket", "customer",
    "customers", "contacts", "search", "order_id", "ws_sandbox", "*", "", "..", "%00", "é",
    "TICKET", "attachments", "confirm", "categories", "tags", "stats", "reorder", "spam", "merge",
    "bulk", "portal", "token", "magic-link",
]  # fmt: skip
NAMES = [
    "subject", "title", "body", "status", "priority", "customer_email", "customerEmail",
    "assignee_id", "tags", "links", "custom_fields", "customFields", "metadata", "source",
    "is_spam", "author_type", "parent_id", "set_status", "cc", "url", "events", "secret", "name",
    "key", "type", "label", "options", "required", "sort_order", "is_active", "email", "company_id",
    "filename", "content_type", "contentType", "size", "ticket_ids", "ticketIds", "action", "keys",
    "source_ticket_ids", "sourceTicketIds", "status_ids", "category_ids", "slug", "portal_url",
]  # fmt: skip
GOOD = [
    "x", "open", "pending", "low", "text", "jane@example.com", ["*"], ["x"], {}, True, None,
    "http://127.0.0.1:9/", "CUSTOMER", "\x00", "\ud800", 10**400, 1e300,
]  # fmt: skip
values = st.recursive(
    st.sampled_from(GOOD) | st.text(max_size=8) | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
bodies = (
    st.dictionaries(st.sampled_from(NAMES), values, max_size=8).map(
        lambda body: json.dumps(body).encode()
    )
    | values.map(lambda body: json.dumps(body).encode())
    | st.binary(max_size=40)
)
paths = st.lists(st.sampled_from(WORDS), max_size=5).map("/".join)
queries = st.dictionaries(
    st.sampled_from(
        ["limit", "cursor", "sort", "order", "status", "created_after", "tag_ids", "q"]
    ),
    st.text(max_size=12) | st.sampled_from(["1", "asc", "active", "2026-01-01", "priority"]),
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "x-idempotency-key": st.binary(max_size=300),
        "content-type": st.sampled_from([b"application/json", b"text/plain", b"\xff"]),
    },
)


@pytest.fixture(scope="module")
def served() -> Generator[dispatch_sandbox.Sandbox]:
    policy = dispatch_sandbox.DeliveryPolicy(attempts=1, timeout=0.5)
    with dispatch_sandbox.running(state=dispatch_sandbox.SandboxState(deliveries=policy)) as box:
        yield box


async def ask(
    state: dispatch_sandbox.SandboxState, method: str, path: str, **request: Any
) -> httpx.Response:
    transport = httpx.ASGITransport(dispatch_sandbox.create_app(state), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.request(method, path, **request)


@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD"]),
    style=st.sampled_from(["workspaces", "brands"]),
    path=paths,
    query=queries,
    body=bodies,
    header=headers,
)
@settings(max_examples=400)
def test_any_call_gets_an_answer(  # noqa: PLR0917 - drawn by name
    method: str,
    style: str,
    path: str,
    query: dict[str, str],
    body: bytes,
    header: dict[str, bytes],
) -> None:
    state = dispatch_sandbox.SandboxState()
    ticket = dispatch_sandbox.add_ticket(state, title="x", customerEmail="jane@example.com")
    path = path.replace("TICKET", ticket["id"])
    answer = asyncio.run(
        ask(
            state,
            method,
            f"/v1/{style}/ws_sandbox/{path}",
            params=query,
            content=body,
            headers={"authorization": f"Bearer {dispatch_sandbox.API_KEY}", **header},
        )
    )
    assert answer.status_code < 500
    assert answer.headers["x-request-id"]
    if answer.status_code != 204 and method != "HEAD":
        answer.json()
    assert state.summary()


@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT"]),
    path=st.sampled_from(
        ["accounts/me", "accounts/me/usage", "accounts/me/api-keys", "accounts/me/api-keys/x/scope",
         "portal/verify", "portal/refresh", "portal/tickets", "portal/tickets/TICKET",
         "portal/tickets/TICKET/comments", "portal/tickets/TICKET/attachments",
         "portal/tickets/attachments/pending", "portal/tickets/attachments/pending/x/confirm",
         "brands", "workspaces", "brands/ws_sandbox", "brands/ws_sandbox/portal/magic-link"]
    ),
    query=queries,
    body=bodies,
    key=st.sampled_from(["key", "token", "", "Bearer ..", "Bearer \xff.\xff.\xff"]),
)  # fmt: skip
@settings(max_examples=150)
def test_any_call_outside_a_workspace_gets_an_answer(
    method: str, path: str, query: dict[str, str], body: bytes, key: str
) -> None:
    state = dispatch_sandbox.SandboxState()
    ticket = dispatch_sandbox.add_ticket(state, title="x", customerEmail="jane@example.com")
    customer = ticket["customerId"]
    claims = {"sub": customer, "brandId": "ws_sandbox", "exp": 10**10}
    token = tokens.issue(claims, state.portal_secret)
    given = {"key": f"Bearer {dispatch_sandbox.API_KEY}", "token": f"Bearer {token}"}.get(key, key)
    answer = asyncio.run(
        ask(
            state,
            method,
            f"/v1/{path.replace('TICKET', ticket['id'])}",
            params=query,
            content=body,
            headers={"authorization": given.encode("latin-1")},
        )
    )
    assert answer.status_code < 500
    if answer.status_code != 204:
        answer.json()


@given(path=st.sampled_from(["faults", "redeliver", "reset", "state"]), body=bodies)
@settings(max_examples=60)
def test_any_control_call_gets_an_answer(path: str, body: bytes) -> None:
    state = dispatch_sandbox.SandboxState()
    answer = asyncio.run(ask(state, "POST", f"/_sandbox/{path}", content=body))
    assert answer.status_code < 500


@pytest.mark.parametrize(
    "line",
    [
        b"GET /v1/workspaces/ws_sandbox/tickets?limit=%ff%00 HTTP/1.1",
        b"GET /v1/workspaces/ws_sandbox/tickets?cursor=%ff HTTP/1.1",
        b"GET /v1/workspaces/%ff%fe/tickets HTTP/1.1",
        b"GET /v1/workspaces/ws_sandbox/tickets/%00 HTTP/1.1",
        b"GET /v1/brands/ws_sandbox/tickets/" + b"a/" * 500 + b" HTTP/1.1",
        b"POST //v1//workspaces HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
    ],
)
def test_raw_bytes_get_an_answer(
    served: dispatch_sandbox.Sandbox, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk() -> bytes:
        host, port = served.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        key = dispatch_sandbox.API_KEY.encode()
        writer.write(line + b"\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer " + key)
        writer.write(b"\r\nx-idempotency-key: \xff\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    with caplog.at_level(logging.ERROR):
        status = asyncio.run(talk()).split(b" ")[1]
    assert 200 <= int(status) < 500
    assert caplog.records == []
