"""A refund desk: a store on disk, an in-memory processor, and a clock that a test turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from dispatch_returns.money import Money
from dispatch_returns.refunds import actions, attempts, ledger
from dispatch_returns.refunds.adapter import Payment, PaymentRef, RefundAdapter
from dispatch_returns.refunds.attempts import Attempt
from dispatch_returns.refunds.guard import GuardLimits
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.processors import Adapters, OneOrMore
from dispatch_returns.refunds.retry_schedule import RetrySchedule
from dispatch_returns.refunds.service import RefundService
from dispatch_returns.refunds.ticket_facts import (
    OrderOf,
    PaymentResolver,
    TicketFacts,
    no_order_source,
)
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store, outbox, switches
from dispatch_returns.store.outbox import Message, MessageState
from dispatch_returns.store.switches import Switch
from dispatch_returns.testing import FakeAdapter

WORKSPACE = "ws_1"
NOW = datetime(2024, 1, 15, 12, tzinfo=UTC)
EMAIL = "jane@example.com"
_ENDLESS = 5000


def usd(amount: str) -> Money:
    """An amount in US dollars."""
    return Money.from_decimal(Decimal(amount), "USD")


def facts(ticket_id: str = "tkt_1", amount: object = "149.00", **fields: Any) -> TicketFacts:
    """What a complete ticket says; `fields` are put over it, and None takes one away."""
    custom = {
        "order_id": "1234",
        "payment_intent": "pi_1",
        "received_date": "2024-01-15",
        "refund_amount": Decimal(amount) if isinstance(amount, str) else amount,
    } | fields
    ticket = _Ticket(ticket_id, {name: it for name, it in custom.items() if it is not None})
    return TicketFacts.of(ticket, WORKSPACE)  # type: ignore[arg-type]


class _Ticket:
    """As much of a ticket as is read of it."""

    def __init__(self, ticket_id: str, custom_fields: dict[str, Any]) -> None:
        self.id = ticket_id
        self.custom_fields = custom_fields
        self.customer_email = EMAIL
        self.status = "refunded"
        self.deleted_at = self.is_spam = self.merged_into_id = None
        self.created_at = NOW


class Clock:
    """A clock that stands still until it is turned."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **duration: float) -> None:
        """Go on by so many hours, minutes ..."""
        self.now += timedelta(**duration)


