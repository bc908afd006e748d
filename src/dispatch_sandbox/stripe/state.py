"""The state of the double: objects, idempotency keys, faults, the clock, the requests."""

from __future__ import annotations

import copy
import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, cast

from dispatch_returns.errors import InvalidArgumentError
from dispatch_sandbox.stripe.book import Book, moves_money
from dispatch_sandbox.stripe.events import Events
from dispatch_sandbox.stripe.faults import StripeFaults
from dispatch_sandbox.stripe.keys import IdempotencyKeys
from dispatch_sandbox.stripe.objects import Dispute, DisputeStatus, Refund, new_id

PLATFORM = "acct_sandbox"
"""The account of the key; ``Stripe-Account`` names a connected account."""
ARN_AFTER = 60.0
"""Seconds after success until the bank's tracing number arrives."""
_LOG_LENGTH = 1000

Change: TypeAlias = Literal["succeeded", "failed", "arn"]
_Turn: TypeAlias = tuple[float, int, str, str, Change, str | None]
"""A change of a refund: when it is due, its number, account, refund, change and reason."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request. ``status`` is 0 where the connection was cut instead of answered."""

    method: str
    path: str
    account: str
    key: str | None
    status: int
    replayed: bool
    request_id: str


class StripeState:
    """The state of one Stripe double. Safe to use from any thread.

    ``clock`` gives Unix seconds. `advance` moves the double's time ahead of it, so that
    keys expire and late outcomes arrive without waiting.

    Example::

        state = StripeState()
        state.faults.add(Fault(kind="lost_response", metadata={"order_id": "1234"}))
        app = Starlette(routes=routes(state))
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.lock = threading.RLock()
        self.faults = StripeFaults()
        self.keys = IdempotencyKeys()
        self.events = Events()
        self._clock = clock
        self._ahead = 0.0
        self._books: dict[str, Book] = {}
        self._turns: list[_Turn] = []
        self._turn_count = 0
        self._log: deque[RequestRecord] = deque(maxlen=_LOG_LENGTH)
        self._requests = 0
        self._replays = 0

    def now(self) -> float:
        """Return the double's time in Unix seconds."""
        return self._clock() + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the double's time forward, and make the changes that are due."""
        with self.lock:
            self._ahead += seconds
            self.settle()

    def book(self, account: str = PLATFORM) -> Book:
        """Return an account's objects. Hold ``lock`` while using them."""
        return self._books.setdefault(account, Book())

    def dispute(self, payment: str, status: DisputeStatus, account: str = PLATFORM) -> Dispute:
        """Dispute a payment, or set the status of its dispute: ``won``, ``lost`` and so on.

        Raises `InvalidArgumentError` for an unknown payment.
        """
        with self.lock:
            book = self.book(account)
            intent = book.payment_intents.get(payment)
            charge = book.charges.get((intent["latest_charge"] or "") if intent else payment)
            if charge is None:
                raise InvalidArgumentError("payment", "no charge of this account")
            return book.dispute(charge, status, int(self.now()))

    def check_out(self, payment_intent: str, account: str = PLATFORM) -> str:
        """Record that a PaymentIntent paid on a Checkout page; return the session's id."""
        with self.lock:
            book = self.book(account)
            return book.check_out(book.payment_intent(payment_intent))

    def invoice(self, payment_intent: str, account: str = PLATFORM) -> tuple[str, str]:
        """Record that a PaymentIntent paid an invoice of a subscription from a Checkout page.

        Return the ids of the invoice and of the session.
        """
        with self.lock:
            book = self.book(account)
            return book.invoice(book.payment_intent(payment_intent), int(self.now()))

    def pay_invoice(self, invoice: str, payment_intent: str, account: str = PLATFORM) -> None:
        """Record that another PaymentIntent paid a part of an invoice."""
        with self.lock:
            book = self.book(account)
            book.pay_invoice(invoice, book.payment_intent(payment_intent), int(self.now()))

    def schedule(
        self, account: str, refund: Refund, after: float, change: Change, reason: str | None = None
    ) -> None:
        """Schedule a change of a refund ``after`` seconds from now."""
        self._turn_count += 1
        due = self.now() + after
        heapq.heappush(self._turns, (due, self._turn_count, account, refund["id"], change, reason))

    def settle(self) -> None:
        """Make the changes that are due."""
        now = self.now()
        while self._turns and self._turns[0][0] <= now:
            _, _, account, refund_id, change, reason = heapq.heappop(self._turns)
            refund = self.book(account).refunds[refund_id]
            if not moves_money(refund):
                continue
            if change == "failed":
                self.book(account).end(refund, "failed", reason)
            elif change == "succeeded":
                self.succeed(account, refund)
            elif "destination_details" in refund:
                arn = f"{int(refund['id'][-18:], 16):023}"
                refund["destination_details"]["card"] |= {
                    "reference": arn,
                    "reference_status": "available",
                }
            self.emit_changed(account, refund)
            if change == "failed":
                self.emit(account, "refund.failed", refund)

    def emit(self, account: str, kind: str, shown: Mapping[str, Any]) -> None:
        """Create an event about an object as it is now."""
        connected = None if account == PLATFORM else account
        self.events.emit(connected, kind, shown, self.now())

    def emit_changed(self, account: str, refund: Refund) -> None:
        """Create the events of a changed refund, under the new name and the older one."""
        for kind in ("refund.updated", "charge.refund.updated"):
            self.emit(account, kind, refund)

    def succeed(self, account: str, refund: Refund) -> None:
        """Set a refund to succeeded; a card's tracing number comes later."""
        refund["status"] = "succeeded"
        refund.pop("pending_reason", None)
        refund.pop("next_action", None)
        if "destination_details" in refund:
            refund["destination_details"]["card"]["type"] = "refund"
            self.schedule(account, refund, ARN_AFTER, "arn")

    def record(self, entry: RequestRecord) -> None:
        """Remember that a request was made (the last thousand are kept, all are counted)."""
        with self.lock:
            self._requests += 1
            self._replays += entry.replayed
            self._log.append(entry)

    @property
    def log(self) -> list[RequestRecord]:
        """The latest requests, oldest first."""
        with self.lock:
            return list(self._log)

    def report(self) -> dict[str, Any]:
        """Return the counts: refunds, refunded amounts by charge, requests, replays, faults."""
        with self.lock:
            self.settle()
            refunds = [refund for book in self._books.values() for refund in book.refunds.values()]
            sums: dict[str, int] = {}
            counts: dict[str, int] = {}
            for refund in filter(moves_money, refunds):
                sums[refund["charge"]] = sums.get(refund["charge"], 0) + refund["amount"]
                counts[refund["charge"]] = counts.get(refund["charge"], 0) + 1
            return {
                "now": self.now(),
                "payment_intents": sum(len(book.payment_intents) for book in self._books.values()),
                "charges": sum(len(book.charges) for book in self._books.values()),
                "refunds": len(refunds),
                "refunded": sums,
                "refunds_per_charge": counts,
                "keys": len(self.keys),
                "requests": self._requests,
                "replays": self._replays,
                "faults": self.faults.dump(),
                "log": [asdict(entry) for entry in self._log],
            }

    def dump(self) -> dict[str, Any]:
        """Return everything but the log, JSON-able; `load` takes it back."""
        with self.lock:
            accounts = {name: book.dump() for name, book in self._books.items()}
            return {
                "version": 1,
                "ahead": self._ahead,
                "accounts": copy.deepcopy(accounts),
                "turns": [list(turn) for turn in self._turns],
                "keys": self.keys.dump(),
                "faults": self.faults.dump(),
                "webhooks": self.events.dump(),
            }

    def load(self, data: dict[str, Any]) -> None:
        """Replace everything with what `dump` returned, maybe in another process.

        Raises `InvalidArgumentError` if it is something else.
        """
        if data.get("version") != 1:
            raise InvalidArgumentError("data", "it is not a state that `dump` returned")
        with self.lock:
            self._ahead = data["ahead"]
            self._books = {
                name: Book.load(book) for name, book in copy.deepcopy(data["accounts"]).items()
            }
            self._turns = cast("list[_Turn]", [tuple(turn) for turn in data["turns"]])
            self._turn_count = max((turn[1] for turn in self._turns), default=0)
            self.keys.load(data["keys"])
            self.faults.load(data["faults"])
            self.events.load(data.get("webhooks", []))


def new_request_id() -> str:
    """Return an id for the ``request-id`` header."""
    return new_id("req")
