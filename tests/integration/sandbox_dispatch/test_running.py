"""The sandbox as a server: where it listens, what it keeps, how it stops."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

import dispatch_sandbox
from dispatch_returns import errors
from tests.support.hook_server import HookServer

KEY = {"authorization": f"Bearer {dispatch_sandbox.API_KEY}"}
WORKSPACE = "workspaces/ws_sandbox"
WAIT = 10.0


def call(box: dispatch_sandbox.Sandbox, method: str, path: str, **body: Any) -> Any:
    url = f"{box.api_url}/{WORKSPACE}/{path}"
    answer = httpx.request(method, url, json=body or None, headers=KEY)
    assert answer.status_code < 300, answer.text
    return answer.json()


def test_it_listens_on_this_machine_unless_told(box: dispatch_sandbox.Sandbox) -> None:
    assert box.url.startswith("http://127.0.0.1:")
    assert box.api_url == f"{box.url}/v1"
    with (
        pytest.raises(errors.InvalidArgumentError, match="host"),
        dispatch_sandbox.running(host="0.0.0.0"),
    ):
        pass


def test_it_can_listen_for_others_but_its_controls_stay_here() -> None:
    with dispatch_sandbox.running(host="0.0.0.0", expose=True) as box:
        assert httpx.get(box.url.replace("0.0.0.0", "127.0.0.1")).status_code == 200

    async def ask(client: str) -> int:
        transport = httpx.ASGITransport(
            dispatch_sandbox.create_app(dispatch_sandbox.SandboxState()), client=(client, 1)
        )
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as remote:
            return (await remote.get("/_sandbox/state")).status_code

    assert asyncio.run(ask("192.0.2.7")) == 403
    assert asyncio.run(ask("127.0.0.1")) == 200


def test_it_listens_on_ipv6_too() -> None:
    try:
        with dispatch_sandbox.running(host="::1") as box:
            assert httpx.get(box.url).status_code == 200
    except OSError:
        pytest.skip("needs IPv6 on this machine")


def test_a_taken_port_is_an_error_at_once(box: dispatch_sandbox.Sandbox) -> None:
    port = int(box.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"), dispatch_sandbox.running(port=port):
        pass


def test_it_stops_quickly_with_deliveries_and_slow_answers_under_way(hooks: HookServer) -> None:
    hooks.answering.clear()
    with dispatch_sandbox.running() as box:
        call(box, "POST", "webhooks", url=hooks.url, events=["*"])
        call(box, "POST", "tickets", subject="x")
        hooks.wait_for(1)
        box.state.faults.add(dispatch_sandbox.FaultRule("api", "slow", seconds=60))
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{box.api_url}/{WORKSPACE}/tickets", headers=KEY, timeout=0.05)
        began = time.monotonic()
    assert time.monotonic() - began < 5


def test_an_answer_does_not_wait_for_an_acknowledgement(box: dispatch_sandbox.Sandbox) -> None:
    """Nagle's algorithm and a delayed acknowledgement together make 40 ms of each call."""
    with httpx.Client(base_url=box.url) as client:
        taken = [client.get("/").elapsed for _ in range(21)]
    assert statistics.median(each.total_seconds() for each in taken) < 0.035


def test_the_port_is_closed_afterwards() -> None:
    with dispatch_sandbox.running() as box:
        pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(box.url)


def test_a_state_can_be_served_again_and_goes_on_delivering(hooks: HookServer) -> None:
    state = dispatch_sandbox.SandboxState()
    with dispatch_sandbox.running(state=state) as box:
        call(box, "POST", "webhooks", url=hooks.url, events=["*"])
    ticket = dispatch_sandbox.add_ticket(state, title="made between")
    assert not state.deliveries.wait_until_settled(0)
    with dispatch_sandbox.running(state=state) as box:
        assert call(box, "GET", f"tickets/{ticket['id']}")["subject"] == "made between"
        [post] = hooks.wait_for(1)
        assert post.json["data"]["id"] == ticket["id"]
        assert state.deliveries.wait_until_settled(WAIT)


def test_events_made_in_this_process_are_delivered(hooks: HookServer) -> None:
    with dispatch_sandbox.running() as box:
        call(box, "POST", "webhooks", url=hooks.url, events=["*"])
        ticket = dispatch_sandbox.add_ticket(box.state, title="x")
        assert hooks.wait_for(1)[0].json["data"]["id"] == ticket["id"]


def create_once(box: dispatch_sandbox.Sandbox) -> Any:
    url = f"{box.api_url}/{WORKSPACE}/tickets"
    headers = {**KEY, "x-idempotency-key": "k1"}
    return httpx.post(url, json={"subject": "x"}, headers=headers).json()


