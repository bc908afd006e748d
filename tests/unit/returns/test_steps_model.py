"""Whatever happens to a return, in any order: each thing once, and an end or a person who knows.

Hypothesis plays customers, agents, the warehouse, workers that die or are slow, providers that
are away, and time against the engine, on a real Dispatch stand-in.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.errors import LabelError, OrderError, ReturnStateError
from dispatch_returns.refunds.adapter import RefundRequest, RefundResult
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns import receipts
from dispatch_returns.returns.label_records import OVER
from dispatch_returns.returns.notifications.notification import NotificationKind
from dispatch_returns.returns.policy.verdict import Outcome
from dispatch_returns.returns.receipts import ReceiptState
from dispatch_returns.returns.records import Return
from dispatch_returns.returns.steps.engine import ReturnsEngine
from dispatch_returns.returns.steps.messages import ON_ARRIVAL
from dispatch_returns.returns.steps.plan import SOMEBODY, US
from dispatch_returns.returns.steps.receiving import not_arrived
from dispatch_returns.returns.steps.statuses import STEPS
from dispatch_returns.returns.transitions import Step
from dispatch_returns.store.schema import outbox
from tests.support.desk import usd
from tests.support.returns import CarefulNotifier, Merchant, order
from tests.support.returns_shop import ReturnsShop

ORDERS = {
    "1234": order("1234", SKU_001="149.00", SKU_002="20.00"),
    "5678": order("5678", SKU_001="149.00", SKU_002="20.00"),
}
_WRITES = (
    "label.attached", "label.bought", "label.buying", "label.uploading", "label.wanted",
    "message.done", "refund.sending", "refund.outcome", "return.claim", "return.decided",
    "return.moved",
)  # fmt: skip
_OVER = {"rejected", "expired", "cancelled"}
PARCELS: dict[str, Any] = {
    "all": None,
    "fewer": ["SKU-002"],
    "damaged": [{"sku": "SKU-001", "condition": "damaged"}],
    "other": ["SKU-404"],
    "more": [{"sku": "SKU-001", "quantity": 3}],
}

statuses = st.sampled_from([*STEPS, "open"])
returns_ = st.sampled_from(range(len(ORDERS)))
points = st.sampled_from(_WRITES)
commits = st.sampled_from(["return.decided", "return.moved"])
parcels = st.sampled_from(list(PARCELS))
waits = st.sampled_from([{"minutes": 10}, {"hours": 2}, {"days": 3}, {"days": 8}, {"days": 31}])


class Dies(BaseException):
    """A worker ends here, as by SIGKILL."""


class Returns(RuleBasedStateMachine):
    """Two returns, of two orders, on their way through the steps."""

    box: ClassVar[dispatch_sandbox.Sandbox]

    @initialize(
        outcome=st.sampled_from([Outcome.APPROVE, Outcome.APPROVE, Outcome.REVIEW, Outcome.REJECT]),
        pays=st.booleans(),
        returnless=st.sampled_from([False, False, False, True]),
    )
    def open(self, outcome: Outcome, pays: bool, returnless: bool) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.merchant = Merchant(notifier=CarefulNotifier())
        self.merchant.orders.known = dict(ORDERS)
        self.merchant.rules.outcome = outcome
        self.merchant.rules.refund_on_receipt = pays
        self.merchant.rules.returnless = returnless
        self.shop = ReturnsShop(self.box, self.folder, self.merchant)
        self.pay, self.shop.fake.refund = self.shop.fake.refund, self.watched  # type: ignore[method-assign]
        self.entered: set[str] = set()
        self.before_a_parcel: set[str] = set()
        self.slow: list[Return] = []
        self.tickets = [self.ask(order_id) for order_id in ORDERS]

    def ask(self, order_id: str) -> Ticket:
        payment = f"pi_{order_id}"
        self.shop.fake.add_payment(payment, usd("1000.00"))
        ticket = self.shop.connector.returns.request(
            order_id=order_id,
            items=["SKU-001", "SKU-002"],
            reason="wrong_size",
            customer_email=f"{order_id}@example.com",
            fields={"payment_intent": payment},
        )
        self.shop.event(ticket.id)
        return ticket

    def watched(self, request: RefundRequest) -> RefundResult:
        """No money for what was rejected or is over, unless somebody has said so since."""
        story = self.shop.decisions(next(t for t in self.tickets if t.id == request.ticket_id))
        over = [n for n, it in enumerate(story) if it.kind == "status" and it.outcome in _OVER]
        if over and request.refund_id not in self.entered:
            people = [it for it in story[over[-1] :] if it.who not in {US, "policy test@1"}]
            assert people, "nobody has said that this is paid"
        return self.pay(request)

    # Agents, customers, the warehouse.

    @rule(which=returns_, status=statuses, told=st.booleans())
    def somebody_sets_the_status(self, which: int, status: str, told: bool) -> None:
        """`told`: an event says so; else it is lost, or comes later."""
        self.somebody_sets(which, status)
        if told:
            self.shop.event(self.tickets[which].id)

    @rule(
        which=returns_, status=statuses, write=st.sampled_from(["return.decided", "return.moved"])
    )
    def somebody_sets_the_status_while_we_work(self, which: int, status: str, write: str) -> None:
        commit, dragged = self.shop.store.write, False

        def drags(name: str, work: Callable[[Any], Any]) -> Any:
            nonlocal dragged
            done = commit(name, work)
            if name == write and not dragged:
                dragged = True
                self.somebody_sets(which, status)
            return done

        self.shop.event(self.tickets[which].id)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.shop.store, "write", drags)
            self.work()

    @rule(which=returns_, what=parcels, key=st.sampled_from([None, "gate-1"]))
    def a_parcel_is_recorded(self, which: int, what: str, key: str | None) -> None:
        with contextlib.suppress(ReturnStateError):
            self.shop.connector.returns.receive(
                self.tickets[which].id, lines=PARCELS[what], who="Bob", key=key
            )

    @rule(which=returns_, amount=st.sampled_from([None, "10.00", "999.00"]))
    def the_warehouse_patches_the_ticket(self, which: int, amount: str | None) -> None:
        fields: dict[str, Any] = {"received_date": "2024-01-15", "condition": "good"}
        if amount is not None:
            fields["refund_amount"] = Decimal(amount)
        self.somebody_sets(which, "item_received", **fields)
        self.shop.event(self.tickets[which].id)

    def somebody_sets(self, which: int, status: str, **fields: Any) -> None:
        """Set a status through another client than the workers', which meets no faults."""
        faults = self.box.state.faults
        waiting = faults.rules()
        faults.clear()
        there = self.shop.now(self.tickets[which]).custom_fields
        self.shop.set(self.tickets[which], status, **{**there, **fields})
        for fault in waiting:
            faults.add(fault)

    # Workers, faults, time.

    @rule()
    def work(self) -> None:
        self.shop.connector.work_off()

    @rule(point=points, after=st.booleans())
    def work_and_die(self, point: str, after: bool) -> None:
        write = self.shop.store.write

        def mortal(name: str, work: Callable[[Any], Any]) -> Any:
            if name != point:
                return write(name, work)
            if after:
                write(name, work)
            raise Dies

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.shop.store, "write", mortal)
            with contextlib.suppress(Dies):
                self.work()

    @rule()
    def claim_and_be_slow(self) -> None:
        self.slow += self.engine.claim(1)

    @precondition(lambda self: self.slow)
    @rule()
    def slow_worker_goes_on(self) -> None:
        self.engine.advance(self.slow.pop())

    @rule(wait=waits)
    def time_passes(self, wait: dict[str, float]) -> None:
        self.shop.clock.turn(**wait)

    @rule(
        error=st.sampled_from(
            [None, LabelError("away", retryable=True), LabelError("no such place")]
        ),
        loses=st.booleans(),
    )
    def the_label_provider_is(self, error: LabelError | None, loses: bool) -> None:
        self.merchant.labels.error = error
        self.merchant.labels.loses_answers = loses

    @rule(error=st.sampled_from([None, OrderError("away", retryable=True), OrderError("broken")]))
    def the_shop_system_is(self, error: OrderError | None) -> None:
        self.merchant.orders.error = error

    @rule(method=st.sampled_from(["GET", "PATCH", "POST"]))
    def dispatch_is_away_once(self, method: str) -> None:
        self.shop.fault(status=503, match={"method": method})

    @property
    def engine(self) -> ReturnsEngine:
        engine = self.shop.connector._engine
        assert engine is not None
        return engine

    # What must always hold.

    @invariant()
    def each_thing_is_done_once(self) -> None:
        self.no_label_is_bought_twice()
        self.nothing_is_told_twice_of_one_step()
        self.each_accepted_parcel_is_one_refund()

    def no_label_is_bought_twice(self) -> None:
        keys = Counter(request.key for request in self.merchant.labels.bought)
        assert set(keys.values()) <= {1}, keys

    def nothing_is_told_twice_of_one_step(self) -> None:
        for ticket in self.tickets:
            story = Counter(self.shop.story(ticket))
            told = Counter(
                it.kind for it in self.merchant.notifier.told if it.ticket_id == ticket.id
            )
            for step, kind in ON_ARRIVAL.items():
                assert told[kind] <= story[f"status {step}"], kind
            assert told[NotificationKind.REMINDER] <= story["reminder customer"]

    def each_accepted_parcel_is_one_refund(self) -> None:
        for ticket in self.tickets:
            known = {receipt.ordinal: receipt for receipt in self.shop.receipts(ticket)}
            assert sorted(known) == list(range(1, len(known) + 1))
            for refund in self.shop.refunds(ticket):
                if refund.state is not State.HELD:
                    self.entered.add(refund.id)
                if refund.ordinal not in known:
                    assert refund.ordinal == 1
                    self.before_a_parcel.add(refund.id)
                elif refund.id not in self.before_a_parcel:
                    assert known[refund.ordinal].state is ReceiptState.ACCEPTED
        paid = Counter(request.refund_id for request in self.shop.fake.requests)
        assert len(self.shop.fake.refunds) <= len(paid)

    # How it ends.

    def teardown(self) -> None:
        if not hasattr(self, "shop"):
            return
        try:
            self.in_the_end_each_return_is_over_or_with_a_person()
        finally:
            self.shop.close()
            shutil.rmtree(self.folder)

    def in_the_end_each_return_is_over_or_with_a_person(self) -> None:
        """Faults over, each event arrived, time passes."""
        self.box.state.faults.clear()
        self.the_label_provider_is(None, loses=False)
        self.the_shop_system_is(None)
        while self.slow:
            self.slow_worker_goes_on()
        for wait in ({"minutes": 10}, {"hours": 2}, {"hours": 2}, {"days": 31}, {"days": 31}):
            for ticket in self.tickets:
                self.shop.event(ticket.id)
            self.shop.clock.turn(**wait)
            self.work()
        self.each_thing_is_done_once()
        for ticket in self.tickets:
            self.rests(ticket)
        with self.shop.store.read() as conn:
            left = conn.execute(select(outbox.c.kind).where(outbox.c.due_at.is_not(None))).all()
        assert left == [], "something was not told"

    def rests(self, ticket: Ticket) -> None:
        """Whether a return is over, or waits for a person who was told why."""
        row, story = self.shop.row(ticket), self.shop.decisions(ticket)
        assert (row.status, row.planned, row.working) == (self.shop.status(ticket), None, False)
        if row.step in {Step.REJECTED, Step.EXPIRED, Step.CANCELLED}:
            assert all(label.state in OVER for label in self.shop.labels(ticket))
        elif row.step is Step.REVIEW:
            came = [it for it in story if (it.kind, it.outcome) == ("status", "needs_review")][-1]
            assert came.why is not None or came.who == SOMEBODY, "nobody said why"
        elif row.step is Step.REFUNDED:
            assert self.shop.refunds(ticket), "it was entered"
        elif row.step is Step.LABEL_SENT:  # an agent set it back, and the customer owes nothing
            came = [it for it in story if (it.kind, it.outcome) == ("status", "label_sent")][-1]
            with self.shop.store.read() as conn:
                known = receipts.of_return(conn, row.id)
            assert came.who == SOMEBODY
            assert known, "nothing has come"
            assert not not_arrived(row, known)
        else:
            waits = {Step.RECEIVED, Step.ELSEWHERE}
            assert row.step in waits, row


def test_whatever_happens_each_thing_is_done_once_and_every_path_ends(
    box: dispatch_sandbox.Sandbox,
) -> None:
    Returns.box = box
    run_state_machine_as_test(
        Returns, settings=settings(max_examples=7, stateful_step_count=12, deadline=None)
    )
