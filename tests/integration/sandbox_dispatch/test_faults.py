"""Faults on demand, the control API, and the counts."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import pytest

import dispatch_sandbox
from dispatch_returns import errors
from tests.support.hook_server import HookServer
from tests.support.waiting import wait_until

WAIT = 10.0


def arm(control: httpx.Client, scope: str, action: str, **more: Any) -> None:
    answer = control.post("faults", json={"scope": scope, "action": action} | more)
    assert answer.status_code == 201, answer.text


def create(api: httpx.Client, subject: str = "Return") -> dict[str, Any]:
    ticket: dict[str, Any] = api.post("tickets", json={"subject": subject}).json()
    return ticket


@pytest.fixture
def webhook(api: httpx.Client, hooks: HookServer) -> dict[str, Any]:
    body = {"url": hooks.url, "events": ["*"]}
    made: dict[str, Any] = api.post("webhooks", json=body).json()
    return made


class TestDeliveries:
    def test_duplicate_delivers_an_event_twice(
        self,
        box: dispatch_sandbox.Sandbox,
        api: httpx.Client,
        control: httpx.Client,
        hooks: HookServer,
        webhook: dict[str, Any],
    ) -> None:
        arm(control, "delivery", "duplicate", times=2)
        for _ in range(3):
            create(api)
        assert box.state.deliveries.wait_until_settled(WAIT)
        posts = hooks.posts
        assert len(posts) == 5
        assert len({post.body for post in posts}) == len({post.json["id"] for post in posts}) == 3
        assert len(api.get(f"webhooks/{webhook['id']}/deliveries").json()) == 5

    def test_reorder_lets_the_next_one_overtake(
        self, api: httpx.Client, control: httpx.Client, hooks: HookServer, webhook: dict[str, Any]
    ) -> None:
        arm(control, "delivery", "reorder", seconds=60)
        for title in ("first", "second"):
            create(api, title)
        titles = [post.json["data"]["title"] for post in hooks.wait_for(2)]
        assert titles == ["second", "first"]

    def test_what_was_under_way_before_overtakes_nothing(
        self,
        box: dispatch_sandbox.Sandbox,
        api: httpx.Client,
        control: httpx.Client,
        hooks: HookServer,
        webhook: dict[str, Any],
    ) -> None:
        hooks.answering.clear()
        create(api, "under way")
        hooks.wait_for(1)
        arm(control, "delivery", "reorder", seconds=60)
        create(api, "held")
        hooks.answering.set()
        wait_until(lambda: box.state.deliveries.counts()["SUCCESS"] == 1, WAIT)
        create(api, "overtaking")
        titles = [post.json["data"]["title"] for post in hooks.wait_for(3)]
        assert titles == ["under way", "overtaking", "held"]

    def test_reorder_with_nothing_behind_comes_in_the_end(
        self, api: httpx.Client, control: httpx.Client, hooks: HookServer, webhook: dict[str, Any]
    ) -> None:
        arm(control, "delivery", "reorder", seconds=0.05)
        create(api)
        hooks.wait_for(1)

    def test_delay_lets_later_events_pass(
        self, api: httpx.Client, control: httpx.Client, hooks: HookServer, webhook: dict[str, Any]
    ) -> None:
        arm(control, "delivery", "delay", seconds=0.5)
        began = time.monotonic()
        for title in ("late", "in time"):
            create(api, title)
        titles = [post.json["data"]["title"] for post in hooks.wait_for(2)]
        assert titles == ["in time", "late"]
        assert time.monotonic() - began >= 0.5

    def test_drop_sends_only_the_retry(
        self,
        box: dispatch_sandbox.Sandbox,
        api: httpx.Client,
        control: httpx.Client,
        hooks: HookServer,
        webhook: dict[str, Any],
    ) -> None:
        arm(control, "delivery", "drop")
        create(api)
        assert box.state.deliveries.wait_until_settled(WAIT)
        [record] = api.get(f"webhooks/{webhook['id']}/deliveries").json()
        assert (record["status"], record["attempts"]) == ("SUCCESS", 2)
        assert len(hooks.posts) == 1

    def test_a_rule_can_be_about_one_ticket_or_event(
        self,
        box: dispatch_sandbox.Sandbox,
        api: httpx.Client,
        control: httpx.Client,
        hooks: HookServer,
        webhook: dict[str, Any],
    ) -> None:
        one, other = create(api), create(api)
        match = {"ticket_id": other["id"], "event": "ticket.upd*", "webhook_id": webhook["id"]}
        arm(control, "delivery", "duplicate", times=None, match=match)
        for ticket in (one, other):
            api.patch(f"tickets/{ticket['id']}", json={"status": "pending"})
        assert box.state.deliveries.wait_until_settled(WAIT)
        updated = [post for post in hooks.posts if post.json["event"] == "ticket.updated"]
        assert [post.json["data"]["id"] for post in updated].count(other["id"]) == 2
        assert len(updated) == 3
        assert len(control.get("faults").json()) == 1

    def test_an_event_can_be_delivered_once_more(
        self,
        box: dispatch_sandbox.Sandbox,
        api: httpx.Client,
        control: httpx.Client,
        hooks: HookServer,
        webhook: dict[str, Any],
    ) -> None:
        create(api)
        assert box.state.deliveries.wait_until_settled(WAIT)
        [first] = api.get(f"webhooks/{webhook['id']}/deliveries").json()
        answer = control.post("redeliver", json={"delivery_id": first["id"]})
        assert answer.status_code == 202
        posts = hooks.wait_for(2)
        assert posts[0].body == posts[1].body
        records = api.get(f"webhooks/{webhook['id']}/deliveries").json()
        assert [record["id"] for record in records] == [answer.json()["id"], first["id"]]
        assert control.post("redeliver", json={"delivery_id": "del_none"}).status_code == 404
        assert control.post("redeliver", json={}).status_code == 400


class TestCalls:
    @pytest.mark.parametrize("status", [409, 429, 500, 503, 599])
    def test_status_answers_instead_of_the_work(
        self, api: httpx.Client, control: httpx.Client, status: int
    ) -> None:
        arm(control, "api", "status", status=status, times=2, seconds=3)
        body = {"subject": "Return"}
        answers = [api.post("tickets", json=body) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [status, status, 201]
        assert answers[0].headers["retry-after"] == "3"
        assert answers[0].headers["x-request-id"]
        assert answers[0].json()["code"] == "fault"
        assert len(api.get("tickets").json()["data"]) == 1

    def test_a_rule_can_be_about_one_method_and_path(
        self, api: httpx.Client, control: httpx.Client
    ) -> None:
        ticket = create(api)
        match = {"method": "PATCH", "path": "*/tickets/*"}
        arm(control, "api", "status", status=429, match=match)
        assert create(api)["id"]
        assert api.get(f"tickets/{ticket['id']}").status_code == 200
        assert api.patch(f"tickets/{ticket['id']}", json={}).status_code == 429
        assert api.patch(f"tickets/{ticket['id']}", json={}).status_code == 200

    def test_rules_are_used_up_one_after_the_other(
        self, api: httpx.Client, control: httpx.Client
    ) -> None:
        rules = [{"scope": "api", "action": "status", "status": status} for status in (500, 409)]
        assert control.post("faults", json=rules).status_code == 201
        assert [api.get("tickets").status_code for _ in range(3)] == [500, 409, 200]

    def test_slow_does_the_work_though_the_caller_gives_up(
        self, api: httpx.Client, control: httpx.Client
    ) -> None:
        arm(control, "api", "slow", seconds=30)
        headers = {"x-idempotency-key": "k1"}
        with pytest.raises(httpx.ReadTimeout):
            api.post("tickets", json={"subject": "Return"}, headers=headers, timeout=0.2)
        again = api.post("tickets", json={"subject": "Return"}, headers=headers)
        assert again.status_code == 201
        assert [ticket["id"] for ticket in api.get("tickets").json()["data"]] == [
            again.json()["id"]
        ]

    def test_a_slow_answer_keeps_no_other_waiting(
        self, api: httpx.Client, control: httpx.Client
    ) -> None:
        arm(control, "api", "slow", seconds=1.0, match={"method": "POST"})
        done: list[str] = []

        def post() -> None:
            httpx.post(f"{api.base_url}tickets", json={"subject": "x"}, headers=api.headers)
            done.append("post")

        thread = threading.Thread(target=post)
        thread.start()
        wait_until(lambda: bool(api.get("tickets").json()["data"]), WAIT)
        done.append("get")
        thread.join()
        assert done == ["get", "post"]


def test_a_rule_made_in_python_is_checked_too() -> None:
    for scope, action, match in (("api", "drop", {}), ("api", "slow", {"event": "x"})):
        with pytest.raises(errors.InvalidArgumentError):
            dispatch_sandbox.FaultRule(scope, action, match=match)  # type: ignore[arg-type]


class TestControl:
    def test_the_counts_are_told(
        self,
        box: dispatch_sandbox.Sandbox,
        api: httpx.Client,
        control: httpx.Client,
        webhook: dict[str, Any],
    ) -> None:
        api.post("tickets", json={"subject": "x", "customer_email": "jane@example.com"})
        arm(control, "api", "status", match={"path": "nothing"})
        assert box.state.deliveries.wait_until_settled(WAIT)
        summary = control.get("state").json()
        assert summary["workspaces"]["ws_sandbox"] == {
            "tickets": 1, "comments": 0, "customers": 1, "webhooks": 1, "statuses": 4, "fields": 0,
            "attachments": 0, "categories": 0, "tags": 0,
        }  # fmt: skip
        assert summary["deliveries"] == {"PENDING": 0, "RETRYING": 0, "SUCCESS": 2, "FAILED": 0}
        assert summary["faults"] == 1

    def test_reset_makes_everything_new(
        self, api: httpx.Client, control: httpx.Client, webhook: dict[str, Any]
    ) -> None:
        create(api)
        api.post("statuses", json={"name": "x", "key": "refunded"})
        arm(control, "api", "status", times=None, match={"path": "nothing"})
        assert control.post("reset").status_code == 204
        assert api.get("tickets").json()["data"] == []
        assert api.get("webhooks").json() == []
        assert len(api.get("statuses").json()) == 4
        assert control.get("faults").json() == []
        assert create(api)["ticket_number"] == 1

    def test_faults_can_be_looked_at_and_forgotten(
        self, api: httpx.Client, control: httpx.Client
    ) -> None:
        arm(control, "api", "status", times=3, status=503)
        api.get("tickets")
        [rule] = control.get("faults").json()
        assert (rule["times"], rule["status"], rule["action"]) == (2, 503, "status")
        assert control.delete("faults").status_code == 204
        assert api.get("tickets").status_code == 200

    @pytest.mark.parametrize(
        ("rule", "field"),
        [
            ({}, "scope"),
            ({"scope": "api"}, "action"),
            ({"scope": "moon", "action": "status"}, "scope"),
            ({"scope": "api", "action": "duplicate"}, "action"),
            ({"scope": "api", "action": "status", "status": 200}, "status"),
            ({"scope": "api", "action": "status", "status": True}, "status"),
            ({"scope": "api", "action": "slow", "seconds": -1}, "seconds"),
            ({"scope": "api", "action": "slow", "seconds": 10**400}, "seconds"),
            ({"scope": "api", "action": "slow", "times": 0}, "times"),
            ({"scope": "api", "action": "slow", "match": {"event": "x"}}, "match"),
            ({"scope": "api", "action": "slow", "match": {"path": 1}}, "match"),
            ({"scope": "api", "action": "slow", "match": []}, "match"),
            ({"scope": "api", "action": "slow", "sekonds": 1}, "sekonds"),
        ],
    )
    def test_a_rule_that_makes_no_sense_is_refused(
        self, control: httpx.Client, rule: dict[str, Any], field: str
    ) -> None:
        answer = control.post("faults", json=rule)
        assert answer.status_code == 400
        assert field in {problem["field"] for problem in answer.json()["errors"]}
        assert control.get("faults").json() == []

    @pytest.mark.parametrize("body", [b"", b"{", b"7", b"[7]", b"[" * 9000])
    def test_a_body_that_cannot_be_read_is_a_400(self, control: httpx.Client, body: bytes) -> None:
        for path in ("faults", "redeliver"):
            assert control.post(path, content=body).status_code == 400

    def test_a_wrong_method_is_a_405_in_json(self, control: httpx.Client) -> None:
        answer = control.get("reset")
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
