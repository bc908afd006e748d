"""Wherever a worker dies, the next one finishes its work, and the processor has one refund."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from dispatch_returns import sandbox
from dispatch_returns.api import DispatchClient, JsonValue
from dispatch_returns.store import NewEvent, Store, inbox, ledger
from dispatch_returns.store.ledger import State
from tests.e2e.crash.points import ELSEWHERE, ON_THE_WAY, POINTS, steps
from tests.e2e.crash.worker import Orders, run
from tests.support import peers

pytestmark = pytest.mark.crash

_AFTER_ALL_LEASES = 600.0
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.e2e.crash.worker", "stripe", "httpx"])


@dataclass(frozen=True)
class Processor:
    """An independent server that remembers what it paid."""

    name: str
    url: str
    key: str
    pay: Callable[[], dict[str, str]]
    """Takes 500.00 USD, enough to pay 149.00 back three times, and names it as a ticket does."""
    refunds: Callable[[dict[str, str]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def dispatch() -> Iterator[sandbox.Sandbox]:
    with sandbox.running() as running:
        with _client(running) as client:
            client.statuses.create(key="refunded", name="Refunded")
            client.statuses.create(key="needs_review", name="Needs review")
        yield running


@pytest.fixture(scope="module")
def stand_in(dispatch: sandbox.Sandbox) -> Iterator[Processor]:
    """Our own stand-in for Stripe: PaymentIntents."""
    key = sandbox.stripe.API_KEY
    http = httpx.Client(base_url=dispatch.url, auth=(key, ""))

    def pay() -> dict[str, str]:
        form = {
            "amount": 50000,
            "currency": "usd",
            "confirm": "true",
            "payment_method": "pm_card_visa",
        }
        made = http.post("/v1/payment_intents", data=form).raise_for_status().json()
        return {"payment_intent": made["id"]}

    def refunds(field: dict[str, str]) -> list[dict[str, Any]]:
        listed = http.get("/v1/refunds", params=field).raise_for_status().json()
        return list(listed["data"])

    with http:
        yield Processor("stand-in", dispatch.url, key, pay, refunds)


@pytest.fixture(scope="module")
def stateful_mock() -> Iterator[Processor]:
    """npm's stripe-stateful-mock, written by others: charges."""
    key = "sk_test_crash"
    with peers.start_stateful_mock() as url, httpx.Client(base_url=url, auth=(key, "")) as http:

        def pay() -> dict[str, str]:
            form = {"amount": 50000, "currency": "usd", "source": "tok_visa"}
            made = http.post("/v1/charges", data=form).raise_for_status().json()
            return {"charge_id": made["id"]}

        def refunds(field: dict[str, str]) -> list[dict[str, Any]]:
            charge = http.get(f"/v1/charges/{field['charge_id']}").raise_for_status().json()
            return list(charge["refunds"]["data"])

        yield Processor("stripe-stateful-mock", url, key, pay, refunds)


@pytest.fixture(
    params=["stand_in", pytest.param("stateful_mock", marks=pytest.mark.peer)],
)
def processor(request: pytest.FixtureRequest) -> Processor:
    found: Processor = request.getfixturevalue(request.param)
    return found


def test_every_step_has_a_kill_point_or_a_reason() -> None:
    assert set(ELSEWHERE) <= steps(), "a reason is given for a step that is gone"
    assert len(POINTS) >= 12
    assert set(ON_THE_WAY) == {
        "adapter.payment",
        "adapter.refund",
        "comments.create",
        "event.claim",
        "event.done",
        "message.claim",
        "message.done",
        "refund.outcome",
        "tickets.get",
        "tickets.update",
    }, "a step is new or gone: think about what a crash there does, then name it here"


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_worker_leaves_exactly_one_refund(
    dispatch: sandbox.Sandbox, processor: Processor, tmp_path: Path, point: str
) -> None:
    returned = _a_return_that_became_refunded(dispatch, processor, tmp_path)
    assert _work(Orders(returned.settings, die_at=point)) == -signal.SIGKILL
    assert _work(Orders(returned.settings, ahead=_AFTER_ALL_LEASES)) == 0
    returned.was_paid_once(dispatch, processor)


@pytest.mark.parametrize("point", ["before adapter.find", "after adapter.find"])
def test_a_second_worker_killed_while_it_looks_leaves_exactly_one_refund(
    dispatch: sandbox.Sandbox, processor: Processor, tmp_path: Path, point: str
) -> None:
    returned = _a_return_that_became_refunded(dispatch, processor, tmp_path)
    assert _work(Orders(returned.settings, die_at="after adapter.refund")) == -signal.SIGKILL
    second = Orders(returned.settings, die_at=point, ahead=_AFTER_ALL_LEASES)
    assert _work(second) == -signal.SIGKILL
    assert _work(Orders(returned.settings, ahead=2 * _AFTER_ALL_LEASES)) == 0
    returned.was_paid_once(dispatch, processor)


