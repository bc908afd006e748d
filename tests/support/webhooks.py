"""Deliveries as Dispatch sends them, a clock that stands still, and stores that fail."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection

from dispatch_returns.errors import StoreUnavailableError
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.store import Store, inbox
from dispatch_returns.store.inbox import StoredEvent
from dispatch_returns.webhooks.receiver import (
    BaseReceiver,
    InboxStore,
    ProcessorReceiver,
    Receiver,
)
from dispatch_returns.webhooks.signature import sign

T = TypeVar("T")

SECRET = "whsec_test123"
HEADER = "X-Dispatch-Signature"
NOW = datetime(2024, 1, 15, 12, tzinfo=UTC)


def clock() -> datetime:
    """The same moment always, so that a test never depends on the day it runs on."""
    return NOW


def envelope(**changes: Any) -> dict[str, Any]:
    """A ``ticket.updated`` event; `changes` replace parts of the envelope."""
    return {
        "id": "evt_1",
        "event": "ticket.updated",
        "brand_id": "br_1",
        "data": {
            "id": "tkt_1",
            "ticketNumber": 1234,
            "title": "Return Request - Order #1234",
            "status": "refunded",
            "priority": "normal",
            "assigneeId": None,
            "customerId": "cus_1",
            "customerEmail": "jane@example.com",
            "customerName": "Jane Doe",
            "updatedAt": "2024-01-15T11:59:00.000Z",
            "changes": ["status"],
        },
        "timestamp": "2024-01-15T11:59:30.000Z",
    } | changes


def body_of(decoded: object) -> bytes:
    """JSON as ``JSON.stringify`` writes it."""
    return json.dumps(decoded, separators=(",", ":"), ensure_ascii=False).encode(
        errors="surrogatepass"
    )


def event_body(**changes: Any) -> bytes:
    """The body of `envelope`."""
    return body_of(envelope(**changes))


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """The headers of a delivery with this body."""
    return {HEADER: sign(body, secret), "Content-Type": "application/json"}


STRIPE_SECRET = "whsec_stripe123"


def stripe_event(**changes: Any) -> bytes:
    """A ``refund.updated`` event as Stripe sends it; `changes` replace parts of it."""
    refund = {
        "id": "re_1",
        "object": "refund",
        "amount": 14900,
        "charge": "ch_1",
        "created": 1705319900,
        "currency": "usd",
        "metadata": {"dispatch_refund_id": "rfd_1", "dispatch_ticket_id": "tkt_1"},
        "payment_intent": "pi_1",
        "status": "succeeded",
    }
    event = {
        "id": "evt_s1",
        "object": "event",
        "created": 1705319970,
        "livemode": False,
        "type": "refund.updated",
        "data": {"object": refund},
    }
    return body_of(event | changes)


def stripe_signed(body: bytes, secret: str = STRIPE_SECRET, at: datetime = NOW) -> dict[str, str]:
    """The headers of a delivery of Stripe's with this body."""
    second = str(int(at.timestamp()))
    mac = hmac.new(secret.encode(), second.encode() + b"." + body, hashlib.sha256)
    header = f"t={second},v1={mac.hexdigest()}"
    return {"Stripe-Signature": header, "Content-Type": "application/json"}


def stripe_adapter() -> StripeAdapter:
    """An adapter that verifies with the test's secret and clock, and calls nobody."""
    return StripeAdapter("sk_test_1", webhook_secrets=["whsec_next", STRIPE_SECRET], clock=clock)


def shop_with_stripe(store: InboxStore, **options: Any) -> Shop:
    """A shop that listens to Stripe as well."""
    receiver = ProcessorReceiver(store, stripe_adapter(), **{"clock": clock, **options})
    return Shop(shop(store, **options).receiver, {"stripe": receiver})


def stored(store: Store) -> list[StoredEvent]:
    """What is in the inbox, newest first."""
    with store.read() as conn:
        return inbox.newest(conn, limit=1000)


class ClosedStore:
    """A store that refuses at once."""

    def submit(self, name: str, work: Callable[[Connection], T], /) -> Future[T]:
        raise StoreUnavailableError("the store is closed")


class FullDisk:
    """A store whose commits fail."""

    def submit(self, name: str, work: Callable[[Connection], T], /) -> Future[T]:
        future: Future[T] = Future()
        future.set_exception(StoreUnavailableError("disk full"))
        return future


class StuckStore:
    """A store that never answers; the test may."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, name: str, work: Callable[[Connection], T], /) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        self.futures.append(future)
        return future


@dataclass
class Shop:
    """The least that a mount can be given."""

    receiver: Receiver
    others: dict[str, BaseReceiver] = field(default_factory=dict)

    @property
    def receivers(self) -> dict[str, BaseReceiver]:
        return {**self.others, "dispatch": self.receiver}


def shop(store: InboxStore, **options: Any) -> Shop:
    """A receiver on `store` with the test's secret and clock."""
    return Shop(Receiver(store, SECRET, **{"clock": clock, **options}))
