"""The connector: what it wires together, what runs while an app runs, what it closes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

import dispatch_sandbox
from dispatch_returns import webhooks
from dispatch_returns.client import DispatchClient
from dispatch_returns.clock import utc_now
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.errors import (
    APIError,
    ConfigurationError,
    RefundStateError,
    SignatureError,
    StoreUnavailableError,
)
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.manual import ManualAdapter
from dispatch_returns.refunds.guard import GuardLimits
from dispatch_returns.refunds.retry_schedule import RetrySchedule
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import heartbeats
from dispatch_returns.testing import FakeAdapter
from tests.support.desk import usd
from tests.support.waiting import wait_until
from tests.support.workshop import SECRET, Workshop


@pytest.fixture(scope="module")
def box() -> Iterator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running() as box:
        with DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client:
            for key in ("item_received", "refunded", "needs_review"):
                client.statuses.create(key=key, name=key)
        yield box


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[Workshop]:
    shop = Workshop(box, tmp_path)
    yield shop
    shop.close()


def settings(tmp_path: Path, **changes: Any) -> Settings:
    given: dict[str, Any] = {
        "api_key": SecretStr("sk_test_1"),
        "workspace": "ws_1",
        "adapters": ("manual",),
        "database_url": f"sqlite:///{tmp_path}/returns.db",
    }
    return Settings(**(given | changes))


def delivery(shop: Workshop, ticket_id: str) -> tuple[dict[str, str], bytes]:
    """A signed event about a ticket."""
    envelope = {
        "id": f"evt_{ticket_id}",
        "event": "ticket.updated",
        "brand_id": dispatch_sandbox.WORKSPACE,
        "data": {"id": ticket_id},
        "timestamp": shop.clock().isoformat(),
    }
    body = json.dumps(envelope).encode()
    return {"X-Dispatch-Signature": webhooks.sign(body, SECRET)}, body


def test_the_api_tells_receivers_probes_and_workers_that_this_machines_clock_is_wrong(
    tmp_path: Path,
) -> None:
    later = format_datetime(utc_now() + timedelta(days=2), usegmt=True)
    http = httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(500, headers={"date": later}))
    )
    client = DispatchClient("sk_test_1", "ws_1", http_client=http, max_retries=0)
    given = settings(tmp_path, webhook_secrets=SECRET)
    with http, Connector(given, client=client) as connector:
        assert connector.health.ready().ok
        with pytest.raises(APIError):
            client.workspaces.get()
        assert not connector.health.ready().ok
        body = json.dumps({"id": "evt_1", "event": "x", "timestamp": f"{utc_now()}"}).encode()
        headers = {"X-Dispatch-Signature": webhooks.sign(body, SECRET)}
        for receiver in connector.receivers.values():
            assert receiver.receive("POST", headers, body).status == 503
        (check,) = (queue for queue in connector._upkeep if queue.name == "clock")
        (found,) = check.claim_safely(1)
        assert abs(found + timedelta(days=2)) < timedelta(minutes=1)


def test_a_connector_builds_its_parts_from_the_settings(tmp_path: Path) -> None:
    with Connector(
        settings(tmp_path, adapter_options={"manual": {"currency": "EUR"}})
    ) as connector:
        assert isinstance(connector.adapters["manual"], ManualAdapter)
        assert connector.adapters["manual"].payment(PaymentRef("reference", "x")).currency == "EUR"
        assert connector.client.scope.workspace == "ws_1"
        assert repr(connector.store) == f"Store('sqlite:///{tmp_path}/returns.db')"
        assert repr(connector) == "Connector(workspace='ws_1', adapters='manual')"
        assert [queue.name for queue in connector.queues] == [
            "heartbeat",
            "go-live",
            "restored",
            "events",
            "refunds",
            "messages",
            "handlers",
            "clock",
            "old events",
        ]


def test_the_rails_are_the_settings(tmp_path: Path) -> None:
    limits: dict[str, Any] = {
        "kill_switch": True,
        "dry_run": True,
        "max_refund": {"USD": Decimal(1)},
        "max_per_day": {"USD": Decimal(2)},
        "approve_above": {"USD": Decimal(3)},
        "evidence": {"condition": frozenset({"good"})},
    }
    with Connector(settings(tmp_path, **limits)) as connector:
        assert connector.refunds.limits == GuardLimits(**limits)
        assert connector.refunds.schedule == RetrySchedule()


def test_a_connector_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCH_API_KEY", "sk_test_1")
    monkeypatch.setenv("DISPATCH_WORKSPACE", "ws_7")
    monkeypatch.setenv("DISPATCH_RETURNS_DATABASE_URL", f"sqlite:///{tmp_path}/returns.db")
    with Connector.from_env(adapters=FakeAdapter({})) as connector:
        assert connector.settings.workspace == "ws_7"
        assert list(connector.adapters) == ["fake"]


def test_without_a_webhook_secret_nothing_is_accepted(tmp_path: Path) -> None:
    with Connector(settings(tmp_path)) as connector:
        body = b"{}"
        headers = {"X-Dispatch-Signature": webhooks.sign(body, "guess")}
        assert connector.receivers["dispatch"].receive("POST", headers, body).status == 401
        with pytest.raises(SignatureError):
            webhooks.verify(body, headers["X-Dispatch-Signature"], ())


def test_a_look_up_finds_the_payment_of_an_order(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    shop = Workshop(box, tmp_path)
    shop.fake.add_payment("pi_by_order", usd("149.00"))
    connector = Connector(
        shop.settings,
        client=shop.client,
        store=shop.store,
        adapters=shop.fake,
        clock=shop.clock,
        lookups=(lambda order: PaymentRef("payment_intent", f"pi_{order}"),),
    )
    ticket = shop.ticket(payment_intent=None, order_id="by_order")
    assert connector.refund(ticket.id).state is State.SUCCEEDED
    shop.close()


def test_stripes_search_needs_an_adapter_that_can(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the adapter manual can't search"):
        Connector(settings(tmp_path, stripe_search=True))


def test_refund_pays_without_waiting_for_an_event(shop: Workshop) -> None:
    ticket = shop.ticket()
    assert shop.connector.refund(ticket.id).state is State.SUCCEEDED
    assert shop.connector.refund(ticket.id).state is State.SUCCEEDED
    assert len(shop.fake.refunds) == 1
    held = shop.connector.refund(shop.ticket(refund_amount=None).id)
    assert (held.state, held.reason) == (State.HELD, "no_amount")


def test_the_refunds_of_a_ticket_are_read_and_no_others(shop: Workshop) -> None:
    ticket, other = shop.ticket(), shop.ticket()
    paid = shop.connector.refund(ticket.id)
    shop.connector.refund(other.id)
    assert shop.connector.refunds_of(ticket.id) == [paid]
    assert shop.connector.refunds_of("tkt_unknown") == []


def test_it_is_idle_once_nothing_waits(shop: Workshop) -> None:
    assert shop.connector.is_idle()
    headers, body = delivery(shop, shop.ticket().id)
    shop.connector.receivers["dispatch"].receive("POST", headers, body)
    assert not shop.connector.is_idle()  # an event waits
    shop.connector.work_off()
    assert shop.connector.is_idle()


def test_refund_wants_the_ticket_to_be_refunded(shop: Workshop) -> None:
    ticket = shop.ticket("item_received")
    with pytest.raises(RefundStateError, match="is item_received: set it to refunded first"):
        shop.connector.refund(ticket.id)
    assert shop.fake.requests == []


def test_while_an_app_runs_what_is_accepted_is_done_at_once(shop: Workshop) -> None:
    shop.connector.runner._poll = 3600.0
    paid = shop.ticket()
    headers, body = delivery(shop, paid.id)

    async def app() -> None:
        async with shop.connector.lifespan(None):
            await asyncio.sleep(0.05)  # the first look is over: only a wake finds what comes now
            answer = await shop.connector.receivers["dispatch"].receive_async("POST", headers, body)
            assert answer.status == 200
            await asyncio.to_thread(wait_until, lambda: len(shop.comments(paid)) == 1)

    asyncio.run(app())
    assert shop.now(paid).custom_fields["refund_status"] == "succeeded"
    assert not [t for t in threading.enumerate() if "claimer" in t.name]
    assert shop.store.write("open", lambda _conn: "still open") == "still open"


def test_an_app_that_fails_stops_its_workers(shop: Workshop) -> None:
    async def app() -> None:
        async with shop.connector.lifespan():
            raise KeyError("the app")

    with pytest.raises(KeyError):
        asyncio.run(app())
    assert not [t for t in threading.enumerate() if "claimer" in t.name]


def test_the_loop_answers_while_the_workers_drain(shop: Workshop) -> None:
    inside, go_on = threading.Event(), threading.Event()

    @shop.connector.on("ticket.updated")
    def slow(_event: Any, _context: Any) -> None:
        inside.set()
        assert go_on.wait(10)

    shop.event(shop.ticket("item_received").id)

    async def app() -> None:
        async with shop.connector.lifespan():
            await asyncio.to_thread(inside.wait, 10)
            asyncio.get_running_loop().call_later(0.05, go_on.set)

    asyncio.run(app())  # a loop that is blocked by the draining would never let go
    assert go_on.is_set()


def test_start_and_stop_without_an_app(shop: Workshop) -> None:
    ticket = shop.ticket()
    shop.event(ticket.id)
    shop.connector.start()
    wait_until(lambda: len(shop.comments(ticket)) == 1)
    assert shop.connector.stop(10)


WARNING = "an event was accepted, but no worker runs"


def accept(shop: Workshop, ticket_id: str) -> None:
    """Take a delivery as the web process does."""
    headers, body = delivery(shop, ticket_id)
    assert shop.connector.receivers["dispatch"].receive("POST", headers, body).status == 200


def test_the_first_event_without_a_worker_is_warned_of_once(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    accept(shop, "tkt_a")
    wait_until(lambda: WARNING in caplog.text, 10)
    accept(shop, "tkt_b")
    shop.store.write("after it", lambda _: None)
    assert caplog.text.count(WARNING) == 1


@pytest.mark.parametrize("runs", ["start", "work_off"])
def test_with_a_worker_here_or_elsewhere_nothing_is_warned_of(
    shop: Workshop, caplog: pytest.LogCaptureFixture, runs: str
) -> None:
    getattr(shop.connector, runs)()
    accept(shop, "tkt_a")
    shop.store.submit("after it", lambda _: None).result()
    assert WARNING not in caplog.text


def test_any_runner_records_that_it_runs_once_a_minute(shop: Workshop) -> None:
    begun = shop.clock()
    shop.connector.work_off()
    shop.clock.turn(hours=1)
    shop.connector.work_off()
    with shop.store.read() as conn:
        assert heartbeats.last(conn) == begun, "not a minute has passed in this process"


def test_closing_stops_and_closes_everything_and_may_be_repeated(
    box: dispatch_sandbox.Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Workshop(box, tmp_path)
    closed: list[str] = []
    monkeypatch.setattr(shop.client, "close", lambda: closed.append("client"))
    monkeypatch.setattr(shop.fake, "close", lambda: closed.append("adapter"))
    with shop.connector as connector:
        connector.start()
    assert closed == ["client", "adapter"]
    assert not [t for t in threading.enumerate() if "claimer" in t.name]
    with pytest.raises(StoreUnavailableError, match="closed"):
        shop.store.write("late", lambda _conn: None)
    shop.connector.close()
    monkeypatch.undo()
    shop.close()
