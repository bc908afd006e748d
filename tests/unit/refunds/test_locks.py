"""Who decides over a payment at the same moment: on PostgreSQL, where two transactions run at once.

Each test brings two of them to the place where one has what the other wants.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from dispatch_returns.connector.processor_events import Found, ProcessorEvents
from dispatch_returns.refunds import actions, external, ledger
from dispatch_returns.refunds.adapter import KnownRefund, PaymentRef, RefundStatus
from dispatch_returns.refunds.guard import GuardLimits
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.sync import Reconciled
from dispatch_returns.refunds.ticket_facts import TicketFacts
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns.tickets import TicketReader
from dispatch_returns.store import Store
from tests.support import postgres
from tests.support.desk import WORKSPACE, Desk, facts, usd
from tests.support.races import SOON, inside, start, waits

AMOUNT = usd("149.00")
NOT_AGAIN = cast("TicketReader", None)
"""What is written here asks the API for nothing."""


@pytest.fixture
def desks() -> Iterator[tuple[Desk, Desk]]:
    """Two machines that share a database, where a second person agrees to each refund."""
    with postgres.new_database() as url, Store.open(url) as one, Store.open(url) as two:
        limits = GuardLimits(approve_above={"USD": Decimal(100)})
        here = Desk(one, limits=limits)
        yield here, Desk(two, here.fake, clock=here.clock, limits=limits)


def news(desk: Desk) -> ProcessorEvents:
    return ProcessorEvents(
        NOT_AGAIN, desk.service, workspace=lambda: WORKSPACE, refunded_status="refunded"
    )


def meeting(desk: Desk, *known: KnownRefund) -> Callable[[Connection], list[Reconciled]]:
    """What an event about these refunds writes."""
    return writing(desk, Found("fake", list(known), []))


class Crossing:
    """Lets two transactions go on only when each has its first lock, or cannot have it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._both = threading.Barrier(2)
        self._seen = threading.local()
        self._patch = patch

    def after(self, module: Any, name: str) -> None:
        """Stop each thread once, behind its first call of this function."""
        real = getattr(module, name)

        def stops(*given: Any, **named: Any) -> Any:
            result = real(*given, **named)
            if not hasattr(self._seen, "stopped"):
                self._seen.stopped = True
                # Broken where the other one waits for this one, as it should.
                with contextlib.suppress(threading.BrokenBarrierError):
                    self._both.wait(0.5)
            return result

        self._patch.setattr(module, name, stops)


