"""What goes into the outbox: each thing once, under a key that lasts."""

from __future__ import annotations

import re

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds import messages
from dispatch_returns.refunds.adapter import RefundStatus
from dispatch_returns.refunds.guard import Hold, Reason
from dispatch_returns.store.outbox import MessageState
from tests.support.desk import NOW, Desk, facts


def test_a_message_waits_from_the_moment_it_was_written(desk: Desk) -> None:
    desk.enter(facts(amount=None))
    ticket, note = desk.messages()
    assert (ticket.kind, note.kind) == ("ticket", "note")
    for message in (ticket, note):
        assert (message.state, message.due_at) == (MessageState.WAITING, NOW)
        assert (message.workspace_id, message.ticket_id) == ("ws_1", "tkt_1")
        assert message.refund_id == desk.only().id


def test_keys_are_short_and_name_the_refund_its_generation_and_the_kind(desk: Desk) -> None:
    desk.enter(facts(received_date=None))
    row = desk.only()
    keys = [message.dedupe_key for message in desk.messages()]
    assert len(set(keys)) == 2
    for key, kind in zip(keys, ("ticket", "note"), strict=True):
        # It is also the comment's idempotency key, so the same fact always gives the same one.
        assert re.fullmatch(rf"{row.id}-g1-{kind}-[0-9a-f]{{16}}", key)


def test_keys_are_the_same_in_every_version(desk: Desk) -> None:
    """An upgrade must not tell everybody everything again."""
    desk.fake.refund_externally("pi_1", desk.fake._accounts["pi_1"].charged)
    desk.enter()
    desk.step()
    assert [m.dedupe_key.rpartition("-g1-")[2] for m in desk.messages()][1:] == [
        "note-5d4686f6ad6a5e22"
    ]


def test_the_same_fact_has_the_same_key_and_is_kept_once(desk: Desk) -> None:
    desk.enter(facts(amount=None))
    hold = Hold(Reason.NO_AMOUNT, "The ticket has no refund_amount.")
    row, before = desk.only(), desk.messages()
    for tell in (messages.report_hold, messages.report_hold):
        desk.store.write("again", lambda conn: tell(conn, row, hold, NOW))  # noqa: B023
    assert desk.messages() == before


def test_each_generation_tells_the_customer_again(desk: Desk) -> None:
    desk.enter()
    desk.step()
    desk.fake.set_status("fake_1", RefundStatus.FAILED)
    desk.run(hours=2)
    desk.retry(facts=facts())
    desk.run(minutes=1)
    first, second = desk.told("comment")
    assert first == second


def test_a_write_back_that_was_refused_is_not_repeated_by_every_event(desk: Desk) -> None:
    """As where the workspace has no status for review: the ticket stays on `refunded`."""
    desk.enter(facts(amount=None))
    desk.store.write(
        "refused", lambda conn: conn.exec_driver_sql("UPDATE outbox SET state = 'refused'")
    )
    desk.enter(facts(amount=None))
    assert len(desk.messages()) == 2


@pytest.mark.parametrize("refund_status", ["succeeded", "pending"])
def test_an_adopted_refund_is_not_told_to_the_customer(desk: Desk, refund_status: str) -> None:
    desk.fake.first_status = RefundStatus(refund_status)
    desk.fake.refund_externally("pi_1", desk.fake._accounts["pi_1"].charged)
    desk.enter()
    desk.run(days=1)
    assert desk.only().adopted
    assert desk.told("comment") == []
    assert len(desk.told("note")) == 1


def test_a_note_names_the_state_the_reason_the_remedy_and_the_refund(desk: Desk) -> None:
    desk.fake.fail_next(AdapterError(ErrorKind.DISPUTED, "The charge is disputed."))
    desk.enter()
    desk.step()
    assert desk.told("note") == [
        (
            "Refund held: The charge is disputed. Answer the dispute at the processor: if it is"
            " lost, the bank pays the customer. If the payment is to be refunded all the same, run:"
            " dispatch-returns refunds approve. The processor refuses it where it must not be."
            f" (Refund {desk.only().id})"
        )
    ]
