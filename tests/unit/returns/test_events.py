"""From an accepted event to what follows: decided by the ticket as the API has it now."""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import inbox
from dispatch_returns.store.inbox import EventState
from tests.support import stores
from tests.support.desk import NOW, usd
from tests.support.workshop import EMAIL, Workshop


def test_a_ticket_that_became_refunded_is_paid_and_told(shop: Workshop) -> None:
    ticket = shop.ticket()
    event = shop.event(ticket.id)
    assert shop.work() == 3, "the event with its refund, the ticket, the customer"
    refund = shop.refund(ticket)
    assert refund is not None
    assert refund.state is State.SUCCEEDED
    done = shop.found(event)
    assert (done.state, done.due_at, done.error, done.finished_at) == (
        EventState.DONE,
        None,
        None,
        NOW,
    )
    told = shop.now(ticket)
    assert told.status == "refunded"
    assert told.custom_fields["refund_id"] == refund.processor_id
    assert told.custom_fields["refund_status"] == "succeeded"
    assert "refund_reason" not in told.custom_fields
    assert told.custom_fields["refund_amount"] == 149
    (comment,) = shop.comments(ticket)
    assert comment.body == "Your refund of 149.00 USD was sent to your original payment method."
    assert not comment.internal


@pytest.mark.parametrize("status", ["item_received", "needs_review", "open"])
def test_a_ticket_that_is_not_refunded_is_not_paid(shop: Workshop, status: str) -> None:
    ticket = shop.ticket(status)
    event = shop.event(ticket.id)
    shop.work()
    assert shop.found(event).state is EventState.DONE
    assert (shop.refund(ticket), shop.fake.requests) == (None, [])


def test_the_ticket_counts_and_not_the_event(shop: Workshop) -> None:
    ticket = shop.ticket()
    event = shop.event(
        ticket.id, data={"id": ticket.id, "status": "refunded", "refund_amount": 9999}
    )
    shop.set(ticket, refund_amount=20)
    shop.work()
    assert shop.found(event).state is EventState.DONE
    assert shop.fake.refunds[0].amount == usd("20.00")


