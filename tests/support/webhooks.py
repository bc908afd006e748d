"""Deliveries as Dispatch sends them, a clock that stands still, and stores that fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection

from dispatch_returns.errors import StoreUnavailableError
from dispatch_returns.store import Store, inbox
from dispatch_returns.store.inbox import StoredEvent
from dispatch_returns.webhooks.receiver import InboxStore, Receiver
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


def shop(store: InboxStore, **options: Any) -> Shop:
    """A receiver on `store` with the test's secret and clock."""
    return Shop(Receiver(store, SECRET, **{"clock": clock, **options}))