@pytest.mark.parametrize("step", ["refund.claim", "refund.sending"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_second_worker_killed_before_it_calls_leaves_exactly_one_refund(
    dispatch: sandbox.Sandbox, processor: Processor, tmp_path: Path, when: str, step: str
) -> None:
    returned = _a_return_that_became_refunded(dispatch, processor, tmp_path)
    assert _work(Orders(returned.settings, die_at="before adapter.refund")) == -signal.SIGKILL
    second = Orders(returned.settings, die_at=f"{when} {step}", ahead=_AFTER_ALL_LEASES)
    assert _work(second) == -signal.SIGKILL
    assert _work(Orders(returned.settings, ahead=2 * _AFTER_ALL_LEASES)) == 0
    returned.was_paid_once(dispatch, processor)


@pytest.mark.parametrize("point", ["before comments.list", "after comments.list"])
def test_a_second_worker_killed_before_it_comments_leaves_exactly_one_comment(
    dispatch: sandbox.Sandbox, processor: Processor, tmp_path: Path, point: str
) -> None:
    returned = _a_return_that_became_refunded(dispatch, processor, tmp_path)
    assert _work(Orders(returned.settings, die_at="after comments.create")) == -signal.SIGKILL
    second = Orders(returned.settings, die_at=point, ahead=_AFTER_ALL_LEASES)
    assert _work(second) == -signal.SIGKILL
    assert _work(Orders(returned.settings, ahead=2 * _AFTER_ALL_LEASES)) == 0
    returned.was_paid_once(dispatch, processor)


@dataclass(frozen=True)
class Return:
    """One return under test."""

    ticket_id: str
    payment: dict[str, str]
    settings: dict[str, Any]

    def was_paid_once(self, dispatch: sandbox.Sandbox, processor: Processor) -> None:
        """Look at the processor, the ledger and the ticket."""
        (refund,) = processor.refunds(self.payment)
        assert refund["amount"] == 14900
        with Store.open(self.settings["database_url"]) as store, store.read() as conn:
            (row,) = ledger.newest(conn, limit=10)
            (event,) = inbox.newest(conn, limit=10)
        assert (row.state, row.processor_id) == (State.SUCCEEDED, refund["id"])
        assert event.state is inbox.EventState.DONE
        with _client(dispatch) as client:
            ticket = client.tickets.get(self.ticket_id)
            ours = [
                c for c in client.comments.list(self.ticket_id) if "dispatch_returns" in c.metadata
            ]
        assert ticket.custom_fields["refund_id"] == refund["id"]
        assert ticket.custom_fields["refund_status"] == "succeeded"
        assert len(ours) == 1


def _a_return_that_became_refunded(
    dispatch: sandbox.Sandbox, processor: Processor, tmp_path: Path
) -> Return:
    payment = processor.pay()
    fields: dict[str, JsonValue] = {
        "order_id": "1234",
        "received_date": "2024-01-15",
        "condition": "good",
        "refund_amount": Decimal("149.00"),
        **payment,
    }
    with _client(dispatch) as client:
        ticket = client.tickets.create(
            subject="Return Request - Order #1234", status="refunded", custom_fields=fields
        )
    settings = {
        "api_key": sandbox.API_KEY,
        "workspace": sandbox.WORKSPACE,
        "base_url": dispatch.api_url,
        "database_url": f"sqlite:///{tmp_path}/returns.db",
        "adapter_options": {"api_key": processor.key, "base_url": processor.url},
    }
    with Store.open(settings["database_url"]) as store:  # type: ignore[arg-type]
        event = _event(ticket.id)
        store.write("inbox.accept", lambda conn: inbox.add(conn, event, datetime.now(UTC)))
    return Return(ticket.id, payment, settings)


def _event(ticket_id: str) -> NewEvent:
    now = datetime.now(UTC)
    envelope = {
        "id": f"evt_{ticket_id}",
        "event": "ticket.updated",
        "brand_id": sandbox.WORKSPACE,
        "data": {"id": ticket_id, "status": "refunded", "changes": ["status"]},
        "timestamp": now.isoformat(),
    }
    body = json.dumps(envelope).encode()
    workspace = sandbox.WORKSPACE
    return NewEvent(
        "dispatch", f"evt_{ticket_id}", "ticket.updated", workspace, ticket_id, body, now
    )


def _work(orders: Orders) -> int | None:
    process = _PROCESSES.Process(target=run, args=(orders,))
    process.start()
    process.join(60)
    return process.exitcode


def _client(dispatch: sandbox.Sandbox) -> DispatchClient:
    return DispatchClient(sandbox.API_KEY, sandbox.WORKSPACE, base_url=dispatch.api_url)