def test_an_approval_and_an_event_of_the_same_payment_do_not_lock_each_other_out(
    desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = desks
    given = facts(payment_intent="pi_2")
    held = here.enter(given)
    assert held.reason == "approval_needed"
    here.fake.refund_externally("pi_2", AMOUNT)
    (known,) = here.fake.refunds_of(payment_of(here))
    crossing = Crossing(monkeypatch)
    crossing.after(ledger, "lock")
    crossing.after(external, "look_alone")
    with ThreadPoolExecutor(2) as people:
        approval = people.submit(actions.approve, here.service, held.id, who="Ann", facts=given)
        event = people.submit(there.store.write, "event.done", meeting(there, known))
        (reconciled,) = event.result(SOON)
        refused = approval.exception(SOON)
    # The first adopts the refund; the second finds that it is adopted already.
    assert reconciled in {Reconciled.ADOPTED, Reconciled.AGREES}
    assert refused is None or "does not wait for an approval" in str(refused)
    assert reconciled is Reconciled.ADOPTED or refused is None, "one of the two has adopted it"
    settled = here.only()
    assert (settled.state, settled.adopted) == (State.SUCCEEDED, True)
    here.run(days=1)
    assert here.paid == [AMOUNT], "whoever was first, nothing was paid beside it"


def test_two_events_of_the_same_payment_do_not_lock_each_other_out(
    desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later one was asked after one more refund was made by hand."""
    here, there = desks
    for desk in desks:
        desk.restart(GuardLimits())
    here.fake.first_status = RefundStatus.PENDING
    here.enter(facts(payment_intent="pi_2"))
    here.step()
    assert here.only().state is State.PENDING
    here.fake.refund_externally("pi_2", usd("20.00"))
    here.fake.set_status(here.only().processor_id or "", RefundStatus.SUCCEEDED)
    first = here.fake.refunds_of(payment_of(here))
    here.fake.refund_externally("pi_2", usd("30.00"))
    second = here.fake.refunds_of(payment_of(here))
    assert (len(first), len(second)) == (2, 3)
    crossing = Crossing(monkeypatch)
    crossing.after(ledger, "take_over")
    crossing.after(external, "look_alone")
    with ThreadPoolExecutor(2) as workers:
        events = [
            workers.submit(desk.store.write, "event.done", meeting(desk, *known))
            for desk, known in ((here, first), (there, second))
        ]
        assert {event.result(SOON)[-1] for event in events} == {Reconciled.NOTED}
    assert here.only().state is State.SUCCEEDED


def test_two_events_that_enter_a_ticket_of_the_others_payment_do_not_lock_each_other_out(
    desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = desks[0]
    here.fake.add_payment("pi_1", usd("500.00"))
    found: list[Found] = []
    for payment, other in (("pi_1", "pi_2"), ("pi_2", "pi_1")):
        here.fake.refund_externally(payment, usd("20.00"))
        known = here.fake.refunds_of(PaymentRef("payment_intent", payment))
        lost = facts(f"tkt_{other}", payment_intent=other)
        found.append(Found("fake", known, [here.service.intake.evaluate(lost)]))
    Crossing(monkeypatch).after(external, "look_alone")
    with ThreadPoolExecutor(2) as workers:
        events = [
            workers.submit(desk.store.write, "event.done", writing(desk, it))
            for desk, it in zip(desks, found, strict=True)
        ]
        assert [event.result(SOON) for event in events] == [[Reconciled.NOTED]] * 2


def writing(desk: Desk, found: Found) -> Callable[[Connection], list[Reconciled]]:
    return lambda conn: news(desk).write(conn, found)


# A refund made elsewhere, and the ticket of its payment, at the same moment.


def made_elsewhere(desk: Desk) -> KnownRefund:
    for it in ("pi_1", "pi_2"):
        desk.fake.add_payment(it, usd("500.00"))
    desk.fake.refund_externally("pi_1", AMOUNT)
    (known,) = desk.fake.refunds_of(PaymentRef("payment_intent", "pi_1"))
    return known


def entering(desk: Desk, given: TicketFacts) -> Callable[[Connection], Refund]:
    decision = desk.service.intake.evaluate(given)

    def enter(conn: Connection) -> Refund:
        entered, _sending = desk.service.enter(conn, decision)
        assert entered is not None
        return entered

    return enter


def test_a_ticket_is_entered_after_the_event_that_is_being_written(
    desks: tuple[Desk, Desk],
) -> None:
    here, there = desks
    known = made_elsewhere(here)
    with inside(here.store, meeting(here, known)) as event:
        entered = start(there.store, entering(there, facts(amount="149.00")))
        waits(entered)
        other = start(there.store, entering(there, facts("tkt_2", payment_intent="pi_2")))
        assert not other.result(SOON).adopted, "another payment waits for nobody"
    assert event.result(SOON) == [Reconciled.NOTED]
    assert entered.result(SOON).processor_id == known.result.processor_id


def test_an_event_is_written_after_the_ticket_that_is_being_entered(
    desks: tuple[Desk, Desk],
) -> None:
    here, there = desks
    for desk in desks:
        desk.restart(GuardLimits())
    decision = here.service.intake.evaluate(facts())
    known = made_elsewhere(there)
    with inside(here.store, lambda conn: here.service.intake.enter(conn, decision)) as entered:
        event = start(there.store, meeting(there, known))
        waits(event)
    assert entered.result(SOON).state is State.REQUESTED
    assert event.result(SOON) == [Reconciled.ADOPTED]
    assert here.only().processor_id == known.result.processor_id


def payment_of(desk: Desk) -> PaymentRef:
    payment = desk.only().payment
    assert payment is not None
    return PaymentRef(**payment)


def test_of_two_tickets_for_the_same_money_at_once_one_waits(
    desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    for desk in desks:
        desk.restart()
    Crossing(monkeypatch).after(external, "look_alone")
    with ThreadPoolExecutor(2) as pool:
        entered = [
            pool.submit(desk.enter, facts(ticket_id, "50.00"))
            for desk, ticket_id in zip(desks, ("tkt_1", "tkt_2"), strict=True)
        ]
    assert sorted(it.result().state for it in entered) == [State.HELD, State.REQUESTED]
