"""What the processor tells later: the row, the ticket and the merchant's code hear of it once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns import Context, RefundEvent
from dispatch_returns.connector.handlers import RefundEventName
from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.money import Money
from dispatch_returns.refunds import actions, external, ledger
from dispatch_returns.refunds.adapter import (
    KnownRefund,
    PaymentRef,
    RefundRequest,
    RefundResult,
    RefundStatus,
    UnreadableRefund,
)
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.ticket_facts import TicketFacts
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store, inbox, switches
from dispatch_returns.store.inbox import EventState, NewEvent
from dispatch_returns.store.switches import Switch
from dispatch_returns.testing import FakeAdapter
from tests.support.desk import usd
from tests.support.stores import forget_refund, overwrite_refund
from tests.support.waiting import wait_until
from tests.support.workshop import Workshop

PAID = usd("149.00")


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path, any_store: Store) -> Iterator[Workshop]:
    shop = Workshop(box, tmp_path, store=any_store)
    yield shop
    shop.close()


class Heard(list[RefundEvent]):
    """A merchant's handler that remembers what it was told."""

    def __init__(self, shop: Workshop, *kinds: RefundEventName) -> None:
        super().__init__()
        for kind in kinds:
            shop.connector.on(kind)(self.hear)

    def hear(self, event: RefundEvent, context: Context) -> None:
        assert context.ticket_id == event.ticket_id
        self.append(event)


def paid(shop: Workshop, **fields: Any) -> tuple[Any, Refund]:
    """A ticket whose refund has succeeded."""
    ticket = shop.ticket(**fields)
    shop.run(ticket)
    refund = row(shop, ticket)
    assert refund.processor_id is not None
    return ticket, refund


def row(shop: Workshop, ticket: Any) -> Refund:
    refund = shop.refund(ticket)
    assert refund is not None
    return refund


def payment_of(ticket: Any) -> str:
    return str(ticket.custom_fields["payment_intent"])


def test_a_refund_that_fails_after_it_succeeded_comes_back_to_a_person(shop: Workshop) -> None:
    heard = Heard(shop, "refund.succeeded", "refund.failed")
    ticket, refund = paid(shop)
    shop.fake.set_status(
        refund.processor_id or "", RefundStatus.FAILED, failure_reason="expired_or_canceled_card"
    )
    shop.news(refund.processor_id or "", "refund.failed")
    shop.work()
    failed = row(shop, ticket)
    assert (failed.state, failed.reason) == (State.FAILED, "refund_failed")
    assert failed.failure_reason == "expired_or_canceled_card"
    told = shop.now(ticket)
    assert told.status == "needs_review"
    assert told.custom_fields["refund_status"] == "failed"
    note = shop.comments(ticket)[-1]
    assert note.internal
    assert "expired_or_canceled_card" in note.body
    assert "Ask the customer for another way" in note.body
    assert [event.type for event in heard] == ["refund.succeeded", "refund.failed"]
    event = heard[-1]
    assert (event.refund_id, event.ticket_id, event.order_id) == (refund.id, ticket.id, "1234")
    assert (event.amount, event.processor_id, event.state) == (PAID, refund.processor_id, "failed")
    assert (event.reason, event.failure_reason) == ("refund_failed", "expired_or_canceled_card")
    assert len(shop.fake.requests) == 1


def test_repeated_and_late_news_is_told_once(shop: Workshop) -> None:
    heard = Heard(shop, "refund.failed")
    ticket, refund = paid(shop)
    assert refund.processor_id is not None
    shop.fake.set_status(refund.processor_id, RefundStatus.FAILED)
    event = shop.fake.event(refund.processor_id, "refund.failed")
    for _ in range(3):
        shop.deliver(*event)
        shop.news(refund.processor_id, "refund.updated")
        shop.work()
    assert len(heard) == 1
    assert len([it for it in shop.comments(ticket) if it.internal]) == 1


def test_a_handler_that_raises_hears_it_again(shop: Workshop) -> None:
    tries: list[str] = []

    @shop.connector.on("refund.succeeded")
    def fragile(event: RefundEvent, context: Context) -> None:
        tries.append(event.id)
        if len(tries) == 1:
            raise RuntimeError

    paid(shop)
    shop.work(minutes=5)
    assert len(tries) == 2
    assert len(set(tries)) == 1, "by its id a handler knows that it heard it before"


@pytest.mark.parametrize("kind", ["refund.held", "refund.canceled"])
def test_other_ends_are_told_as_well(shop: Workshop, kind: RefundEventName) -> None:
    heard = Heard(shop, kind)
    state = kind.removeprefix("refund.")
    ticket = shop.ticket(refund_amount=None)
    shop.run(ticket)
    if state == "canceled":
        actions.cancel(shop.connector.refunds, row(shop, ticket).id, who="Ann")
        shop.work()
    assert [event.type for event in heard] == [f"refund.{state}"]


