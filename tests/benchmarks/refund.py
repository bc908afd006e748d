"""From a stored event to a finished refund."""

from __future__ import annotations

import itertools
import json
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import stripe
from pydantic import SecretStr
from sqlalchemy import Connection

import dispatch_sandbox
from dispatch_returns import DispatchClient
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.connector.workers import Queue, ThreadRunner
from dispatch_returns.refunds import ledger
from dispatch_returns.store import NewEvent, inbox
from dispatch_sandbox.stripe import API_KEY as STRIPE_KEY
from tests.benchmarks import processes
from tests.benchmarks.harness import Goal, Result, Side, interleave

WORKERS, REFUNDS, AMOUNT = 8, 48, 14900
WITHIN = 60.0
HOW = (
    f"{WORKERS} threads, {REFUNDS} refunds a round; the time is per refund. Ours claims the event,"
    " reads the ticket and the payment, checks them, records the intent, sends it and records the"
    " outcome; each step is committed to SQLite. Stripe's SDK only makes the calls to Stripe, and"
    " stores nothing."
)
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Shop:
    """Tickets and payments in a sandbox."""

    url: str
    dispatch: DispatchClient
    stripe: stripe.StripeClient

    def pay(self) -> str:
        """Let a customer pay; return the payment's id."""
        return self.stripe.v1.payment_intents.create(
            {"amount": AMOUNT, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa"}
        ).id

    def returned(self) -> str:
        """Let a customer pay and send everything back; return the ticket's id."""
        return self.dispatch.tickets.create(
            subject="Return Request",
            customer_email="jane@example.com",
            status="refunded",
            custom_fields={
                "payment_intent": self.pay(),
                "refund_amount": Decimal(AMOUNT).scaleb(-2),
                "received_date": "2026-01-15",
                "condition": "like_new",
            },
        ).id


@contextmanager
def shop() -> Generator[Shop]:
    with (
        processes.serving("tests.benchmarks.standing_in") as url,
        DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=f"{url}/v1"
        ) as dispatch,
    ):
        dispatch.statuses.create(key="refunded", name="Refunded")
        yield Shop(url, dispatch, stripe.StripeClient(STRIPE_KEY, base_addresses={"api": url}))


class Countdown:
    """Says when so many refunds are done."""

    def __init__(self, left: int) -> None:
        self._left = left
        self._lock = threading.Lock()
        self._done = threading.Event()

    def watch(self, queue: Queue[Any]) -> Queue[Any]:
        def run(item: Any) -> None:
            queue.run(item)
            with self._lock:
                self._left -= 1
                if self._left == 0:
                    self._done.set()

        return replace(queue, run=run)

    def wait(self) -> None:
        if not self._done.wait(WITHIN):
            raise RuntimeError(f"{self._left} refunds are missing")


def event(ticket_id: str) -> NewEvent:
    """The event that the receiver keeps when a ticket becomes `refunded`."""
    now = datetime.now(UTC)
    event_id = f"evt_{next(_numbers)}"
    body = {
        "id": event_id,
        "event": "ticket.updated",
        "data": {"id": ticket_id, "status": "refunded", "changes": ["status"]},
        "timestamp": now.isoformat(),
    }
    return NewEvent(
        source="dispatch",
        event_id=event_id,
        type="ticket.updated",
        workspace_id=dispatch_sandbox.WORKSPACE,
        ticket_id=ticket_id,
        body=json.dumps(body).encode(),
        occurred_at=now,
    )


def keep(conn: Connection, events: list[NewEvent]) -> None:
    for one in events:
        inbox.add(conn, one, one.occurred_at or datetime.now(UTC))


def ours(shop: Shop, connector: Connector) -> Side:
    def measure() -> float:
        accepted = [event(shop.returned()) for _ in range(REFUNDS)]
        connector.store.write("inbox.accept", lambda conn: keep(conn, accepted))
        countdown = Countdown(REFUNDS)
        queues = {queue.name: queue for queue in connector.queues}
        runner = ThreadRunner([countdown.watch(queues["events"]), queues["refunds"]], WORKERS)
        start = time.perf_counter()
        runner.start()
        countdown.wait()
        taken = time.perf_counter() - start
        runner.stop()
        return taken / REFUNDS

    return Side("event to finished refund", measure)


def bare(name: str, shop: Shop, refund: Callable[[str], object]) -> Side:
    def measure() -> float:
        payments = [shop.pay() for _ in range(REFUNDS)]
        with ThreadPoolExecutor(WORKERS) as pool:
            start = time.perf_counter()
            list(pool.map(refund, payments))
            return (time.perf_counter() - start) / REFUNDS

    return Side(name, measure)


def refund() -> Result:
    """Against Stripe's SDK alone."""
    with shop() as one, tempfile.TemporaryDirectory() as folder:
        sdk = one.stripe.v1

        def send(payment: str) -> object:
            params: Any = {"payment_intent": payment, "amount": AMOUNT}
            return sdk.refunds.create(params, {"idempotency_key": f"key-{payment}"})

        def look_and_send(payment: str) -> object:
            sdk.payment_intents.retrieve(payment, {"expand": ["latest_charge"]})
            return send(payment)

        settings = Settings(
            api_key=SecretStr(dispatch_sandbox.API_KEY),
            workspace=dispatch_sandbox.WORKSPACE,
            webhook_secrets=(SecretStr("whsec_bench"),),
            base_url=f"{one.url}/v1",
            database_url=f"sqlite:///{folder}/bench.db",
            adapter_options={"stripe": {"api_key": STRIPE_KEY, "base_url": one.url}},
        )
        with Connector(settings) as connector:
            connector.go_live.complete()
            rounds = interleave(
                ours(one, connector),
                bare("stripe SDK: payment and refund", one, look_and_send),
                bare("stripe SDK: refund alone", one, send),
                rounds=11,
            )
            with connector.store.read() as conn:
                unpaid = ledger.count_open_by_state(conn)
    if unpaid:
        raise RuntimeError(f"not every refund was paid: {unpaid}")
    goals = (Goal(0.7, "stripe SDK: payment and refund", speed=True),)
    return Result("Taking a stored event to a finished refund", HOW, rounds, goals)
