"""Three books compared: what is found, what is put right, and what is left to a person."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

import dispatch_sandbox
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.reconcile.discrepancies import (
    EXPLAINED,
    FIXABLE,
    Cause,
    Discrepancy,
)
from dispatch_returns.connector.reconcile.lists import digits
from dispatch_returns.errors import (
    AdapterError,
    APIResponseError,
    ErrorKind,
    UnsupportedFeatureError,
)
from dispatch_returns.refunds import actions
from dispatch_returns.refunds.adapter import RefundStatus, UnreadableRefund
from dispatch_returns.refunds.adapters.manual import ManualAdapter
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.ticket_facts import TicketFacts
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store
from dispatch_sandbox.memory import utc_now
from tests.support.desk import usd
from tests.support.stores import forget_refund, open_store, overwrite_refund
from tests.support.workshop import Workshop

PAID = usd("149.00")


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path, any_store: Store) -> Iterator[Workshop]:
    """A shop whose workspace has no tickets but its own."""
    box.state.reset()
    shop = Workshop(box, tmp_path, store=any_store)
    for key in ("item_received", "refunded", "needs_review"):
        shop.client.statuses.create(key=key, name=key)
    yield shop
    shop.close()


def compare(shop: Workshop, **options: Any) -> list[Discrepancy]:
    found: list[Discrepancy] = []
    report = shop.connector.reconciler.run(found.append, **options)
    assert report.discrepancies == len(found)
    assert report.settled == sum(it.settled for it in found)
    return found


def only(shop: Workshop, cause: Cause, **options: Any) -> Discrepancy:
    (difference,) = compare(shop, **options)
    assert difference.cause is cause
    return difference


def paid(shop: Workshop, **fields: Any) -> tuple[Any, Refund]:
    ticket = shop.ticket(**fields)
    shop.run(ticket)
    refund = shop.refund(ticket)
    assert refund is not None
    return ticket, refund


def row(shop: Workshop, ticket: Any) -> Refund:
    refund = shop.refund(ticket)
    assert refund is not None
    return refund


def payment_of(ticket: Any) -> str:
    return str(ticket.custom_fields["payment_intent"])


def change(shop: Workshop, ticket: Any, **values: Any) -> None:
    """Write into the ledger what no worker would."""
    refund = row(shop, ticket)
    shop.store.write("test", lambda conn: overwrite_refund(conn, refund, **values))


def test_books_that_agree_have_no_difference(shop: Workshop) -> None:
    for _ in range(3):
        paid(shop)
    shop.run(shop.ticket("item_received"))
    shop.fake.add_payment("pi_other", usd("20.00"))
    shop.fake.refund_externally("pi_other", usd("20.00"))  # nobody's return
    told: list[tuple[str, int]] = []
    report = shop.connector.reconciler.run(lambda _: None, progress=lambda *it: told.append(it))
    assert (report.lines, report.discrepancies) == ({"tickets": 3, "rows": 3, "refunds": 4}, 0)
    assert ("refunds", 4) in told


def test_a_ticket_whose_event_never_arrived_is_entered(shop: Workshop) -> None:
    ticket = shop.ticket()
    found = only(shop, Cause.NEVER_ENTERED)
    assert (found.ticket_id, found.fixed) == (ticket.id, None)
    assert shop.refund(ticket) is None, "looking changes nothing"
    assert only(shop, Cause.NEVER_ENTERED, fix=True).settled
    assert row(shop, ticket).state is State.REQUESTED
    assert shop.fake.requests == [], "it pays nothing itself"
    shop.work()
    assert row(shop, ticket).state is State.SUCCEEDED
    assert compare(shop) == []


def test_a_ticket_that_cannot_be_understood_is_named_and_hides_no_other(shop: Workshop) -> None:
    poison, good = shop.ticket(), shop.ticket()
    shop.box.state.workspaces[poison.workspace_id].tickets[poison.id]["customFields"] = [1]
    found = {it.ticket_id: it for it in compare(shop)}
    assert found[good.id].cause is Cause.NEVER_ENTERED
    assert found[poison.id].cause is Cause.UNREADABLE_TICKET
    assert "dict_type" in found[poison.id].detail
    assert len(found) == 2


def spoil(shop: Workshop, monkeypatch: pytest.MonkeyPatch, processor_id: str | None) -> None:
    """Let one refund be unreadable wherever the processor lists it."""

    def spoiled(listed: Any) -> list[Any]:
        bad = UnreadableRefund(processor_id, "its amount cannot be read")
        return [bad if it.result.processor_id == processor_id else it for it in listed]

    of, between = shop.fake.refunds_of, shop.fake.refunds_between
    monkeypatch.setattr(shop.fake, "refunds_of", lambda ref: spoiled(of(ref)))
    monkeypatch.setattr(shop.fake, "refunds_between", lambda *when: iter(spoiled(between(*when))))


def test_a_refund_that_cannot_be_read_is_named_and_hides_no_other(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, poison = paid(shop)
    ticket, good = paid(shop)
    spoil(shop, monkeypatch, poison.processor_id)
    shop.fake.set_status(good.processor_id or "", RefundStatus.FAILED)
    unreadable, failed = compare(shop)
    assert (unreadable.cause, unreadable.processor_id, unreadable.detail) == (
        Cause.UNREADABLE_REFUND,
        poison.processor_id,
        "its amount cannot be read",
    )
    assert (failed.cause, failed.ticket_id) == (Cause.FAILED_LATER, ticket.id)


def test_a_plain_list_names_the_item_that_cannot_be_understood(shop: Workshop) -> None:
    poison, good = shop.ticket(), shop.ticket()
    shop.box.state.workspaces[poison.workspace_id].tickets[poison.id]["customFields"] = [1]
    with pytest.raises(APIResponseError, match=f"item {poison.id}: "):
        list(shop.client.tickets.list())
    page = shop.client.tickets.list_page()
    assert [it.id for it in page.data] == [good.id]
    assert [it.id for it in page.unreadable] == [poison.id]


def test_a_ticket_whose_event_waits_is_no_difference(shop: Workshop) -> None:
    shop.event(shop.ticket().id)
    assert compare(shop) == []


def test_guards_hold_what_is_entered_as_they_hold_an_event(shop: Workshop) -> None:
    ticket = shop.ticket(received_date=None)
    compare(shop, fix=True)
    shop.work()
    assert row(shop, ticket).reason == "evidence_missing"
    assert shop.now(ticket).status == "needs_review"
    assert compare(shop) == []


def test_a_corrected_ticket_whose_event_was_lost_is_judged_anew(shop: Workshop) -> None:
    ticket, _ = paid(shop, received_date=None)
    shop.set(ticket, "refunded", received_date="2024-01-15")
    assert only(shop, Cause.NOT_PAID).detail == "held: evidence_missing"
    compare(shop, fix=True)
    shop.work()
    assert row(shop, ticket).state is State.SUCCEEDED


def test_a_late_failure_is_found_and_written_down(shop: Workshop) -> None:
    ticket, refund = paid(shop)
    assert refund.processor_id is not None
    shop.fake.set_status(refund.processor_id, RefundStatus.FAILED)
    found = only(shop, Cause.FAILED_LATER)
    assert (found.refund_id, found.processor_id) == (refund.id, refund.processor_id)
    assert found.detail == "failed there, succeeded here"
    assert only(shop, Cause.FAILED_LATER, fix=True).settled
    shop.work()
    assert row(shop, ticket).state is State.FAILED
    assert shop.now(ticket).status == "needs_review"
    assert compare(shop) == []
    assert len(shop.fake.requests) == 1


def test_a_refund_that_moved_on_is_written_down(shop: Workshop) -> None:
    shop.fake.first_status = RefundStatus.PENDING
    ticket, refund = paid(shop)
    shop.fake.set_status(refund.processor_id or "", RefundStatus.SUCCEEDED)
    assert only(shop, Cause.STATE_DIFFERS, fix=True).settled
    assert row(shop, ticket).state is State.SUCCEEDED


@pytest.mark.parametrize("back", [RefundStatus.REQUIRES_ACTION, RefundStatus.PENDING])
def test_a_refund_that_the_bank_sent_back_is_written_down(
    shop: Workshop, back: RefundStatus
) -> None:
    ticket, refund = paid(shop)
    shop.fake.set_status(refund.processor_id or "", back)
    assert only(shop, Cause.STATE_DIFFERS, fix=True).settled
    assert row(shop, ticket).state is State(back)
    assert compare(shop) == []


@pytest.mark.parametrize("state", ["failed", "held"])
def test_a_failed_refund_that_went_through_after_all_is_written_down(
    shop: Workshop, state: str
) -> None:
    ticket, refund = paid(shop)
    shop.fake.set_status(refund.processor_id or "", RefundStatus.FAILED)
    shop.news(refund.processor_id or "")
    shop.work()
    if state == "held":
        shop.set(ticket, received_date=None)
        facts = TicketFacts.of(shop.now(ticket), dispatch_sandbox.WORKSPACE)
        actions.retry(shop.connector.refunds, refund.id, who="Ann", facts=facts)
        shop.work()
    assert row(shop, ticket).state is State(state)
    shop.fake.set_status(refund.processor_id or "", RefundStatus.SUCCEEDED)
    found = only(shop, Cause.STATE_DIFFERS, fix=True)
    assert (found.detail, found.settled) == (f"succeeded there, {state} here", True)
    assert row(shop, ticket).state is State.SUCCEEDED
    assert len(shop.fake.requests) == 1


def test_a_failed_refund_whose_ticket_says_refunded_is_taken_back(shop: Workshop) -> None:
    ticket, refund = paid(shop)
    shop.fake.set_status(refund.processor_id or "", RefundStatus.FAILED)
    shop.news(refund.processor_id or "")
    shop.work()
    shop.set(ticket, "refunded")
    assert only(shop, Cause.NOT_PAID, fix=True).settled
    shop.work()
    assert shop.now(ticket).status == "needs_review"
    assert len(shop.fake.requests) == 1


def test_a_refund_without_a_row_finds_its_ticket(shop: Workshop) -> None:
    ticket, lost = paid(shop)
    forget_refund(shop.store, lost.id)
    assert {it.cause for it in compare(shop)} == {Cause.NOT_IN_LEDGER, Cause.NEVER_ENTERED}
    assert all(it.settled for it in compare(shop, fix=True))
    shop.work()
    assert row(shop, ticket).processor_id == lost.processor_id
    assert len(shop.fake.requests) == 1
    assert compare(shop) == []


def test_a_refund_that_its_row_does_not_know_is_written_down(shop: Workshop) -> None:
    ticket, refund = paid(shop)
    change(shop, ticket, state=State.HELD, processor_id=None, reason="rejected", detail="No.")
    found = compare(shop)
    assert Cause.NOT_KNOWN_HERE in {it.cause for it in found}
    compare(shop, fix=True)
    assert (row(shop, ticket).state, row(shop, ticket).processor_id) == (
        State.SUCCEEDED,
        refund.processor_id,
    )
    assert compare(shop) == []


def test_a_row_without_a_refund_is_left_to_a_person(shop: Workshop) -> None:
    ticket, refund = paid(shop)
    del shop.fake._made[refund.processor_id or ""]
    found = only(shop, Cause.NO_REFUND, fix=True)
    assert (found.ticket_id, found.fixed) == (ticket.id, False)
    assert row(shop, ticket) == refund


def test_amounts_that_differ_are_left_to_a_person(shop: Workshop) -> None:
    _, refund = paid(shop)
    made = shop.fake._made[refund.processor_id or ""]
    other = replace(made.result, amount=usd("100.00"))
    shop.fake._made[refund.processor_id or ""] = replace(made, result=other)
    found = only(shop, Cause.AMOUNT_DIFFERS, fix=True)
    assert (found.detail, found.fixed) == ("100.00 USD there, 149.00 USD here", False)


def test_two_rows_that_count_on_one_refund_are_shown(shop: Workshop) -> None:
    """The database allows none; here somebody has taken its index away."""
    first, second = shop.ticket(), shop.ticket()
    shop.run(first)
    shop.run(second)

    def claim(conn: Connection) -> None:
        conn.exec_driver_sql("DROP INDEX uq_ledger_processor_id")
        claimed = "SELECT min(processor_id) FROM ledger"
        conn.exec_driver_sql(f"UPDATE ledger SET processor_id = ({claimed})")

    shop.store.write("claim", claim)
    found = [it for it in compare(shop) if it.cause is Cause.CLAIMED_TWICE]
    assert {it.ticket_id for it in found} == {first.id, second.id}
    assert not any(it.fixed for it in found)


def test_a_ticket_that_asks_for_another_amount_now_is_shown(shop: Workshop) -> None:
    ticket, _ = paid(shop)
    shop.set(ticket, refund_amount=Decimal("160.00"))
    found = only(shop, Cause.TICKET_AMOUNT_DIFFERS, fix=True)
    assert found.detail == "160 on the ticket, 149.00 USD paid"
    assert not found.settled


def test_a_refund_made_elsewhere_is_adopted_by_the_ticket_that_waits(shop: Workshop) -> None:
    ticket, _ = paid(shop, received_date=None)
    made = shop.fake.refund_externally(str(ticket.custom_fields["payment_intent"]), PAID)
    assert only(shop, Cause.MADE_ELSEWHERE, fix=True).settled
    assert (row(shop, ticket).processor_id, row(shop, ticket).adopted) == (made.processor_id, True)


def test_in_a_dry_run_a_refund_made_elsewhere_stays_in_the_list(
    box: dispatch_sandbox.Sandbox, tmp_path: Path, any_store: Store
) -> None:
    box.state.reset()
    shop = Workshop(box, tmp_path, store=any_store, dry_run=True)
    for key in ("refunded", "needs_review"):
        shop.client.statuses.create(key=key, name=key)
    ticket, held = paid(shop)
    assert held.reason == "dry_run"
    shop.fake.refund_externally(payment_of(ticket), PAID)
    assert only(shop, Cause.MADE_ELSEWHERE, fix=True).fixed is False
    assert row(shop, ticket) == held
    shop.close()


def test_a_refund_made_elsewhere_is_seen_before_its_ticket_is_entered(shop: Workshop) -> None:
    ticket = shop.ticket()
    payment = str(ticket.custom_fields["payment_intent"])
    shop.fake.add_payment(payment, usd("500.00"))
    made = shop.fake.refund_externally(payment, PAID)
    causes = [it.cause for it in compare(shop, fix=True)]
    assert causes == [Cause.MADE_ELSEWHERE, Cause.NEVER_ENTERED]
    shop.work()
    assert row(shop, ticket).processor_id == made.processor_id
    assert shop.fake.requests == []


def test_a_refund_of_another_amount_made_elsewhere_is_shown_where_a_row_was_paid(
    shop: Workshop,
) -> None:
    ticket = shop.ticket()
    payment = payment_of(ticket)
    shop.fake.add_payment(payment, usd("500.00"))
    shop.run(ticket)
    before = row(shop, ticket)
    made = shop.fake.refund_externally(payment, usd("20.00"))
    found = only(shop, Cause.EXTERNAL_REFUND)
    assert (found.ticket_id, found.processor_id) == (ticket.id, made.processor_id)
    assert found.detail == "20.00 USD"
    assert only(shop, Cause.EXTERNAL_REFUND, fix=True).fixed is False
    assert row(shop, ticket) == before
    # What a lost event would have done is done: the next refund of this payment waits.
    other = shop.ticket(payment_intent=payment, refund_amount=Decimal(30))
    shop.run(other)
    assert row(shop, other).reason == "refunded_elsewhere"


def test_a_refund_of_another_amount_made_elsewhere_is_shown_where_a_row_waits(
    shop: Workshop,
) -> None:
    ticket, held = paid(shop, received_date=None)
    made = shop.fake.refund_externally(payment_of(ticket), usd("120.00"))
    found = only(shop, Cause.EXTERNAL_REFUND, fix=True)
    assert (found.ticket_id, found.processor_id) == (ticket.id, made.processor_id)
    assert row(shop, ticket) == held


def test_a_refund_made_elsewhere_stops_what_waits_to_be_sent(
    box: dispatch_sandbox.Sandbox, tmp_path: Path, any_store: Store
) -> None:
    box.state.reset()
    shop = Workshop(box, tmp_path, store=any_store, kill_switch=True)
    for key in ("refunded", "needs_review"):
        shop.client.statuses.create(key=key, name=key)
    ticket, waits = paid(shop)
    assert waits.state is State.REQUESTED
    shop.fake.refund_externally(payment_of(ticket), usd("120.00"))
    only(shop, Cause.EXTERNAL_REFUND, fix=True)
    assert row(shop, ticket).reason == "refunded_elsewhere"
    shop.close()


def test_a_failed_refund_that_was_made_again_by_hand_was_not_paid_twice(shop: Workshop) -> None:
    ticket, refund = paid(shop)
    shop.fake.set_status(refund.processor_id or "", RefundStatus.FAILED)
    shop.news(refund.processor_id or "")
    shop.work()
    made = shop.fake.refund_externally(payment_of(ticket), PAID)
    only(shop, Cause.EXTERNAL_REFUND, fix=True)
    # As its remedy says: tried again, the row takes over what was made by hand.
    facts = TicketFacts.of(shop.now(ticket), dispatch_sandbox.WORKSPACE)
    actions.retry(shop.connector.refunds, refund.id, who="Ann", facts=facts)
    shop.work()
    assert (row(shop, ticket).processor_id, row(shop, ticket).adopted) == (made.processor_id, True)
    assert len(shop.fake.requests) == 1
    assert compare(shop) == []


@pytest.mark.parametrize(
    ("amount", "cause"), [("20.00", Cause.EXTERNAL_REFUND), ("149.00", Cause.PAID_TWICE)]
)
@pytest.mark.parametrize("touched", [False, True])
def test_a_refund_made_elsewhere_long_after_its_row_is_shown(
    shop: Workshop, amount: str, cause: Cause, *, touched: bool
) -> None:
    """Only the refund is of the time that is compared; its row is older, perhaps its ticket too."""
    shop.box.state._clock = shop.clock
    try:
        ticket = shop.ticket()
        shop.fake.add_payment(payment_of(ticket), usd("500.00"))
        shop.run(ticket)
        shop.clock.turn(days=20)
        shop.fake.refund_externally(payment_of(ticket), usd(amount))
        if touched:
            shop.set(ticket, note="looked at again")
        found = only(shop, cause, since=shop.clock() - timedelta(days=7))
    finally:
        shop.box.state._clock = utc_now
    assert found.ticket_id == ticket.id


def test_what_may_have_been_paid_twice_is_left_to_a_person(shop: Workshop) -> None:
    ticket = shop.ticket()
    payment = str(ticket.custom_fields["payment_intent"])
    shop.fake.add_payment(payment, usd("500.00"))
    shop.run(ticket)
    shop.fake.refund_externally(payment, PAID)
    assert not only(shop, Cause.PAID_TWICE, fix=True).settled
    request = shop.fake.requests[0]
    shop.fake.refund(replace(request, idempotency_key="another"))
    found = only(shop, Cause.PAID_TWICE, fix=True)
    assert found.detail.count("fake_") == 2


def test_an_outcome_that_nobody_knows_is_left_to_a_person(shop: Workshop) -> None:
    ticket, refund = paid(shop)
    del shop.fake._made[refund.processor_id or ""]
    change(
        shop,
        ticket,
        state=State.UNKNOWN,
        processor_id=None,
        reason="outcome_unknown",
        detail="?",
        due_at=None,
    )
    shop.set(ticket, "needs_review")
    found = only(shop, Cause.OUTCOME_UNKNOWN, fix=True)
    assert not found.settled


@pytest.mark.parametrize("state", [State.SENDING, State.REQUESTED])
def test_what_is_under_way_is_no_difference(shop: Workshop, state: State) -> None:
    ticket, _ = paid(shop)
    change(shop, ticket, state=state, processor_id=None)
    del shop.fake._made["fake_1"]
    assert compare(shop) == []


def test_a_time_leaves_out_what_was_before_and_after(shop: Workshop) -> None:
    old, refund = paid(shop)
    shop.fake.set_status(refund.processor_id or "", RefundStatus.FAILED)
    now = shop.clock()
    assert compare(shop, since=now + timedelta(days=1)) == []
    assert compare(shop, until=now) == []
    only(shop, Cause.FAILED_LATER, since=now, until=now + timedelta(seconds=1))
    assert row(shop, old).state is State.SUCCEEDED


def test_a_row_from_before_that_time_is_not_missed_by_a_later_ticket(shop: Workshop) -> None:
    """The ticket was changed lately, and its refund is old: that is no missing row."""
    ticket, _ = paid(shop)
    since = shop.clock() + timedelta(days=1)
    shop.box.state._clock = lambda: since + timedelta(days=1)
    try:
        shop.set(ticket, note="looked at again")
        assert compare(shop, since=since) == []
    finally:
        shop.box.state._clock = utc_now


def test_an_adapter_that_cannot_list_is_named(shop: Workshop, tmp_path: Path) -> None:
    with Connector(
        shop.settings,
        client=shop.client,
        store=open_store(tmp_path, "manual.db", durable=False),
        adapters=ManualAdapter(),
    ) as connector:
        with pytest.raises(UnsupportedFeatureError, match="the adapter manual cannot list"):
            connector.reconciler.run(lambda _: None)
        assert "reconcile" not in {queue.name for queue in connector.queues}


def test_a_fix_that_cannot_be_made_now_is_left(shop: Workshop) -> None:
    shop.ticket()
    shop.fake.fail_next("lost_response", call="payment")
    found = only(shop, Cause.NEVER_ENTERED, fix=True)
    assert (found.fixed, found.detail) == (False, "(the answer did not arrive)")


def test_every_cause_is_explained_and_only_the_safe_ones_are_fixed() -> None:
    assert set(EXPLAINED) == set(Cause)
    assert {
        Cause.NO_REFUND,
        Cause.AMOUNT_DIFFERS,
        Cause.TICKET_AMOUNT_DIFFERS,
        Cause.OUTCOME_UNKNOWN,
        Cause.PAID_TWICE,
        Cause.EXTERNAL_REFUND,
        Cause.PARCEL_NOT_ENTERED,
        Cause.PARCEL_NOT_PAID,
        Cause.CLAIMED_TWICE,
        Cause.UNREADABLE_TICKET,
        Cause.UNREADABLE_REFUND,
    } == set(Cause) - FIXABLE


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (Decimal("149.00"), "149"),
        (Decimal("149.10"), "149.1"),
        (Decimal("1E+3"), "1000"),
        (Decimal(0), "0"),
        (100, "100"),
        (None, None),
        ("soon", "soon"),
    ],
)
def test_an_amount_is_written_in_one_way(amount: object, written: str | None) -> None:
    assert digits(amount) == written


# The workers' own.


def test_the_workers_compare_once_a_day_and_fix_what_is_safe(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shop.work()
    ticket = shop.ticket()
    shop.work(hours=23)
    assert shop.refund(ticket) is None
    shop.box.state._clock = shop.clock
    try:
        shop.set(ticket, note="changed today")
        shop.work(hours=2)
    finally:
        shop.box.state._clock = utc_now
    assert row(shop, ticket).state is State.SUCCEEDED
    assert f"reconciled: never_entered, ticket {ticket.id}" in caplog.messages


def test_what_the_workers_must_not_fix_is_in_the_log(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.work()
    _, refund = paid(shop)
    del shop.fake._made[refund.processor_id or ""]
    shop.work(hours=25)
    said = "discrepancies: 1 no_refund. Run: dispatch-returns reconcile"
    assert said in caplog.messages


def test_of_several_machines_one_compares(shop: Workshop, tmp_path: Path) -> None:
    def machine() -> Connector:
        return Connector(
            shop.settings,
            client=shop.client,
            store=shop.store,
            adapters=shop.fake,
            clock=shop.clock,
        )

    machines = [machine() for _ in range(4)]
    queues = [queue for it in machines for queue in it.queues if queue.name == "reconcile"]
    assert len(queues) == 4
    assert [queue.claim(1) for queue in queues] == [[]] * 4
    shop.clock.turn(hours=25)
    with ThreadPoolExecutor(4) as threads:
        claimed = list(threads.map(lambda queue: queue.claim(1), queues))
    (job,) = [job for jobs in claimed for job in jobs]
    shop.clock.turn(minutes=2)
    assert [queue.claim(1) for queue in queues] == [[]] * 4, "while it is at it, nobody else is"
    queues[0].run(job)
    shop.clock.turn(hours=2)
    assert [queue.claim(1) for queue in queues] == [[]] * 4
    shop.clock.turn(hours=25)
    assert len([job for queue in queues for job in queue.claim(1)]) == 1


def test_a_machine_that_dies_over_it_is_followed_by_another(shop: Workshop) -> None:
    (queue,) = [it for it in shop.connector.queues if it.name == "reconcile"]
    queue.claim(1)
    shop.clock.turn(hours=25)
    (job,) = queue.claim(1)
    shop.clock.turn(hours=2)
    (again,) = queue.claim(1)
    assert again.claims > job.claims
    queue.run(job)  # it was only slow
    queue.run(again)


def test_while_a_book_cannot_be_read_it_is_tried_within_the_hour(
    shop: Workshop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.work()
    ticket, refund = paid(shop)
    shop.fake.set_status(refund.processor_id or "", RefundStatus.FAILED)

    def down(*_: object) -> Any:
        raise AdapterError(ErrorKind.NOT_SENT, "no network")

    monkeypatch.setattr(shop.fake, "refunds_between", down)
    monkeypatch.setattr(shop.fake, "find", lambda _request: None)
    shop.work(hours=25)
    assert "could not reconcile: AdapterError" in caplog.messages
    monkeypatch.undo()
    shop.work(hours=1, minutes=1)
    assert row(shop, ticket).state is State.FAILED


def test_it_can_be_switched_off(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> None:
    shop = Workshop(box, tmp_path, reconcile_every=0)
    assert "reconcile" not in {queue.name for queue in shop.connector.queues}
    shop.close()