def test_the_banks_tracing_number_comes_to_the_ticket(shop: Workshop) -> None:
    ticket, refund = paid(shop)
    assert refund.processor_id is not None
    shop.fake.set_status(refund.processor_id, RefundStatus.SUCCEEDED, arn="74000001")
    shop.news(refund.processor_id)
    shop.work()
    assert row(shop, ticket).arn == "74000001"
    assert shop.now(ticket).custom_fields["refund_arn"] == "74000001"


def test_what_the_ledger_knows_already_is_not_asked_again(shop: Workshop) -> None:
    _, refund = paid(shop)
    assert refund.processor_id is not None
    shop.fake.fail_next(AssertionError("it was asked"), call="refunds_of")
    event = shop.news(refund.processor_id, "refund.created")
    assert shop.work() == 1
    assert shop.found(event, "fake").state is EventState.DONE


def test_while_the_processor_cannot_be_asked_its_news_waits(shop: Workshop) -> None:
    ticket, refund = paid(shop)
    assert refund.processor_id is not None
    shop.fake.set_status(refund.processor_id, RefundStatus.FAILED)
    shop.fake.fail_next("lost_response", call="refunds_of")
    event = shop.news(refund.processor_id)
    shop.work()
    assert shop.found(event, "fake").tries == 1
    assert row(shop, ticket).state is State.SUCCEEDED
    shop.work(minutes=1)
    assert row(shop, ticket).state is State.FAILED


