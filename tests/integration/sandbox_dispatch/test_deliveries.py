"""Webhooks and their deliveries, to a real receiver."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import socket
from typing import Any

import httpx
import pytest

import dispatch_sandbox
from dispatch_returns.webhooks.signature import verify
from tests.support.hook_server import HookServer

WAIT = 10.0
CUSTOMER = {"customerEmail": "jane@example.com", "customerName": "Jane"}


def subscribe(api: httpx.Client, url: str, *events: str, **fields: Any) -> dict[str, Any]:
    answer = api.post("webhooks", json={"url": url, "events": events or ["*"]} | fields)
    assert answer.status_code == 201, answer.text
    webhook: dict[str, Any] = answer.json()
    return webhook


def create(api: httpx.Client, **fields: Any) -> dict[str, Any]:
    ticket: dict[str, Any] = api.post("tickets", json={"subject": "Return"} | fields).json()
    return ticket


def deliveries(api: httpx.Client, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = api.get(f"webhooks/{webhook['id']}/deliveries").json()
    return answer


class TestWebhooks:
    def test_the_secret_is_told_once(self, api: httpx.Client) -> None:
        made = subscribe(api, "http://localhost:9/hooks")
        assert re.fullmatch(r"whsec_[0-9a-f]{48}", made.pop("secret"))
        assert made["enabled"] is True
        assert (made["failure_count"], made["last_triggered"]) == (0, None)
        assert api.get(f"webhooks/{made['id']}").json() == made
        assert api.get("webhooks").json() == [made]

    def test_a_secret_of_ones_own_is_taken(self, api: httpx.Client) -> None:
        assert subscribe(api, "http://[::1]:9/", secret="whsec_mine")["secret"] == "whsec_mine"

    def test_a_deleted_webhook_is_gone(self, api: httpx.Client) -> None:
        path = f"webhooks/{subscribe(api, 'http://127.0.0.1:9/')['id']}"
        assert api.delete(path).status_code == 204
        assert api.get(path).status_code == 404
        assert api.get(f"{path}/deliveries").status_code == 404

    def test_a_webhook_cannot_be_changed(self, api: httpx.Client) -> None:
        path = f"webhooks/{subscribe(api, 'http://127.0.0.1:9/')['id']}"
        assert api.patch(path, json={}).status_code == 405

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("url", "https://merchant.example.com/hooks"),
            ("url", "http://127.0.0.1.example.com/"),
            ("url", "http://169.254.169.254/latest"),
            ("url", "http://localhost@example.com/"),
            ("url", "ftp://localhost/"),
            ("url", "http://localhost:99999/"),
            ("url", "http://localhost:0/"),
            ("url", "http://[::1/"),
            ("url", "http://localhost/\x00"),
            ("url", "\ud800"),
            ("url", "/hooks"),
            ("url", 7),
            ("events", []),
            ("events", "ticket.updated"),
            ("events", [1]),
            ("secret", " "),
            ("secret", "\ud800"),
            ("secret", 7),
        ],
    )
    def test_a_wrong_webhook_names_its_field(
        self, api: httpx.Client, field: str, value: object
    ) -> None:
        body = {"url": "http://127.0.0.1:9/", "events": ["*"]} | {field: value}
        answer = api.post("webhooks", content=json.dumps(body))
        assert answer.status_code == 400
        assert [problem["field"] for problem in answer.json()["errors"]] == [field]

    def test_another_machine_can_be_allowed(self) -> None:
        state = dispatch_sandbox.SandboxState(allow_remote=True)
        with (
            dispatch_sandbox.running(state=state) as box,
            httpx.Client(
                base_url=f"{box.api_url}/workspaces/ws_sandbox",
                headers={"authorization": f"Bearer {dispatch_sandbox.API_KEY}"},
            ) as api,
        ):
            subscribe(api, "https://merchant.example.com/hooks")


class TestEvents:
    def test_a_created_ticket(self, api: httpx.Client, hooks: HookServer) -> None:
        subscribe(api, hooks.url, "ticket.created")
        ticket = create(
            api,
            customer_email="jane@example.com",
            customer_name="Jane",
            custom_fields={"refund_amount": 149},
        )
        [post] = hooks.wait_for(1)
        event = post.json
        assert set(event) == {"id", "event", "brand_id", "data", "timestamp"}
        assert event["id"].startswith("evt_")
        assert (event["event"], event["brand_id"]) == ("ticket.created", "ws_sandbox")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["timestamp"])
        assert event["data"] == {
            "id": ticket["id"],
            "ticketNumber": 1,
            "title": "Return",
            "status": "open",
            "priority": None,
            "source": "api",
            "createdAt": ticket["created_at"],
            "customerId": ticket["customer_id"],
            **CUSTOMER,
        }

    def test_an_updated_ticket(self, api: httpx.Client, hooks: HookServer) -> None:
        subscribe(api, hooks.url, "ticket.updated")
        ticket = create(api)
        changed = api.patch(
            f"tickets/{ticket['id']}",
            json={"status": "pending", "custom_fields": {"a": 1}, "subject": "Return"},
        ).json()
        [post] = hooks.wait_for(1)
        data = post.json["data"]
        assert set(data.pop("changes")) == {"status", "customFields"}
        assert data == {
            "id": ticket["id"],
            "ticketNumber": 1,
            "title": "Return",
            "status": "pending",
            "priority": None,
            "assigneeId": None,
            "updatedAt": changed["updated_at"],
            "customerId": None,
            "customerEmail": None,
            "customerName": None,
        }

    def test_a_comment_and_the_status_it_sets(self, api: httpx.Client, hooks: HookServer) -> None:
        ticket = create(api, customer_email="jane@example.com", customer_name="Jane")
        subscribe(api, hooks.url)
        body = {"body": "Hello", "set_status": "pending"}
        comment = api.post(f"tickets/{ticket['id']}/comments", json=body).json()
        posts = {post.json["event"]: post.json["data"] for post in hooks.wait_for(2)}
        assert posts["ticket.updated"]["changes"] == ["status"]
        assert posts["ticket.comment.created"] == {
            "ticketId": ticket["id"],
            "ticketNumber": "1",
            "comment": {
                "id": comment["id"],
                "body": "Hello",
                "authorId": None,
                "authorType": "AGENT",
                "createdAt": comment["created_at"],
            },
            "customerId": ticket["customer_id"],
            **CUSTOMER,
        }

    def test_a_webhook_gets_what_it_subscribed_to(
        self, box: dispatch_sandbox.Sandbox, api: httpx.Client, hooks: HookServer
    ) -> None:
        subscribe(api, hooks.url, "ticket.updated", "ticket.comment.created")
        ticket = create(api)
        api.patch(f"tickets/{ticket['id']}", json={"status": "pending"})
        api.patch(f"tickets/{ticket['id']}", json={"status": "pending"})
        api.post(f"tickets/{ticket['id']}/comments", json={"body": "Hello"})
        assert box.state.deliveries.wait_until_settled(WAIT)
        assert sorted(hooks.events()) == ["ticket.comment.created", "ticket.updated"]

    def test_each_webhook_gets_the_same_event(self, api: httpx.Client, hooks: HookServer) -> None:
        for path in ("/one", "/two"):
            subscribe(api, hooks.url + path)
        create(api)
        posts = hooks.wait_for(2)
        assert {post.path for post in posts} == {"/hooks/one", "/hooks/two"}
        assert len({post.json["id"] for post in posts}) == 1


class TestDelivering:
    def test_a_delivery_is_signed_over_its_bytes(
        self, api: httpx.Client, hooks: HookServer
    ) -> None:
        secret = subscribe(api, hooks.url)["secret"]
        create(api, subject="Größe 🙂")
        [post] = hooks.wait_for(1)
        signature = post.headers["x-dispatch-signature"]
        verify(post.body, signature, secret)
        digest = hmac.new(secret.encode(), post.body, hashlib.sha256).hexdigest()
        assert signature == f"sha256={digest}"
        assert post.headers["content-type"] == "application/json"
        assert post.json["data"]["title"] == "Größe 🙂"

    def test_a_delivery_leaves_a_record(
        self, box: dispatch_sandbox.Sandbox, api: httpx.Client, hooks: HookServer
    ) -> None:
        webhook = subscribe(api, hooks.url)
        create(api)
        assert box.state.deliveries.wait_until_settled(WAIT)
        [record] = deliveries(api, webhook)
        [post] = hooks.posts
        assert (
            record.items()
            >= {
                "webhook_id": webhook["id"],
                "event": "ticket.created",
                "payload": post.json,
                "status": "SUCCESS",
                "attempts": 1,
                "response_code": 200,
                "response_body": '{"received":true}',
                "error": None,
            }.items()
        )
        assert record["last_attempt"] >= record["created_at"]
        shown = api.get(f"webhooks/{webhook['id']}").json()
        assert (shown["failure_count"], shown["last_failure"]) == (0, None)
        assert shown["last_triggered"] == record["last_attempt"]

    def test_a_refused_delivery_is_repeated_unchanged(
        self, box: dispatch_sandbox.Sandbox, api: httpx.Client, hooks: HookServer
    ) -> None:
        webhook = subscribe(api, hooks.url)
        hooks.statuses = [500, 302]
        create(api)
        assert box.state.deliveries.wait_until_settled(WAIT)
        posts = hooks.posts
        assert len(posts) == 3
        assert len({post.body for post in posts}) == 1
        [record] = deliveries(api, webhook)
        assert (record["status"], record["attempts"]) == ("SUCCESS", 3)
        assert api.get(f"webhooks/{webhook['id']}").json()["failure_count"] == 2

    def test_a_delivery_that_never_arrives_fails(
        self, box: dispatch_sandbox.Sandbox, api: httpx.Client, hooks: HookServer
    ) -> None:
        webhook = subscribe(api, hooks.url)
        hooks.statuses = [503] * 9
        hooks.answer = b"\xff" + b"x" * 5000
        create(api)
        assert box.state.deliveries.wait_until_settled(WAIT)
        [record] = deliveries(api, webhook)
        assert (record["status"], record["attempts"], record["response_code"]) == ("FAILED", 4, 503)
        assert len(record["response_body"]) == 1000
        assert len(hooks.posts) == 4

    def test_nobody_there_is_an_error_in_the_record(
        self, box: dispatch_sandbox.Sandbox, api: httpx.Client
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and never listens
            webhook = subscribe(api, f"http://127.0.0.1:{taken.getsockname()[1]}/")
            create(api)
            assert box.state.deliveries.wait_until_settled(WAIT)
        [record] = deliveries(api, webhook)
        assert (record["status"], record["response_code"]) == ("FAILED", None)
        assert "ConnectError" in record["error"]

    def test_a_receiver_that_is_silent_is_given_up(self, hooks: HookServer) -> None:
        policy = dispatch_sandbox.DeliveryPolicy(attempts=2, first_retry=0.01, timeout=0.1)
        state = dispatch_sandbox.SandboxState(deliveries=policy)
        hooks.answering.clear()
        with (
            dispatch_sandbox.running(state=state) as box,
            httpx.Client(
                base_url=f"{box.api_url}/workspaces/ws_sandbox",
                headers={"authorization": f"Bearer {dispatch_sandbox.API_KEY}"},
            ) as api,
        ):
            webhook = subscribe(api, hooks.url)
            create(api)
            assert state.deliveries.wait_until_settled(WAIT)
            [record] = deliveries(api, webhook)
        assert (record["status"], record["attempts"]) == ("FAILED", 2)
        assert record["error"] == "no answer in time"

    def test_a_slow_receiver_keeps_only_its_own_webhook_waiting(
        self, api: httpx.Client, hooks: HookServer, box: dispatch_sandbox.Sandbox
    ) -> None:
        slow = subscribe(api, hooks.url + "/slow", "ticket.created")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            stuck = subscribe(api, f"http://127.0.0.1:{silent.getsockname()[1]}/", "ticket.created")
            for _ in range(20):
                create(api)
            hooks.wait_for(20)
            counted = [record["status"] for record in deliveries(api, stuck)]
            assert counted == ["PENDING"] * 20
            assert len(deliveries(api, slow)) == 20
            box.state.reset()

    def test_a_deleted_webhook_gets_nothing_more(
        self, box: dispatch_sandbox.Sandbox, api: httpx.Client, hooks: HookServer
    ) -> None:
        webhook = subscribe(api, hooks.url)
        hooks.statuses = [500] * 9
        create(api)
        hooks.wait_for(1)
        api.delete(f"webhooks/{webhook['id']}")
        assert box.state.deliveries.wait_until_settled(WAIT)
        assert len(hooks.posts) < 4

    def test_an_answer_that_is_no_http_is_an_error_in_the_record(
        self, box: dispatch_sandbox.Sandbox, api: httpx.Client
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            webhook = subscribe(api, f"http://127.0.0.1:{server.getsockname()[1]}/")
            create(api)
            for _ in range(4):
                connection, _address = server.accept()
                connection.recv(100)
                connection.sendall(b"\x00\xff not http\r\n\r\n")
                connection.close()
            assert box.state.deliveries.wait_until_settled(WAIT)
        [record] = deliveries(api, webhook)
        assert record["status"] == "FAILED"
        assert "Error" in record["error"]