class Desk:
    """Takes refunds through the service as the workers do, one step at a time."""

    def __init__(
        self,
        store: Store,
        adapter: RefundAdapter | None = None,
        *,
        clock: Clock | None = None,
        limits: GuardLimits | None = None,
        schedule: RetrySchedule | None = None,
        resolver: PaymentResolver | None = None,
        order_of: OrderOf = no_order_source,
    ) -> None:
        self.store = store
        self.clock = clock or Clock()
        self.fake = FakeAdapter({"pi_1": usd("149.00"), "pi_2": usd("500.00")}, clock=self.clock)
        self.adapters: OneOrMore = adapter or self.fake
        if isinstance(adapter, FakeAdapter):
            self.fake = adapter
        self.schedule = schedule or RetrySchedule()
        self.resolver = resolver
        self.order_of = order_of
        self.announced: list[tuple[State, str | None]] = []
        """What the merchant's code would be told: each state, with why it waits."""
        self.service = self._new_service(limits)

    def _new_service(self, limits: GuardLimits | None) -> RefundService:
        return RefundService(
            self.store,
            Adapters.of(self.adapters),
            self.resolver,
            limits,
            schedule=self.schedule,
            clock=self.clock,
            jitter=lambda: 0.0,
            listener=self._announce,
            order_of=self.order_of,
        )

    def _announce(self, conn: Connection, refund: Refund, now: datetime) -> None:
        """Listen, and hold what is announced to what is written."""
        assert refund == ledger.get(conn, refund.id)
        assert now == self.clock()
        self.announced.append((refund.state, refund.reason))

    def restart(self, limits: GuardLimits | None = None, adapters: OneOrMore | None = None) -> None:
        """Start the service anew, with other limits or other processors."""
        self.adapters = self.adapters if adapters is None else adapters
        self.service = self._new_service(limits)

    def throw(self, switch: Switch, *, is_on: bool) -> None:
        """Turn a switch on or off, as another process does."""
        now = self.clock()
        self.store.write(
            "throw",
            lambda conn: switches.throw(conn, switch, now, is_on=is_on, who="Ann", why="a test"),
        )

    # What happens to a refund.

    def cannot_tell(self) -> None:
        """Let the processor not say what was refunded, so that a refund is looked up first."""
        payment = self.fake.payment

        def unsaid(ref: PaymentRef) -> Payment:
            return replace(payment(ref), charged=None, refunded=None)

        self.fake.payment = unsaid  # type: ignore[method-assign]

    def enter(self, *given: TicketFacts) -> Refund:
        """Judge and enter what the tickets say, as the event processor does."""
        for it in given or (facts(),):
            decision = self.service.intake.evaluate(it)
            row = self.store.write("enter", lambda conn: self.service.intake.enter(conn, decision))  # noqa: B023
        assert row is not None
        return row

    def step(self) -> int:
        """Take every refund that is due one step further; return how many there were."""
        claimed = self.service.claim(100)
        for refund in claimed:
            self.service.advance(refund)
        return len(claimed)

    def run(self, **duration: float) -> None:
        """Let time pass, and do every step when it falls due."""
        end = self.clock.now + timedelta(**duration)
        for _ in range(_ENDLESS):
            if self.step():
                continue
            due = self.next_due()
            if due is None or due > end:
                self.clock.now = end
                return
            self.clock.now = max(due, self.clock.now)
        raise AssertionError("the refunds come to no rest")

    def act(self, act: Callable[..., Refund], **given: Any) -> Refund:
        """Do a person's act to the one refund there is."""
        return act(self.service, self.only().id, **({"who": "Ann"} | given))

    def retry(self, **given: Any) -> Refund:
        """Retry the one refund there is, with its ticket as it is."""
        return self.act(actions.retry, **given)

    # What there is.

    def refunds(self) -> list[Refund]:
        with self.store.read() as conn:
            return ledger.newest(conn, limit=1000)

    def only(self) -> Refund:
        """The one refund there is."""
        (refund,) = self.refunds()
        return refund

    def next_due(self) -> datetime | None:
        return min((r.due_at for r in self.refunds() if r.due_at is not None), default=None)

    def attempts(self, refund: Refund | None = None) -> list[Attempt]:
        with self.store.read() as conn:
            return attempts.of_refund(conn, (refund or self.only()).id)

    def calls(self) -> list[str]:
        """Each attempt as ``call outcome``, without what was only announced."""
        return [f"{it.call} {it.outcome}" for it in self.attempts() if it.outcome != "sent"]

    def messages(self, refund: Refund | None = None) -> list[Message]:
        with self.store.read() as conn:
            return outbox.of_refund(conn, (refund or self.only()).id)

    def told(self, *kinds: str) -> list[str]:
        """The texts of the messages of these kinds, in order; a `ticket` one has none."""
        wanted = kinds or ("comment", "note")
        return [m.payload.get("body", "") for m in self.messages() if m.kind in wanted]

    def deliver(self) -> None:
        """Mark what waits in the outbox as delivered."""
        self.store.write("deliver", self._deliver)

    def _deliver(self, conn: Any) -> None:
        for message in outbox.claim(conn, self.clock(), timedelta(minutes=3), 1000):
            outbox.finish(conn, message, self.clock(), MessageState.DONE)

    @property
    def paid(self) -> list[Money]:
        """What the processor has paid, somebody else's refunds included."""
        return [r.amount for r in self.fake.refunds if r.status not in ("failed", "canceled")]

    @property
    def keys(self) -> Sequence[str]:
        """The idempotency key's generation of each request that the processor got."""
        return [request.idempotency_key.rpartition("-")[2] for request in self.fake.requests]


def schedule(**changes: Any) -> RetrySchedule:
    """The schedule with some of it changed."""
    return replace(RetrySchedule(), **changes)