def test_a_refund_that_cannot_be_read_keeps_no_news_of_others_back(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ticket, refund = paid(shop)
    shop.fake.set_status(refund.processor_id or "", RefundStatus.FAILED)
    bad, listed = UnreadableRefund("re_bad", "its amount is missing"), shop.fake.refunds_of
    monkeypatch.setattr(shop.fake, "refunds_of", lambda ref: [bad, *listed(ref)])
    shop.news(refund.processor_id or "")
    shop.work()
    assert row(shop, ticket).state is State.FAILED
    assert "refund re_bad: its amount is missing" in caplog.text


def test_a_payment_that_the_processor_does_not_know_is_nobodys(shop: Workshop) -> None:
    _, refund = paid(shop)
    assert refund.processor_id is not None
    shop.fake.set_status(refund.processor_id, RefundStatus.FAILED)
    shop.fake.fail_next(AdapterError(ErrorKind.NOT_FOUND, "no such payment"), call="refunds_of")
    event = shop.news(refund.processor_id)
    shop.work()
    assert shop.found(event, "fake").state is EventState.DONE


class _Mute(FakeAdapter):
    """It sends webhooks and lists nothing."""

    refunds_of = None  # type: ignore[assignment]


class _ById(_Mute):
    """It looks a refund up by the id that it gave it."""

    def __init__(self, payments: Mapping[str, Money]) -> None:
        super().__init__(payments, lookup=False)
        self.capabilities = replace(self.capabilities, lookup_by_id=True)


@pytest.fixture
def other_processor(
    processor: type[FakeAdapter],
    box: dispatch_sandbox.Sandbox,
    tmp_path: Path,
    any_store: Store,
) -> Iterator[Workshop]:
    """A shop with the processor that the test names."""
    shop = Workshop(box, tmp_path, fake=processor({}), store=any_store)
    shop.fake._clock = shop.clock
    yield shop
    shop.close()


either_way = pytest.mark.parametrize(
    "processor", [FakeAdapter, _Mute], ids=["asked", "taken at its word"]
)


@either_way
def test_old_news_does_not_move_a_refund_back(other_processor: Workshop) -> None:
    shop = other_processor
    shop.fake.first_status = RefundStatus.PENDING
    ticket, refund = paid(shop)
    assert refund.processor_id is not None
    old = shop.fake.event(refund.processor_id)
    shop.fake.set_status(refund.processor_id, RefundStatus.SUCCEEDED)
    shop.news(refund.processor_id)
    shop.work()
    assert row(shop, ticket).state is State.SUCCEEDED
    shop.deliver(*old)
    shop.work()
    assert row(shop, ticket).state is State.SUCCEEDED
    shop.fake.set_status(refund.processor_id, RefundStatus.FAILED)
    newest = shop.fake.event(refund.processor_id)
    shop.deliver(*newest)
    shop.work()
    assert row(shop, ticket).state is State.FAILED
    shop.fake.set_status(refund.processor_id, RefundStatus.FAILED, failure_reason="again")
    shop.work()
    assert row(shop, ticket).state is State.FAILED


@pytest.mark.parametrize("processor", [_ById])
@pytest.mark.parametrize("missing", [None, AdapterError(ErrorKind.NOT_FOUND, "no such refund")])
def test_old_news_of_a_refund_that_is_not_shown_is_no_answer(
    other_processor: Workshop, monkeypatch: pytest.MonkeyPatch, missing: AdapterError | None
) -> None:
    """Such news is taken at its word, which may be old, and moves nothing back."""
    shop = other_processor
    shop.fake.first_status = RefundStatus.PENDING
    ticket, refund = paid(shop)
    old = shop.fake.event(refund.processor_id or "")
    shop.fake.set_status(refund.processor_id or "", RefundStatus.SUCCEEDED)
    newest = shop.fake.event(refund.processor_id or "")

    def find(request: RefundRequest, processor_id: str | None = None) -> None:
        if missing is not None:
            raise missing

    monkeypatch.setattr(shop.fake, "find", find)
    for event in (newest, old):
        shop.deliver(*event)
        shop.work()
        assert row(shop, ticket).state is State.SUCCEEDED


@either_way
def test_the_failure_of_an_earlier_attempt_does_not_end_the_next_one(
    other_processor: Workshop,
) -> None:
    shop = other_processor
    ticket, first = paid(shop)
    assert first.processor_id is not None
    shop.fake.set_status(first.processor_id, RefundStatus.FAILED)
    failed = shop.fake.event(first.processor_id, "refund.failed")
    shop.deliver(*failed)
    shop.work()
    facts = TicketFacts.of(shop.now(ticket), dispatch_sandbox.WORKSPACE)
    actions.retry(shop.connector.refunds, first.id, who="Ann", facts=facts)
    shop.news(first.processor_id, "refund.failed")
    shop.connector.events.process(shop.connector.events.claim(1)[0])
    assert row(shop, ticket).state is State.REQUESTED
    shop.work()
    second = row(shop, ticket)
    assert second.state is State.SUCCEEDED
    assert second.processor_id != first.processor_id
    shop.news(first.processor_id, "charge.refund.updated")
    shop.work()
    assert row(shop, ticket) == second


def test_the_failure_of_an_earlier_attempt_does_not_end_one_whose_outcome_is_unknown(
    shop: Workshop,
) -> None:
    """Of the second call nobody knows anything, and it may have been carried out."""
    ticket, first = failed_late(shop)
    shop.fake.fail_next(AdapterError(ErrorKind.UNKNOWN_OUTCOME, "no answer"))
    retry(shop, ticket)
    shop.work()
    assert row(shop, ticket).state is State.UNKNOWN
    shop.news(first.processor_id or "", "charge.refund.updated")
    shop.work()
    assert row(shop, ticket).state is State.UNKNOWN
    shop.work(hours=1)
    assert row(shop, ticket).state is State.SUCCEEDED
    assert shop.fake.requests[-1].idempotency_key == row(shop, ticket).idempotency_key


@pytest.mark.parametrize("processor", [_Mute])
def test_old_news_that_an_earlier_attempt_succeeded_does_not_settle_one_whose_outcome_is_unknown(
    other_processor: Workshop,
) -> None:
    """The bank sent the first attempt back; the second may have been carried out, or not."""
    shop = other_processor
    shop.fake.first_status = RefundStatus.PENDING
    ticket, first = paid(shop)
    shop.fake.set_status(first.processor_id or "", RefundStatus.SUCCEEDED)
    late = shop.fake.event(first.processor_id or "")
    shop.fake.set_status(first.processor_id or "", RefundStatus.FAILED)
    shop.news(first.processor_id or "", "refund.failed")
    shop.work()
    shop.fake.fail_next(AdapterError(ErrorKind.UNKNOWN_OUTCOME, "no answer"))
    retry(shop, ticket)
    shop.work()
    assert row(shop, ticket).state is State.UNKNOWN
    shop.deliver(*late)
    shop.work()
    assert row(shop, ticket).state is State.UNKNOWN
    shop.work(hours=1)
    assert row(shop, ticket).state is State.PENDING
    assert row(shop, ticket).processor_id != first.processor_id


def test_the_failure_of_the_very_call_whose_answer_was_lost_ends_it(shop: Workshop) -> None:
    ticket = shop.ticket()
    shop.fake.fail_next("lost_response")
    shop.fake.fail_next("lost_response", call="find")
    shop.run(ticket)
    assert row(shop, ticket).state is State.UNKNOWN
    (made,) = shop.fake.refunds
    shop.fake.set_status(made.processor_id, RefundStatus.FAILED)
    shop.news(made.processor_id)
    shop.work()
    assert (row(shop, ticket).state, row(shop, ticket).processor_id) == (
        State.FAILED,
        made.processor_id,
    )


def failed_late(shop: Workshop, **fields: Any) -> tuple[Any, Refund]:
    """A ticket whose refund has failed after it had succeeded."""
    ticket, refund = paid(shop, **fields)
    shop.fake.set_status(refund.processor_id or "", RefundStatus.FAILED)
    shop.news(refund.processor_id or "", "refund.failed")
    shop.work()
    assert row(shop, ticket).state is State.FAILED
    return ticket, refund


def retry(shop: Workshop, ticket: Any) -> None:
    facts = TicketFacts.of(shop.now(ticket), dispatch_sandbox.WORKSPACE)
    actions.retry(shop.connector.refunds, row(shop, ticket).id, who="Ann", facts=facts)


def test_of_two_attempts_in_one_answer_the_one_that_failed_comes_first(shop: Workshop) -> None:
    """A restored backup knows the first attempt, which has failed since, and not the second."""
    ticket, first = failed_late(shop)
    retry(shop, ticket)
    shop.work()
    second = row(shop, ticket)
    old = {"state": State.SUCCEEDED, "processor_id": first.processor_id, "generation": 1}
    shop.store.write("old", lambda conn: overwrite_refund(conn, second, **old))
    shop.news(second.processor_id or "")
    shop.work()
    assert (row(shop, ticket).state, row(shop, ticket).processor_id) == (
        State.SUCCEEDED,
        second.processor_id,
    )
    assert not any("was made as well as" in it.body for it in shop.comments(ticket))


def test_a_second_ticket_does_not_count_on_the_firsts_refund(shop: Workshop) -> None:
    first, refund = paid(shop)
    second = shop.ticket(payment_intent=payment_of(first))
    shop.run(second)
    assert (row(shop, second).state, row(shop, second).processor_id) == (State.HELD, None)
    shop.fake.set_status(refund.processor_id or "", RefundStatus.FAILED)
    shop.news(refund.processor_id or "")
    shop.work()
    assert [row(shop, it).state for it in (first, second)] == [State.FAILED, State.HELD]


# Where the processor was asked, its answer counts in either direction.


def test_money_that_the_bank_sent_back_waits_for_the_customer_again(shop: Workshop) -> None:
    heard = Heard(shop, "refund.requires_action")
    ticket, refund = paid(shop)
    shop.fake.set_status(refund.processor_id or "", RefundStatus.REQUIRES_ACTION)
    shop.news(refund.processor_id or "")
    shop.work()
    assert row(shop, ticket).state is State.REQUIRES_ACTION
    assert shop.now(ticket).custom_fields["refund_status"] == "requires_action"
    assert len(heard) == 1
    assert "needs a step from you" in shop.comments(ticket)[-1].body


def test_a_failed_refund_that_goes_through_after_all_is_not_paid_again(shop: Workshop) -> None:
    ticket, refund = failed_late(shop)
    shop.fake.set_status(refund.processor_id or "", RefundStatus.SUCCEEDED)
    shop.news(refund.processor_id or "")
    shop.work()
    assert row(shop, ticket).state is State.SUCCEEDED
    assert len(shop.fake.requests) == 1


def test_an_answer_that_another_worker_has_overtaken_is_asked_for_again(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked before the row changed may be older than what the row says now."""
    ticket, refund = paid(shop)
    assert refund.processor_id is not None
    asked = shop.fake.refunds_of

    def overtaken(ref: PaymentRef) -> list[KnownRefund]:
        answer = asked(ref)
        monkeypatch.setattr(shop.fake, "refunds_of", asked)
        shop.fake.set_status(refund.processor_id or "", RefundStatus.SUCCEEDED, arn="74000001")
        shop.news(refund.processor_id or "")
        shop.work()
        assert row(shop, ticket).arn == "74000001"
        return answer

    shop.fake.set_status(refund.processor_id, RefundStatus.REQUIRES_ACTION)
    monkeypatch.setattr(shop.fake, "refunds_of", overtaken)
    event = shop.news(refund.processor_id)
    (claimed,) = shop.connector.events.claim(10)
    shop.connector.events.process(claimed)
    assert shop.found(event, "fake").state is EventState.ACCEPTED
    shop.work(minutes=1)
    assert shop.found(event, "fake").state is EventState.DONE
    assert row(shop, ticket).state is State.SUCCEEDED


def test_news_that_beats_our_own_commit_is_not_lost(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refund is made and fails before the worker that made it has written that down."""
    made, written = threading.Event(), threading.Event()
    pay = shop.fake.refund

    def slow(request: RefundRequest) -> RefundResult:
        result = pay(request)
        shop.fake.set_status(result.processor_id, RefundStatus.FAILED)
        made.set()
        assert written.wait(10)
        return result

    monkeypatch.setattr(shop.fake, "refund", slow)
    ticket = shop.ticket()
    shop.event(ticket.id)
    with ThreadPoolExecutor(1) as worker:
        first = worker.submit(shop.connector.work_off)
        assert made.wait(10)
        event = shop.news(shop.fake.refunds[0].processor_id, "refund.failed")
        (claimed,) = shop.connector.events.claim(10)
        shop.connector.events.process(claimed)
        assert row(shop, ticket).state is State.SENDING, "it is left to the worker that made it"
        waits = shop.found(event, "fake")
        assert (waits.state, waits.tries) == (EventState.ACCEPTED, 1)
        written.set()
        first.result(10)
    assert row(shop, ticket).state is State.SUCCEEDED
    shop.work(minutes=1)
    assert row(shop, ticket).state is State.FAILED
    assert shop.now(ticket).status == "needs_review"
    assert len(shop.fake.requests) == 1


def test_news_of_a_refund_made_elsewhere_waits_for_the_call_that_is_under_way(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are of the same amount, and what was paid twice is told a person."""
    ticket = shop.ticket()
    shop.fake.add_payment(payment_of(ticket), usd("500.00"))
    with refunding_in_between(shop, monkeypatch, ticket, after=True) as event:
        waits = shop.found(event, "fake")
        assert (waits.state, waits.tries) == (EventState.ACCEPTED, 1)
    assert waits.due_at is not None
    assert waits.due_at > shop.clock(), "it is looked at again when the call has its outcome"
    shop.work(minutes=1)
    assert shop.found(event, "fake").state is EventState.DONE
    (note,) = [it for it in shop.comments(ticket) if it.internal]
    assert "refunded the same amount elsewhere" in note.body


def test_a_refund_made_elsewhere_settles_one_ticket_while_a_call_is_under_way(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call will be told that the payment was refunded already, and takes that refund over."""
    held = shop.ticket(received_date=None)
    shop.run(held)
    ticket = shop.ticket(payment_intent=payment_of(held))
    with refunding_in_between(shop, monkeypatch, ticket, after=False):
        assert row(shop, held).state is State.HELD
    shop.work(minutes=1)
    (made,) = shop.fake.refunds
    assert (row(shop, ticket).processor_id, row(shop, ticket).adopted) == (made.processor_id, True)
    assert (row(shop, held).state, row(shop, held).processor_id) == (State.HELD, None)


@contextmanager
def refunding_in_between(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, ticket: Any, *, after: bool
) -> Iterator[str]:
    """Let somebody refund the payment by hand while the ticket's call is under way.

    Gives the event of that refund, which another worker has dealt with before the call returns.
    ``after``: the processor has carried the call out by then.
    """
    arrived, written = threading.Event(), threading.Event()
    pay = shop.fake.refund

    def slow(request: RefundRequest) -> RefundResult:
        result = pay(request) if after else None
        shop.fake.refund_externally(payment_of(ticket), PAID)
        arrived.set()
        assert written.wait(10)
        return result or pay(request)

    monkeypatch.setattr(shop.fake, "refund", slow)
    shop.event(ticket.id)
    with ThreadPoolExecutor(1) as worker:
        first = worker.submit(shop.connector.work_off)
        try:
            assert arrived.wait(10)
            event = shop.news(shop.fake.refunds[-1].processor_id, "refund.created")
            (claimed,) = shop.connector.events.claim(10)
            shop.connector.events.process(claimed)
            assert row(shop, ticket).state is State.SENDING
            yield event
        finally:
            written.set()
        first.result(10)


def test_workers_beside_each_other_leave_the_newest_news(shop: Workshop) -> None:
    """Many events of many refunds at once, in threads: each row ends as its refund stands."""
    shop.fake.first_status = RefundStatus.PENDING
    tickets = [paid(shop) for _ in range(4)]
    ends = [RefundStatus.SUCCEEDED, RefundStatus.FAILED, RefundStatus.CANCELED]
    for number, (_, refund) in enumerate(tickets):
        assert refund.processor_id is not None
        shop.news(refund.processor_id)
        shop.fake.set_status(refund.processor_id, RefundStatus.SUCCEEDED)
        for _ in range(3):
            shop.news(refund.processor_id)
        shop.fake.set_status(refund.processor_id, ends[number % 3])
        shop.news(refund.processor_id)
    with ThreadPoolExecutor(4) as workers:
        list(workers.map(lambda _: shop.connector.work_off(), range(4)))
    shop.work(minutes=10)
    states = [row(shop, ticket).state for ticket, _ in tickets]
    assert states == [State(ends[number % 3]) for number in range(4)]


# Refunds that were not made from here.


def test_a_refund_from_the_dashboard_settles_the_ticket_that_waits_for_it(shop: Workshop) -> None:
    heard = Heard(shop, "refund.succeeded")
    ticket = shop.ticket(received_date=None)
    shop.run(ticket)
    assert row(shop, ticket).reason == "evidence_missing"
    made = shop.fake.refund_externally(payment_of(ticket), PAID)
    shop.news(made.processor_id, "refund.created")
    shop.work()
    adopted = row(shop, ticket)
    assert (adopted.state, adopted.adopted) == (State.SUCCEEDED, True)
    assert (adopted.processor_id, adopted.reason) == (made.processor_id, None)
    assert "was not made from this ticket. Nothing more was paid." in shop.comments(ticket)[-1].body
    assert [event.adopted for event in heard] == [True]
    shop.set(ticket, "refunded")
    shop.run(ticket)
    assert shop.fake.requests == []


def test_an_adopted_refund_that_fails_comes_back_to_a_person(shop: Workshop) -> None:
    ticket = shop.ticket(received_date=None)
    shop.run(ticket)
    made = shop.fake.refund_externally(payment_of(ticket), PAID)
    shop.news(made.processor_id)
    shop.work()
    shop.fake.set_status(made.processor_id, RefundStatus.FAILED)
    shop.news(made.processor_id)
    shop.work()
    assert (row(shop, ticket).state, row(shop, ticket).adopted) == (State.FAILED, True)


def test_an_adopted_refund_that_fails_settles_no_other_ticket(shop: Workshop) -> None:
    ticket = shop.ticket()
    shop.fake.add_payment(payment_of(ticket), usd("500.00"))
    made = shop.fake.refund_externally(payment_of(ticket), PAID)
    shop.news(made.processor_id)
    shop.work()
    shop.run(ticket)
    assert row(shop, ticket).processor_id == made.processor_id
    shop.fake.set_status(made.processor_id, RefundStatus.FAILED)
    shop.news(made.processor_id)
    shop.work()
    retry(shop, ticket)
    shop.work()
    shop.clock.turn(hours=25)  # sooner it could be the same return twice
    other = shop.ticket(payment_intent=payment_of(ticket))
    shop.run(other)
    assert (row(shop, other).state, row(shop, other).adopted) == (State.SUCCEEDED, False)
    assert len(shop.fake.requests) == 2


def test_a_dry_run_takes_nothing_over(shop: Workshop) -> None:
    """It writes to no ticket. When it is over, the ticket finds what was made meanwhile."""
    throw(shop, Switch.DRY_RUN, is_on=True)
    ticket = shop.ticket()
    shop.run(ticket)
    held = row(shop, ticket)
    assert held.reason == "dry_run"
    made = shop.fake.refund_externally(payment_of(ticket), PAID)
    shop.news(made.processor_id)
    shop.work()
    assert row(shop, ticket) == held
    assert (shop.now(ticket).status, shop.comments(ticket)) == ("refunded", [])
    throw(shop, Switch.DRY_RUN, is_on=False)
    shop.run(ticket)
    assert (row(shop, ticket).processor_id, row(shop, ticket).adopted) == (made.processor_id, True)


def test_in_a_dry_run_what_waits_to_be_sent_is_held_without_a_word_on_the_ticket(
    shop: Workshop,
) -> None:
    throw(shop, Switch.KILL, is_on=True)
    ticket = shop.ticket()
    shop.fake.add_payment(payment_of(ticket), usd("500.00"))
    shop.run(ticket)
    assert row(shop, ticket).state is State.REQUESTED
    throw(shop, Switch.DRY_RUN, is_on=True)
    shop.news(shop.fake.refund_externally(payment_of(ticket), usd("50.00")).processor_id)
    shop.work()
    assert (row(shop, ticket).state, row(shop, ticket).reason) == (State.HELD, "dry_run")
    assert (shop.now(ticket).status, shop.comments(ticket)) == ("refunded", [])
    for switch in Switch:
        throw(shop, switch, is_on=False)
    shop.run(ticket)
    assert row(shop, ticket).reason == "dry_run"  # until a person retries it
    assert shop.fake.requests == []


def throw(shop: Workshop, switch: Switch, *, is_on: bool) -> None:
    now = shop.clock()
    shop.store.write(
        "throw",
        lambda conn: switches.throw(conn, switch, now, is_on=is_on, who="Ann", why="a test"),
    )


@pytest.mark.parametrize("charged", ["149.00", "500.00"])
def test_a_refund_from_the_dashboard_is_seen_by_the_ticket_that_comes_later(
    shop: Workshop, charged: str
) -> None:
    ticket = shop.ticket()
    shop.fake.add_payment(payment_of(ticket), usd(charged))
    made = shop.fake.refund_externally(payment_of(ticket), PAID)
    event = shop.news(made.processor_id)
    shop.work()
    assert shop.found(event, "fake").state is EventState.DONE
    assert shop.refund(ticket) is None
    shop.run(ticket)
    adopted = row(shop, ticket)
    assert (adopted.processor_id, adopted.adopted) == (made.processor_id, True)
    assert shop.fake.requests == []
    assert shop.now(ticket).custom_fields["refund_id"] == made.processor_id


def test_one_refund_from_the_dashboard_settles_one_ticket(shop: Workshop) -> None:
    first = shop.ticket()
    shop.fake.add_payment(payment_of(first), usd("500.00"))
    second = shop.ticket(payment_intent=payment_of(first))
    made = shop.fake.refund_externally(payment_of(first), PAID)
    shop.news(made.processor_id)
    shop.work()
    shop.run(first)
    shop.work(hours=25)  # sooner it could be the same return twice
    shop.run(second)
    assert row(shop, first).processor_id == made.processor_id
    assert row(shop, second).processor_id != made.processor_id
    assert len(shop.fake.requests) == 1


def test_another_amount_from_the_dashboard_is_for_a_person_to_judge(shop: Workshop) -> None:
    ticket = shop.ticket()
    shop.fake.add_payment(payment_of(ticket), usd("500.00"))
    made = shop.fake.refund_externally(payment_of(ticket), usd("120.00"))
    shop.news(made.processor_id)
    shop.work()
    shop.run(ticket)
    held = row(shop, ticket)
    assert (held.state, held.reason) == (State.HELD, "refunded_elsewhere")
    assert f"refunded elsewhere: 120.00 USD ({made.processor_id})." in (held.detail or "")
    assert shop.fake.requests == []
    shop.set(ticket, "refunded")
    shop.run(ticket)
    assert row(shop, ticket).state is State.HELD, "saying it again changes nothing"
    facts = TicketFacts.of(shop.now(ticket), dispatch_sandbox.WORKSPACE)
    actions.approve(shop.connector.refunds, held.id, who="Bob", facts=facts)
    shop.work()
    assert row(shop, ticket).state is State.SUCCEEDED
    assert len(shop.fake.requests) == 1


def test_a_refund_from_the_dashboard_that_failed_stands_in_nobodys_way(shop: Workshop) -> None:
    ticket = shop.ticket()
    made = shop.fake.refund_externally(payment_of(ticket), PAID)
    shop.news(made.processor_id)
    shop.fake.set_status(made.processor_id, RefundStatus.FAILED)
    shop.news(made.processor_id)
    shop.work()
    shop.run(ticket)
    assert (row(shop, ticket).state, row(shop, ticket).adopted) == (State.SUCCEEDED, False)


def test_what_waits_to_be_sent_is_held_when_the_dashboard_was_quicker(
    box: dispatch_sandbox.Sandbox, tmp_path: Path, any_store: Store
) -> None:
    shop = Workshop(box, tmp_path, store=any_store, kill_switch=True)
    ticket = shop.ticket()
    shop.fake.add_payment(payment_of(ticket), usd("500.00"))
    shop.run(ticket)
    assert row(shop, ticket).state is State.REQUESTED
    shop.news(shop.fake.refund_externally(payment_of(ticket), usd("50.00")).processor_id)
    shop.work()
    assert row(shop, ticket).reason == "refunded_elsewhere"
    shop.close()


def test_the_same_amount_again_from_the_dashboard_is_shown_to_a_person(shop: Workshop) -> None:
    ticket = shop.ticket()
    shop.fake.add_payment(payment_of(ticket), usd("500.00"))
    shop.run(ticket)
    before = row(shop, ticket)
    made = shop.fake.refund_externally(payment_of(ticket), PAID)
    for _ in range(2):
        shop.news(made.processor_id)
        shop.work()
    assert row(shop, ticket) == before
    (note,) = [it for it in shop.comments(ticket) if it.internal]
    assert f"{made.processor_id} refunded the same amount elsewhere" in note.body


def test_the_same_amount_elsewhere_is_shown_though_the_outcome_of_ours_was_not_known(
    shop: Workshop,
) -> None:
    ticket = shop.ticket()
    shop.fake.add_payment(payment_of(ticket), usd("500.00"))
    shop.fake.fail_next("lost_response")
    shop.run(ticket)
    assert row(shop, ticket).state is State.UNKNOWN
    made = shop.fake.refund_externally(payment_of(ticket), PAID)
    shop.news(made.processor_id)
    shop.work()
    assert row(shop, ticket).state is State.SUCCEEDED
    (note,) = [it for it in shop.comments(ticket) if it.internal]
    assert f"{made.processor_id} refunded the same amount elsewhere" in note.body


# Refunds that were made from here, and are not in the ledger as they are.


def lose_row(shop: Workshop, ticket: Any) -> Refund:
    """Take a refund out of the ledger, as a restored backup would not have it."""
    lost = row(shop, ticket)
    forget_refund(shop.store, lost.id)
    return lost


def test_our_refund_without_a_row_is_entered_and_not_paid_again(shop: Workshop) -> None:
    ticket, _ = paid(shop)
    lost = lose_row(shop, ticket)
    shop.news(lost.processor_id or "")
    shop.work()
    found = row(shop, ticket)
    assert (found.id, found.state) == (lost.id, State.SUCCEEDED)
    assert (found.processor_id, found.adopted) == (lost.processor_id, False)
    assert len(shop.fake.requests) == 1


def test_our_refund_that_failed_and_has_no_row_is_a_persons_to_try_again(shop: Workshop) -> None:
    """As it would be with its row: a failure is never tried again by an event."""
    ticket, _ = paid(shop)
    lost = lose_row(shop, ticket)
    shop.fake.set_status(lost.processor_id or "", RefundStatus.FAILED)
    shop.news(lost.processor_id or "")
    shop.work(days=2)
    assert (row(shop, ticket).id, row(shop, ticket).state) == (lost.id, State.FAILED)
    assert shop.now(ticket).status == "needs_review"
    assert len(shop.fake.requests) == 1


@pytest.mark.parametrize("gone", [False, True])
def test_our_refund_of_a_ticket_that_says_nothing_more_is_noted(shop: Workshop, gone: bool) -> None:
    ticket, _ = paid(shop)
    lost = lose_row(shop, ticket)
    if gone:
        shop.client.tickets.delete(ticket.id)
    else:
        shop.set(ticket, "needs_review")
    event = shop.news(lost.processor_id or "")
    shop.work()
    if gone:
        assert shop.found(event, "fake").state is EventState.ACCEPTED, "it may be shown again"
        for _ in range(25):
            shop.work(hours=1)
    assert shop.found(event, "fake").state is EventState.DONE
    assert shop.refund(ticket) is None
    if not gone:
        shop.set(ticket, "refunded")
        shop.run(ticket)
        assert row(shop, ticket).processor_id == lost.processor_id
    assert len(shop.fake.requests) == 1


def test_a_refund_of_another_workspaces_ledger_is_left_to_it(shop: Workshop) -> None:
    ticket, refund = paid(shop)
    made = shop.fake._made[refund.processor_id or ""]
    assert made.request is not None
    other = {"refund_id": "rfd_other", "workspace_id": "ws_other"}
    for name, value in other.items():
        object.__setattr__(made.request, name, value)
    event = shop.news(refund.processor_id or "")
    shop.work()
    assert shop.found(event, "fake").state is EventState.DONE
    with shop.store.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM external_refunds").scalar() == 0
    assert row(shop, ticket) == refund


def test_our_refund_that_was_made_and_held_is_found_by_its_news(shop: Workshop) -> None:
    """The processor refused, and had acted all the same: what it says now counts."""
    ticket = shop.ticket()
    pay = shop.fake.refund

    def refuses(request: RefundRequest) -> RefundResult:
        pay(request)
        raise AdapterError(ErrorKind.CONFIG, "it says no")

    shop.fake.refund = refuses  # type: ignore[method-assign]
    shop.run(ticket)
    assert row(shop, ticket).state is State.HELD
    shop.news(shop.fake.refunds[0].processor_id)
    shop.work()
    assert row(shop, ticket).state is State.SUCCEEDED


def test_a_second_refund_of_ours_is_shown_to_a_person(shop: Workshop) -> None:
    ticket = shop.ticket()
    shop.fake.add_payment(payment_of(ticket), usd("500.00"))
    shop.run(ticket)
    request = shop.fake.requests[0]
    again = FakeAdapter.refund(shop.fake, _with_key(request, "other"))
    shop.news(again.processor_id)
    shop.work()
    (note,) = [it for it in shop.comments(ticket) if it.internal]
    assert f"{again.processor_id} was made as well as" in note.body
    assert row(shop, ticket).processor_id != again.processor_id


def _with_key(request: RefundRequest, key: str) -> RefundRequest:
    return replace(request, idempotency_key=key)


def test_an_event_of_an_adapter_that_is_not_in_use_waits_for_it(shop: Workshop) -> None:
    new = NewEvent("acme", "evt_a", "refund.updated", None, None, b"{}", None)
    shop.store.write("accept", lambda conn: inbox.add(conn, new, shop.clock()))
    shop.work()
    waits = shop.found("evt_a", "acme")
    assert (waits.state, waits.tries) == (EventState.ACCEPTED, 1)
    assert waits.error == "AdapterError: waits for the adapter acme"


def test_an_event_that_is_not_understood_is_kept(shop: Workshop) -> None:
    event = shop.deliver(*shop.fake.event("fake_99"))
    shop.work()
    assert shop.found(event, "fake").state is EventState.UNREADABLE


def test_the_threads_of_the_runner_deal_with_news(shop: Workshop) -> None:
    ticket, refund = paid(shop)
    shop.fake.set_status(refund.processor_id or "", RefundStatus.FAILED)
    shop.connector.start()
    shop.news(refund.processor_id or "")
    wait_until(lambda: shop.now(ticket).status == "needs_review", 10)
    shop.connector.stop()


def test_a_noted_refund_keeps_how_it_stands_now(shop: Workshop) -> None:
    shop.fake.add_payment("pi_noted", usd("10.00"))
    made = shop.fake.refund_externally("pi_noted", usd("10.00"))
    shop.news(made.processor_id)
    shop.fake.set_status(made.processor_id, RefundStatus.CANCELED)
    shop.news(made.processor_id)
    shop.work()
    with shop.store.read() as conn:
        (seen,) = external.of_payment(conn, "fake", ["pi_noted"])
        assert ledger.of_payments(conn, "fake", ["pi_noted"]) == []
    assert (seen.status, seen.amount) == ("canceled", usd("10.00"))
    assert seen.amount.major == Decimal("10.00")


def test_of_two_tickets_that_adopt_one_refund_at_once_the_second_is_looked_at_again(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shop.ticket()
    second = shop.ticket(payment_intent=first.custom_fields["payment_intent"])
    shop.clock.turn(minutes=1)
    shop.fake.refund_externally(first.custom_fields["payment_intent"], PAID)
    shop.run(first)
    event = shop.event(second.id)
    with monkeypatch.context() as patch:
        patch.setattr("dispatch_returns.refunds.external.of_no_row", lambda _conn, seen: list(seen))
        shop.work()
    assert "belongs to another row" in (shop.found(event).error or "")
    shop.work(minutes=1)
    row = shop.refund(second)
    assert row is not None
    assert (shop.found(event).state, row.state) == (EventState.DONE, State.HELD)
    assert len(shop.fake.refunds) == 1


def test_an_old_refund_of_the_same_amount_that_a_person_approved_beside_is_not_paid_twice(
    shop: Workshop,
) -> None:
    ticket = shop.ticket()
    shop.fake.add_payment(payment_of(ticket), usd("500.00"))
    made = shop.fake.refund_externally(payment_of(ticket), PAID)
    shop.clock.turn(hours=1)
    later = shop.ticket(payment_intent=payment_of(ticket))
    shop.fake.add_payment(payment_of(ticket), usd("500.00"))
    shop.run(later)
    held = row(shop, later)
    assert held.reason == "refunded_elsewhere"
    facts = shop.connector.facts(shop.now(later), held)
    actions.approve(shop.connector.refunds, held.id, who="Ann", facts=facts)
    shop.work(minutes=1)
    assert row(shop, later).state is State.SUCCEEDED
    shop.news(made.processor_id)
    shop.work()
    assert not [it for it in shop.comments(later) if "same amount elsewhere" in it.body]
