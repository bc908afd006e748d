"""A delivery for each event that somebody subscribed to, with the documented data."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

import dispatch_sandbox
from dispatch_returns.webhooks.events import parse
from tests.support.hook_server import HookServer

WAIT = 10.0
ABOUT = {"customerId", "customerEmail", "customerName"}


def upload(api: httpx.Client, ticket: str) -> str:
    """Upload a file to a ticket, and give its path."""
    body = {"filename": "a.txt", "content_type": "text/plain", "size": 5}
    made = api.post(f"tickets/{ticket}/attachments", json=body).json()
    assert httpx.put(made["upload_url"], content=b"hello").status_code == 200
    path = f"tickets/{ticket}/attachments/{made['attachment_id']}"
    assert api.post(f"{path}/confirm").status_code == 200
    return path


@pytest.fixture
def told(
    box: dispatch_sandbox.Sandbox, api: httpx.Client, hooks: HookServer
) -> dict[str, dict[str, Any]]:
    """The data of one event of each kind, after something of each kind was done."""
    assert api.post("webhooks", json={"url": hooks.url, "events": ["*"]}).status_code == 201
    body = {"subject": "Return", "customer_email": "jane@example.com", "customer_name": "Jane"}
    ticket = api.post("tickets", json=body).json()["id"]
    for status in ("closed", "open"):
        api.patch(f"tickets/{ticket}", json={"status": status})
    comment = api.post(f"tickets/{ticket}/comments", json={"body": "Hello"}).json()["id"]
    api.patch(f"tickets/{ticket}/comments/{comment}", json={"body": "Changed"})
    api.delete(f"tickets/{ticket}/comments/{comment}")
    api.delete(upload(api, ticket))
    api.delete(f"tickets/{ticket}")
    assert box.state.deliveries.wait_until_settled(WAIT)
    for post in hooks.posts:
        assert parse(post.body).type == post.json["event"]
    return {post.json["event"]: post.json["data"] for post in hooks.posts}


def test_every_named_event_is_delivered(told: dict[str, dict[str, Any]]) -> None:
    assert set(told) == {
        "ticket.created", "ticket.updated", "ticket.deleted", "ticket.closed", "ticket.reopened",
        "ticket.comment.created", "comment.updated", "comment.deleted", "attachment.created",
        "attachment.deleted", "customer.created",
    }  # fmt: skip
    assert all(data.keys() >= ABOUT for data in told.values())
    assert {data["customerEmail"] for data in told.values()} == {"jane@example.com"}


def test_a_closed_and_a_reopened_ticket_tell_their_status(told: dict[str, dict[str, Any]]) -> None:
    assert (told["ticket.closed"]["status"], told["ticket.reopened"]["status"]) == (
        "closed",
        "open",
    )
    assert "changes" not in told["ticket.closed"]
    assert told["ticket.deleted"]["deletedAt"]


def test_a_comment_tells_its_text_and_its_ticket(told: dict[str, dict[str, Any]]) -> None:
    assert told["comment.updated"]["comment"]["body"] == "Changed"
    for name in ("ticket.comment.created", "comment.updated", "comment.deleted"):
        assert told[name]["ticketNumber"] == "1"
        assert set(told[name]["comment"]) == {"id", "body", "authorId", "authorType", "createdAt"}


def test_an_attachment_tells_what_it_is_and_not_where(told: dict[str, dict[str, Any]]) -> None:
    for name in ("attachment.created", "attachment.deleted"):
        shown = told[name]["attachment"]
        assert set(shown) == {"id", "filename", "contentType", "size", "createdAt"}


def test_a_webhook_gets_the_name_of_the_event_it_subscribed_to(
    box: dispatch_sandbox.Sandbox, api: httpx.Client, hooks: HookServer
) -> None:
    for name in ("comment.created", "ticket.comment.created"):
        api.post("webhooks", json={"url": f"{hooks.url}/{name}", "events": [name]})
    ticket = api.post("tickets", json={"subject": "Return"}).json()["id"]
    api.post(f"tickets/{ticket}/comments", json={"body": "Hello"})
    assert box.state.deliveries.wait_until_settled(WAIT)
    assert {post.path.rpartition("/")[2]: post.json["event"] for post in hooks.posts} == {
        "comment.created": "comment.created",
        "ticket.comment.created": "ticket.comment.created",
    }


class TestPresigned:
    """The addresses of attachments."""

    @pytest.fixture
    def made(self, api: httpx.Client) -> dict[str, Any]:
        ticket = api.post("tickets", json={"subject": "Return"}).json()["id"]
        body = {"filename": "a.txt", "content_type": "text/plain", "size": 5}
        answer: dict[str, Any] = api.post(f"tickets/{ticket}/attachments", json=body).json()
        return answer

    def test_a_key_of_ones_own_is_refused(self, made: dict[str, Any]) -> None:
        headers = {"authorization": f"Bearer {dispatch_sandbox.API_KEY}"}
        answer = httpx.put(made["upload_url"], content=b"hello", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "two_permissions")
        assert answer.headers["x-request-id"]

    def test_another_signature_is_refused(self, made: dict[str, Any]) -> None:
        for url in (made["upload_url"][:-1], made["upload_url"].partition("?")[0]):
            assert httpx.put(url, content=b"hello").status_code == 403
        assert httpx.get(made["upload_url"]).status_code == 403  # it is for writing

    def test_more_than_was_announced_is_refused(self, made: dict[str, Any]) -> None:
        assert httpx.put(made["upload_url"], content=b"hello!").status_code == 400

    def test_an_address_is_good_for_fifteen_minutes(self, made: dict[str, Any]) -> None:
        assert made["expires_in"] == 900
        late = made["upload_url"].replace("expires=20", "expires=19")
        assert httpx.put(late, content=b"hello").status_code == 403


def test_attachments_keys_and_workspaces_outlive_a_restart(tmp_path: Any) -> None:
    file = tmp_path / "sandbox.db"
    headers = {"authorization": f"Bearer {dispatch_sandbox.API_KEY}"}
    with (
        dispatch_sandbox.running(file=file) as box,
        httpx.Client(base_url=f"{box.api_url}/workspaces/ws_sandbox", headers=headers) as api,
    ):
        ticket = api.post("tickets", json={"subject": "Return"}).json()["id"]
        path = upload(api, ticket)
        key = api.post(f"{box.api_url}/accounts/me/api-keys", json={"name": "k"}).json()["key"]
        gone = api.post(f"{box.api_url}/workspaces", json={"name": "Gone"}).json()["id"]
        api.delete(f"{box.api_url}/workspaces/{gone}", params={"confirm": "true"})
    with (
        dispatch_sandbox.running(file=file) as box,
        httpx.Client(
            base_url=f"{box.api_url}/workspaces/ws_sandbox",
            headers={"authorization": f"Bearer {key}"},
        ) as api,
    ):
        assert httpx.get(api.get(path).json()["download_url"]).content == b"hello"
        assert [it["id"] for it in api.get(f"{box.api_url}/workspaces").json()] == ["ws_sandbox"]


def test_a_portal_token_ends_after_an_hour(tmp_path: Any) -> None:
    from datetime import UTC, datetime, timedelta

    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    state = dispatch_sandbox.SandboxState(clock=lambda: now[0])
    with dispatch_sandbox.running(state=state) as box:
        made = httpx.post(
            f"{box.api_url}/brands/ws_sandbox/portal/token",
            json={"email": "jane@example.com"},
            headers={"authorization": f"Bearer {dispatch_sandbox.API_KEY}"},
        ).json()
        assert made["token"].count(".") == 2
        assert made["expiresAt"] == "2026-01-01T01:00:00.000Z"
        headers = {"authorization": f"Bearer {made['token']}"}
        codes = []
        for minutes in (0, 59, 61):
            now[0] = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
            answer = httpx.get(f"{box.api_url}/portal/tickets", headers=headers)
            codes.append(answer.status_code)
    assert codes == [200, 200, 401]


def test_the_bytes_go_with_an_attachment_and_with_a_workspace(
    box: dispatch_sandbox.Sandbox, api: httpx.Client
) -> None:
    ticket = api.post("tickets", json={"subject": "Return"}).json()["id"]
    first, second = upload(api, ticket), upload(api, ticket)
    ids = [path.rpartition("/")[2] for path in (first, second)]
    assert [box.state.blobs.size(it) for it in ids] == [5, 5]
    api.delete(first)
    assert [box.state.blobs.size(it) for it in ids] == [None, 5]
    api.delete(str(api.base_url), params={"confirm": "true"})
    assert [box.state.blobs.size(it) for it in ids] == [None, None]