class TestFile:
    def everything(self, box: dispatch_sandbox.Sandbox) -> list[Any]:
        paths = ["", "tickets", "statuses", "fields", "customers", "webhooks"]
        [webhook] = call(box, "GET", "webhooks")
        paths.append(f"webhooks/{webhook['id']}/deliveries")
        paths += [f"tickets/{each['id']}/comments" for each in call(box, "GET", "tickets")["data"]]
        headers = {"authorization": "Bearer sk_test_sandbox_stripe"}
        stripe = httpx.get(f"{box.api_url}/charges", headers=headers).json()
        return [*(call(box, "GET", path) for path in paths), stripe]

    def fill(self, box: dispatch_sandbox.Sandbox, hooks: HookServer) -> None:
        call(box, "POST", "webhooks", url=hooks.url, events=["*"])
        call(box, "POST", "statuses", name="Refunded", key="refunded")
        call(box, "POST", "fields/ticket", key="order_id", label="Order", type="text")
        for number in range(3):
            call(box, "POST", "tickets", subject=str(number), customer_email=f"{number}@x.y")
        ticket = call(box, "GET", "tickets")["data"][1]
        body = b'{"status":"refunded","custom_fields":{"refund_amount":149.00}}'
        httpx.patch(f"{box.api_url}/{WORKSPACE}/tickets/{ticket['id']}", content=body, headers=KEY)
        charge = {"amount": "14900", "currency": "usd", "source": "tok_visa"}
        headers = {"authorization": "Bearer sk_test_sandbox_stripe"}
        made = httpx.post(f"{box.api_url}/charges", data=charge, headers=headers)
        assert made.status_code == 200, made.text
        assert box.state.deliveries.wait_until_settled(WAIT)

    def test_a_sandbox_goes_on_where_it_was_stopped(
        self, tmp_path: Path, hooks: HookServer
    ) -> None:
        file = tmp_path / "sandbox.sqlite"
        with dispatch_sandbox.running(file=file) as box:
            self.fill(box, hooks)
            before = self.everything(box)
        with dispatch_sandbox.running(file=file) as box:
            assert self.everything(box) == before
            ticket = call(box, "GET", "tickets")["data"][1]
            raw = httpx.get(f"{box.api_url}/{WORKSPACE}/tickets/{ticket['id']}", headers=KEY).text
            assert '"refund_amount":149.00' in raw
            assert call(box, "POST", "tickets", subject="x")["ticket_number"] == 4
            taken = httpx.post(
                f"{box.api_url}/{WORKSPACE}/customers", json={"email": "0@X.y"}, headers=KEY
            )
            assert taken.status_code == 409

    def test_what_was_deleted_stays_deleted(self, tmp_path: Path, hooks: HookServer) -> None:
        file = tmp_path / "sandbox.sqlite"
        with dispatch_sandbox.running(file=file) as box:
            self.fill(box, hooks)
            tickets = call(box, "GET", "tickets")["data"]
            comment = call(box, "POST", f"tickets/{tickets[0]['id']}/comments", body="x")
            for path in (
                f"tickets/{tickets[0]['id']}/comments/{comment['id']}",
                f"tickets/{tickets[1]['id']}",
                f"statuses/{call(box, 'GET', 'statuses')[-1]['id']}",
                "fields/ticket/order_id",
            ):
                url = f"{box.api_url}/{WORKSPACE}/{path}"
                assert httpx.delete(url, headers=KEY).status_code == 204
            assert box.state.deliveries.wait_until_settled(WAIT)
            before = self.everything(box)
        with dispatch_sandbox.running(file=file) as box:
            assert self.everything(box) == before

    def test_a_killed_sandbox_has_what_it_answered_and_still_delivers(
        self, tmp_path: Path, hooks: HookServer
    ) -> None:
        file = tmp_path / "sandbox.sqlite"
        program = (
            "import sys\n"
            "import dispatch_sandbox as sandbox\n"
            "with sandbox.running(file=sys.argv[1]) as box:\n"
            "    print(box.url, flush=True)\n"
            "    sys.stdin.read()\n"
        )
        hooks.answering.clear()
        with subprocess.Popen(
            [sys.executable, "-c", program, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            killed = dispatch_sandbox.Sandbox(
                process.stdout.readline().strip(), dispatch_sandbox.SandboxState()
            )
            call(killed, "POST", "webhooks", url=hooks.url, events=["*"])
            ticket = create_once(killed)
            hooks.wait_for(1)
            process.kill()
        hooks.answering.set()
        with dispatch_sandbox.running(file=file) as box:
            assert call(box, "GET", f"tickets/{ticket['id']}") == ticket
            assert create_once(box) == ticket
            posts = hooks.wait_for(2)
            assert posts[0].body == posts[1].body

    def test_reset_empties_the_file(self, tmp_path: Path, hooks: HookServer) -> None:
        file = tmp_path / "sandbox.sqlite"
        with dispatch_sandbox.running(file=file) as box:
            self.fill(box, hooks)
            box.state.reset()
        with dispatch_sandbox.running(file=file) as box:
            assert call(box, "GET", "tickets")["data"] == []
            assert len(call(box, "GET", "statuses")) == 4
            headers = {"authorization": "Bearer sk_test_sandbox_stripe"}
            charges = httpx.get(f"{box.api_url}/charges", headers=headers).json()
            assert charges["data"] == []

    def test_answers_kept_for_a_repeat_are_bounded(self, tmp_path: Path) -> None:
        state = dispatch_sandbox.SandboxState(file=tmp_path / "sandbox.sqlite")
        with state.transaction():
            for number in range(10_001):
                state.keep_replay({"id": str(number)})
        state.close()
        for kept in (state, dispatch_sandbox.SandboxState(file=tmp_path / "sandbox.sqlite")):
            assert list(kept.replays) == [str(number) for number in range(1, 10_001)]
        kept.close()

    def test_a_state_has_its_own_file(self, tmp_path: Path) -> None:
        state = dispatch_sandbox.SandboxState()
        with (
            pytest.raises(errors.InvalidArgumentError, match="file"),
            dispatch_sandbox.running(state=state, file=tmp_path / "x"),
        ):
            pass
