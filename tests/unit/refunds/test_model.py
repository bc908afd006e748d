"""Whatever happens, in any order: at most one refund, and nothing is forgotten.

Hypothesis plays events, corrections, faults, crashes, slow workers, time and people against
the service, and compares with what the processor has really paid.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import Connection

from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    InvalidArgumentError,
    RefundStateError,
)
from dispatch_returns.refunds import actions, ledger
from dispatch_returns.refunds.adapter import RefundRequest, RefundResult, RefundStatus
from dispatch_returns.refunds.decision import RefundDecision
from dispatch_returns.refunds.guard import GuardLimits
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.ticket_facts import TicketFacts
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store, outbox
from dispatch_returns.store.outbox import MessageState
from dispatch_returns.testing import FakeAdapter
from tests.support import postgres
from tests.support.desk import WORKSPACE, Clock, Desk, facts, usd
from tests.support.stores import open_store

TICKETS = ("tkt_1", "tkt_2")
CHARGED = usd("149.00")
NOT_PAID = (RefundStatus.FAILED, RefundStatus.CANCELED)
LOST_FOR_A_PERSON = (State.HELD, State.FAILED, State.CANCELED, State.UNKNOWN)
LIMITS = (
    GuardLimits(),
    GuardLimits(kill_switch=True),
    GuardLimits(dry_run=True),
    GuardLimits(approve_above={"USD": Decimal(100)}),
    GuardLimits(max_per_day={"USD": Decimal(150)}),
)

kinds = st.sampled_from(list(ErrorKind))
faults = st.sampled_from(["lost_response", "stored_500", "stored_500_but_paid"]) | kinds
tickets = st.sampled_from(TICKETS)
writes = st.sampled_from(["refund.claim", "refund.sending", "refund.outcome", "refund.postpone"])
waits = st.sampled_from(
    [timedelta(seconds=5), timedelta(minutes=4), timedelta(hours=2), timedelta(hours=25)]
)


class Dies(BaseException):
    """A worker ends here, as by SIGKILL."""


class Returns(RuleBasedStateMachine):
    """Two tickets, each with a payment of its own."""

    @initialize(
        lookup=st.sampled_from(["ours", "theirs", "none"]),
        key_lifetime=st.sampled_from([timedelta(hours=24), timedelta(hours=24), None]),
        status=st.sampled_from([RefundStatus.SUCCEEDED, RefundStatus.PENDING]),
    )
    def open(self, lookup: str, key_lifetime: timedelta | None, status: RefundStatus) -> None:
        self.clock = Clock()
        self.fake = FakeAdapter(
            {f"pi_{ticket}": CHARGED for ticket in TICKETS},
            lookup=lookup == "ours",
            key_lifetime=key_lifetime,
            first_status=status,
            clock=self.clock,
        )
        by_id = lookup == "theirs"  # as PayPal
        self.fake.capabilities = replace(self.fake.capabilities, lookup_by_id=by_id)
        self._pay, self.fake.refund = self.fake.refund, self.watched  # type: ignore[method-assign]
        self.desk = Desk(self.new_store(), self.fake, clock=self.clock)
        self.fields: dict[str, dict[str, Any]] = {t: {} for t in TICKETS}
        self.refunded = dict.fromkeys(TICKETS, True)
        self.late_events: list[RefundDecision] = []
        self.announced: list[Refund] = []
        self.slow_workers: list[Refund] = []
        for ticket in TICKETS:
            self.event(ticket, late=False)

    def new_store(self) -> Store:
        self.folder = Path(tempfile.mkdtemp())
        return open_store(self.folder, durable=False)

    def watched(self, request: RefundRequest) -> RefundResult:
        """No request may carry another key than one that was paid under."""
        for made in self.made(request.ticket_id):
            assert made.request is not None
            assert made.request.idempotency_key == request.idempotency_key, "a new key on a guess"
        return self._pay(request)

    def made(self, ticket: str) -> list[Any]:
        """What the processor has really paid for this intent."""
        ours = ledger.refund_id(WORKSPACE, ticket, 1)
        return [
            made
            for made in self.fake._made.values()
            if made.request is not None and made.request.refund_id == ours and made.paid
        ]

    def row(self, ticket: str) -> Refund | None:
        with self.desk.store.read() as conn:
            return ledger.get(conn, ledger.refund_id(WORKSPACE, ticket, 1))

    def facts(self, ticket: str) -> TicketFacts:
        return facts(ticket, **({"payment_intent": f"pi_{ticket}"} | self.fields[ticket]))

    # Events and corrections.

    @rule(ticket=tickets, late=st.booleans())
    def event(self, ticket: str, late: bool) -> None:
        """An event arrives; `late`: its worker is slow, and enters what it evaluation later on."""
        if not self.refunded[ticket]:
            return
        try:
            decision = self.desk.service.intake.evaluate(self.facts(ticket))
        except AdapterError:
            return  # it is put off
        self.late_events.append(decision)
        if not late:
            self.enter_late_event()

    @precondition(lambda self: self.late_events)
    @rule()
    def enter_late_event(self) -> None:
        decision, service = self.late_events.pop(), self.desk.service

        def done(conn: Connection) -> Refund | None:
            return service.enter(conn, decision)[1]

        sending = self.desk.store.write("event.done", done)
        if sending is not None:
            self.announced.append(sending)

    @precondition(lambda self: self.announced)
    @rule()
    def announced_call_is_made(self) -> None:
        """At once, or late; or never, for its worker is dead."""
        self.desk.service.carry_out(self.announced.pop())

    @rule(
        ticket=tickets,
        changes=st.sampled_from(
            [{}, {"amount": "20.00"}, {"amount": None}, {"received_date": None}, {"amount": "999"}]
        ),
    )
    def correct(self, ticket: str, changes: dict[str, Any]) -> None:
        self.fields[ticket] = changes

    @rule(ticket=tickets)
    def set_to_refunded_again(self, ticket: str) -> None:
        self.refunded[ticket] = True
        self.event(ticket, late=False)

    @rule()
    def deliver(self) -> None:
        """The outbox reaches the tickets."""

        def done(conn: Any) -> None:
            for message in outbox.claim(conn, self.clock(), timedelta(minutes=3), 1000):
                outbox.finish(conn, message, self.clock(), MessageState.DONE)
                refund = ledger.get(conn, message.refund_id or "")
                if message.kind == "ticket" and refund is not None and refund.reason is not None:
                    self.refunded[refund.ticket_id] = False

        self.desk.store.write("deliver", done)

    # Workers, faults, time.

    @rule()
    def work(self) -> None:
        self.desk.step()

    @rule(hours=st.sampled_from([1, 30]))
    def work_for_a_while(self, hours: float) -> None:
        self.desk.run(hours=hours)

    @rule(point=writes, after=st.booleans())
    def work_and_die(self, point: str, after: bool) -> None:
        write = self.desk.store.write

        def mortal(name: str, work: Callable[[Any], Any]) -> Any:
            if name != point:
                return write(name, work)
            if after:
                write(name, work)
            raise Dies

        self.desk.store.write = mortal  # type: ignore[method-assign]
        try:
            self.desk.step()
        except Dies:
            pass
        finally:
            self.desk.store.write = write  # type: ignore[method-assign]

    @rule()
    def claim_and_be_slow(self) -> None:
        self.slow_workers += self.desk.service.claim(1)

    @precondition(lambda self: self.slow_workers)
    @rule()
    def slow_worker_goes_on(self) -> None:
        self.desk.service.advance(self.slow_workers.pop())

    @rule(fault=faults, call=st.sampled_from(["refund", "refund", "find", "payment"]))
    def fault(self, fault: Any, call: Any) -> None:
        if isinstance(fault, ErrorKind):
            fault = AdapterError(fault, "said so")
        if call == "refund" or not isinstance(fault, str):
            self.fake.fail_next(fault, call=call)

    @rule(wait=waits)
    def time_passes(self, wait: timedelta) -> None:
        self.clock.now += wait

    @rule(limits=st.sampled_from(LIMITS))
    def restart_with_other_limits(self, limits: GuardLimits) -> None:
        self.desk.restart(limits)

    # The processor.

    @rule(ticket=tickets, status=st.sampled_from([RefundStatus.SUCCEEDED, RefundStatus.FAILED]))
    def bank_answers(self, ticket: str, status: RefundStatus) -> None:
        row = self.row(ticket)
        for made in self.made(ticket):
            # A failure that the ledger has not heard of yet is no news in this test's books.
            if status is RefundStatus.SUCCEEDED or (row and row.processor_id):
                self.fake.set_status(made.result.processor_id, status)

    @rule(ticket=tickets, amount=st.sampled_from(["1.00", "149.00"]))
    def somebody_refunds_in_the_dashboard(self, ticket: str, amount: str) -> None:
        payment = f"pi_{ticket}"
        if self.fake._refunded(payment) + usd(amount) <= CHARGED:
            self.fake.refund_externally(payment, usd(amount))

    # People.

    @rule(ticket=tickets, act=st.sampled_from([actions.approve, actions.cancel, actions.retry]))
    def a_person_acts(self, ticket: str, act: Callable[..., Refund]) -> None:
        row = self.row(ticket)
        if row is None:
            return
        given = {} if act is actions.cancel else {"facts": self.facts(ticket)}
        with contextlib.suppress(RefundStateError, AdapterError):
            act(self.desk.service, row.id, who="Ann", **given)

    @rule(ticket=tickets)
    def a_person_looks_and_says_that_nothing_was_paid(self, ticket: str) -> None:
        row = self.row(ticket)
        if row is None or row.state is not State.UNKNOWN or self.made(ticket):
            return
        with contextlib.suppress(RefundStateError, InvalidArgumentError):
            actions.retry(self.desk.service, row.id, who="Ann", nothing_was_paid=True)

    # What must always hold.

    @invariant()
    def one_refund_at_most(self) -> None:
        for ticket in TICKETS:
            assert len(self.made(ticket)) <= 1
            assert self.fake._refunded(f"pi_{ticket}") <= CHARGED

    @invariant()
    def the_ledger_never_denies_a_payment(self) -> None:
        for ticket in TICKETS:
            row = self.row(ticket)
            if row is None or row.state in (State.HELD, State.FAILED, State.CANCELED):
                assert self.made(ticket) == [], "nothing was paid, it says"
            elif row.state in (State.SUCCEEDED, State.PENDING) and not row.adopted:
                assert row.processor_id in self.fake._made

    @invariant()
    def what_is_adopted_is_of_just_the_amount_and_one_rows(self) -> None:
        rows = [row for row in self.desk.refunds() if row.processor_id is not None]
        assert len({row.processor_id for row in rows}) == len(rows)
        for row in rows:
            assert self.fake._made[row.processor_id or ""].result.amount == row.amount

    @invariant()
    def nothing_is_forgotten(self) -> None:
        for row in self.desk.refunds():
            if row.reason is None and row.state is not State.SUCCEEDED:
                waits_for_news = not self.fake.capabilities.lookup or row.adopted
                accepted = row.state is State.PENDING and waits_for_news
                assert row.due_at is not None or accepted, row
            elif row.reason is not None and row.reason != "dry_run":
                canceled = row.state is State.CANCELED  # who did it knows
                notes = [m for m in self.desk.messages(row) if m.kind == "note"]
                assert notes or canceled, f"nobody was told of {row}"

    def teardown(self) -> None:
        if not hasattr(self, "desk"):
            return
        try:
            self.in_the_end_everything_is_settled()
        finally:
            self.desk.store.close()
            self.remove_store()

    def remove_store(self) -> None:
        shutil.rmtree(self.folder)

    def in_the_end_everything_is_settled(self) -> None:
        """Faults over, tickets complete, time passes: paid once, or with a person."""
        for waiting in self.fake._faults.values():
            waiting.clear()
        self.desk.restart(GuardLimits())
        while self.slow_workers:
            self.slow_worker_goes_on()
        self.desk.run(days=2)
        for ticket in TICKETS:
            row = self.row(ticket)
            stuck = row is not None and row.state in LOST_FOR_A_PERSON[1:]
            self.correct(ticket, {"amount": "20.00"})
            self.set_to_refunded_again(ticket)
            if (held := self.row(ticket)) is not None and held.reason == "dry_run":
                self.a_person_acts(ticket, actions.retry)
            self.desk.run(days=60)
            self.one_refund_at_most()
            self.the_ledger_never_denies_a_payment()
            self.nothing_is_forgotten()
            final = self.row(ticket)
            assert final is not None
            paid = len(self.made(ticket))
            if final.state in (State.SUCCEEDED, State.PENDING):
                assert paid == 1 or final.adopted or final.processor_id in self.fake._made
            elif final.state is State.HELD:
                elsewhere = {"exceeds_remaining", "refunded_elsewhere"}
                assert final.reason in elsewhere, "somebody else took it"
            else:
                failed_later = final.state is State.FAILED and final.processor_id is not None
                assert stuck or failed_later or final.state is State.UNKNOWN, final
                assert final.reason is not None


class ReturnsOnPostgres(Returns):
    """The same, where every write is a transaction of its own."""

    def new_store(self) -> Store:
        self.database = contextlib.ExitStack()
        return Store.open(self.database.enter_context(postgres.new_database()))

    def remove_store(self) -> None:
        self.database.close()


TestReturns = Returns.TestCase
TestReturnsOnPostgres = ReturnsOnPostgres.TestCase
TestReturnsOnPostgres.settings = settings(max_examples=8, stateful_step_count=25, deadline=None)
TestReturns.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