def test_another_status_can_stand_for_refunded(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    shop = Workshop(box, tmp_path, refunded_status="item_received")
    shop.run(shop.ticket("refunded"))
    assert shop.fake.requests == []
    shop.run(shop.ticket("item_received"))
    assert len(shop.fake.requests) == 1
    shop.close()


def test_repeated_reordered_and_late_events_pay_once(shop: Workshop) -> None:
    ticket = shop.ticket()
    for kind in ("ticket.updated", "ticket.created", "comment.created", "ticket.updated"):
        shop.event(ticket.id, kind=kind)
    shop.work()
    shop.event(ticket.id)
    shop.work(days=6)
    assert len(shop.fake.refunds) == 1
    assert len(shop.comments(ticket)) == 1


def test_our_own_write_back_is_no_loop(shop: Workshop) -> None:
    ticket = shop.ticket()
    shop.run(ticket)
    before = shop.now(ticket)
    for kind in ("ticket.updated", "comment.created"):
        shop.event(ticket.id, kind=kind)
        assert shop.work() == 1, "the event, and nothing after it"
    assert shop.now(ticket) == before


def test_a_ticket_that_was_deleted_needs_nothing(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    event = shop.event("tkt_gone")
    shop.event("tkt_gone", kind="ticket.deleted", data={"id": "tkt_gone"})
    shop.work()
    assert shop.found(event).state is EventState.DONE
    assert f"event {event} is about a ticket that was deleted" in caplog.messages


def test_one_404_is_no_answer(shop: Workshop) -> None:
    ticket = shop.ticket()
    shop.fault(times=1, status=404)
    event = shop.event(ticket.id)
    shop.work()
    assert (shop.found(event).state, shop.refund(ticket)) == (EventState.ACCEPTED, None)
    shop.work(minutes=1)
    assert shop.found(event).state is EventState.DONE
    assert len(shop.fake.refunds) == 1


def test_a_ticket_that_cannot_be_understood_for_a_day_is_told_to_a_person(shop: Workshop) -> None:
    ticket = shop.ticket()
    record = shop.box.state.workspaces[ticket.workspace_id].tickets[ticket.id]
    fields = record["customFields"]
    record["customFields"] = [1]
    event = shop.event(ticket.id)
    for _ in range(25):
        shop.work(hours=1)
    aside = shop.found(event)
    assert (aside.state, aside.due_at) == (EventState.NOT_SHOWN, None)
    record["customFields"] = fields
    (note,) = shop.comments(ticket)
    assert f"dispatch-returns events replay {aside.id}" in note.body
    shop.store.write("again", lambda conn: inbox.replay(conn, aside, shop.clock()))
    shop.work()
    assert len(shop.fake.refunds) == 1


def test_what_the_api_has_not_shown_for_a_day_is_set_aside_and_can_be_replayed(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = shop.ticket()
    shop.fault(times=999, status=404)
    event = shop.event(ticket.id)
    shop.work()
    for _ in range(23):
        shop.work(hours=1)
    assert shop.found(event).state is EventState.ACCEPTED
    shop.work(hours=1)
    aside = shop.found(event)
    assert (aside.state, aside.due_at) == (EventState.NOT_SHOWN, None)
    assert "answered 404" in (aside.error or "")
    assert any(f"events replay {aside.id}" in line for line in caplog.messages)
    shop.box.state.faults.clear()
    shop.store.write("again", lambda conn: inbox.replay(conn, aside, shop.clock()))
    shop.work()
    assert len(shop.fake.refunds) == 1


def test_a_404_after_a_day_of_other_failures_is_not_the_end(shop: Workshop) -> None:
    ticket = shop.ticket()
    this = f"*/tickets/{ticket.id}"
    shop.fault(times=999, status=503, match={"path": this})
    event = shop.event(ticket.id)
    for _ in range(30):
        shop.work(hours=1)
    shop.box.state.faults.clear()
    shop.fault(times=999, status=404, match={"path": this})
    shop.work(hours=1)
    assert shop.found(event).state is EventState.ACCEPTED
    shop.box.state.faults.clear()
    shop.work(hours=1)
    assert len(shop.fake.refunds) == 1


def told(shop: Workshop, ticket: Ticket, status: str, **ahead: float) -> str:
    """An event about a change so much later than the API shows it; its id."""
    assert ticket.updated_at is not None
    changed = ticket.updated_at + timedelta(**ahead)
    data = {"id": ticket.id, "status": status, "updatedAt": changed.isoformat()}
    return shop.event(ticket.id, data=data)


@pytest.mark.parametrize(
    ("status", "ahead", "waits"),
    [
        ("refunded", {"seconds": 2}, True),
        ("item_received", {"milliseconds": 300}, True),
        ("refunded", {"milliseconds": 300}, False),
        ("refunded", {"seconds": 0}, False),
        ("item_received", {"seconds": -1}, False),
    ],
)
def test_an_answer_older_than_its_event_is_no_answer(
    shop: Workshop, status: str, ahead: dict[str, float], waits: bool
) -> None:
    ticket = shop.ticket("refunded")
    event = told(shop, ticket, status, **ahead)
    shop.work()
    state = EventState.ACCEPTED if waits else EventState.DONE
    assert shop.found(event).state is state
    shown = shop.box.state.workspaces[dispatch_sandbox.WORKSPACE].tickets[ticket.id]
    shown["updatedAt"] = "2099-01-01T00:00:00.000Z"
    shop.work(minutes=1)
    assert shop.found(event).state is EventState.DONE
    assert len(shop.fake.refunds) == 1


def test_a_newer_event_speaks_for_an_older_one_too(shop: Workshop) -> None:
    ticket = shop.ticket("refunded")
    first = shop.event(ticket.id)
    told(shop, ticket, "rejected", minutes=1)
    shop.work()
    assert shop.found(first).state is EventState.ACCEPTED
    assert shop.fake.requests == []


def test_a_test_event_waits_for_nothing(shop: Workshop) -> None:
    event = shop.event("tkt_test", id="evt_test_1")
    shop.work()
    assert shop.found(event).state is EventState.DONE


def test_an_event_about_no_ticket_needs_nothing(shop: Workshop) -> None:
    event = shop.event("", kind="customer.created", data={"id": "cus_1"})
    shop.work()
    assert shop.found(event).state is EventState.DONE


def test_while_the_api_is_down_an_event_waits_ever_longer(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = shop.ticket()
    shop.fault(times=3, status=503)
    event = shop.event(ticket.id)
    longest = 5.0
    for tries in (1, 2, 3):
        assert shop.work() == 1
        stored = shop.found(event)
        assert (stored.state, stored.tries) == (EventState.ACCEPTED, tries)
        assert stored.due_at is not None
        wait = (stored.due_at - shop.clock()).total_seconds()
        assert longest / 2 <= wait <= longest
        assert (stored.error or "").startswith("ServerError: GET ")
        assert f"event {event} is postponed: ServerError" in caplog.messages
        shop.clock.now = stored.due_at
        longest *= 2
    shop.work()
    assert shop.found(event).state is EventState.DONE
    assert shop.found(event).error is None
    assert len(shop.fake.refunds) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 429])
def test_an_answer_that_is_no_ticket_puts_the_event_off(shop: Workshop, status: int) -> None:
    ticket = shop.ticket()
    shop.fault(status=status)
    event = shop.event(ticket.id)
    shop.work()
    assert shop.found(event).state is EventState.ACCEPTED
    shop.work(seconds=5)
    assert shop.found(event).state is EventState.DONE


def test_while_the_processor_cannot_say_an_event_waits(shop: Workshop) -> None:
    ticket = shop.ticket()
    shop.fake.fail_next(AdapterError(ErrorKind.AUTH, "the key is wrong"), call="payment")
    event = shop.event(ticket.id)
    shop.work()
    assert shop.found(event).error == "AdapterError: the key is wrong"
    assert shop.refund(ticket) is None
    shop.work(seconds=5)
    assert len(shop.fake.refunds) == 1


@pytest.mark.parametrize(
    "changes", [{"data": None}, {"timestamp": "yesterday"}, {"data": {"id": 5}}, {"id": ""}]
)
def test_what_cannot_be_read_is_kept_for_an_upgrade(
    shop: Workshop, changes: dict[str, Any]
) -> None:
    event = shop.event("tkt_1", **changes)
    shop.work()
    kept = shop.found(event)
    assert (kept.state, kept.due_at) == (EventState.UNREADABLE, None)
    assert kept.error
    assert kept.body


@pytest.mark.parametrize("ticket_id", ["tkt/../1", "tkt 1", "tkt?x=1", ".."])
def test_an_id_that_cannot_stand_in_an_address_is_not_asked_for_again_and_again(
    shop: Workshop, ticket_id: str
) -> None:
    event = shop.event(ticket_id)
    shop.work()
    kept = shop.found(event)
    assert (kept.state, kept.error) == (
        EventState.UNREADABLE,
        "the ticket's id can't be one of the API's",
    )


def test_a_replayed_event_pays_nothing_twice(shop: Workshop) -> None:
    ticket = shop.ticket()
    event = shop.event(ticket.id)
    shop.work()
    stored = shop.found(event)
    shop.store.write("replay", lambda conn: inbox.replay(conn, stored, shop.clock()))
    shop.work()
    assert shop.found(event).state is EventState.DONE
    assert len(shop.fake.refunds) == 1


def test_a_worker_that_lost_its_event_leaves_it_alone(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ticket = shop.ticket("item_received")
    event = shop.event(ticket.id)
    (late,) = shop.connector.events.claim(1)
    shop.clock.turn(minutes=3)
    shop.work()
    done = shop.found(event)
    shop.connector.events.process(late)
    assert shop.found(event) == done
    assert f"event {event} was taken over by another worker" in caplog.messages


def test_what_follows_from_an_event_is_one_commit(shop: Workshop) -> None:
    """A worker that loses the event has entered no refund either."""
    ticket = shop.ticket()
    shop.event(ticket.id)
    (late,) = shop.connector.events.claim(1)
    shop.clock.turn(minutes=3)
    shop.connector.events.claim(1)
    shop.connector.events.process(late)
    assert shop.refund(ticket) is None


def test_a_lease_is_kept_and_ends(shop: Workshop) -> None:
    shop.event(shop.ticket().id)
    (event,) = shop.connector.events.claim(5)
    assert event.due_at == NOW + timedelta(minutes=3)
    assert shop.connector.events.claim(5) == []


def test_a_held_ticket_goes_to_review_with_a_note_and_back_when_corrected(
    shop: Workshop,
) -> None:
    ticket = shop.ticket(refund_amount=None)
    shop.run(ticket)
    held = shop.now(ticket)
    assert held.status == "needs_review"
    assert held.custom_fields["refund_status"] == "held"
    assert held.custom_fields["refund_reason"] == "no_amount"
    (note,) = shop.comments(ticket)
    assert note.internal
    assert note.body.startswith("Refund held: The ticket has no refund_amount.")
    for kind in ("ticket.updated", "comment.created"):  # our own write-back
        shop.event(ticket.id, kind=kind)
    assert shop.work() == 2
    shop.set(ticket, "refunded", refund_amount=149)
    shop.run(ticket)
    paid = shop.now(ticket)
    assert (paid.status, paid.custom_fields["refund_status"]) == ("refunded", "succeeded")
    assert paid.custom_fields["refund_reason"] is None
    assert len(shop.comments(ticket)) == 2


def test_logs_name_events_and_tickets_and_no_customers(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "dispatch_returns")
    shop.run(shop.ticket(refund_amount=None, note=f"call {EMAIL}"))
    ticket = shop.ticket()
    shop.fault(times=2, status=500)
    shop.run(ticket)
    shop.work(hours=1)
    text = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("dispatch"))
    assert text
    assert EMAIL not in text
    assert dispatch_sandbox.API_KEY not in text


@pytest.mark.parametrize("kind", stores.KINDS)
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"refund_amount": Decimal(340434161094015902)}, "amount_not_exact"),
        ({"refund_amount": 10**400}, "amount_not_exact"),
        ({"order_id": "9" * 3000}, "order_differs"),
    ],
)
def test_a_value_that_no_database_holds_is_held_at_once(
    box: dispatch_sandbox.Sandbox, tmp_path: Path, kind: str, fields: dict[str, Any], reason: str
) -> None:
    with stores.opened(kind, tmp_path) as store:
        shop = Workshop(box, tmp_path, store=store)
        ticket = shop.ticket(**fields)
        shop.run(ticket)
        refund = shop.refund(ticket)
        assert refund is not None
        assert (refund.state, refund.reason) == (State.HELD, reason)
        assert shop.now(ticket).status == "needs_review"
        assert shop.fake.requests == []
        shop.close()


@pytest.mark.parametrize(
    "kind", [ErrorKind.AUTH, ErrorKind.NOT_SENT, ErrorKind.UNKNOWN_OUTCOME, ErrorKind.RATE_LIMITED]
)
def test_a_payment_that_cannot_be_read_for_a_day_is_held(shop: Workshop, kind: ErrorKind) -> None:
    ticket = shop.ticket()
    for _ in range(400):
        shop.fake.fail_next(AdapterError(kind, "no"), call="payment")
    shop.event(ticket.id)
    for _ in range(23):
        shop.work(hours=1)
    assert shop.refund(ticket) is None
    for _ in range(3):
        shop.work(hours=1)
    refund = shop.refund(ticket)
    assert refund is not None
    assert (refund.state, refund.reason) == (State.HELD, "unreachable")
    assert shop.now(ticket).status == "needs_review"
    assert len(shop.comments(ticket)) == 1


def test_a_refund_whose_adapter_is_gone_is_told_to_people_after_a_day(shop: Workshop) -> None:
    ticket = shop.ticket()
    shop.fake.fail_next(AdapterError(ErrorKind.UNKNOWN_OUTCOME, "no answer"))
    shop.event(ticket.id)
    for event in shop.connector.events.claim(1):
        shop.connector.events.process(event)
    shop.store.write(
        "test", lambda conn: conn.exec_driver_sql("UPDATE ledger SET adapter = 'gone'").close()
    )
    for _ in range(30):
        shop.work(hours=1)
    (note,) = (it for it in shop.comments(ticket) if it.internal)
    assert "was begun with the adapter gone" in note.body
    assert len(shop.fake.requests) == 1
