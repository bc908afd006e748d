"""From a ticket to its one row in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    UnsupportedFeatureError,
)
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.adapter import PaymentRef, RefundStatus
from dispatch_returns.refunds.intake import Intake
from dispatch_returns.refunds.processors import Adapters
from dispatch_returns.refunds.ticket_facts import PaymentResolver
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store
from tests.support.desk import EMAIL, NOW, Desk, facts, usd

REFUSALS = [
    ErrorKind.NOT_FOUND,
    ErrorKind.INSUFFICIENT_BALANCE,
    ErrorKind.NOT_REFUNDABLE,
    ErrorKind.DISPUTED,
    ErrorKind.CONFIG,
    ErrorKind.EXCEEDS_REMAINING,
    ErrorKind.ALREADY_REFUNDED,
    ErrorKind.UNREADABLE_REFUND,
]


def test_an_intent_is_written_before_anything_is_sent(desk: Desk) -> None:
    row = desk.enter()
    assert (row.id, row.ordinal) == (ledger.refund_id("ws_1", "tkt_1", 1), 1)
    assert (row.workspace_id, row.ticket_id, row.order_id) == ("ws_1", "tkt_1", "1234")
    assert (row.adapter, row.state, row.amount) == ("fake", State.REQUESTED, usd("149.00"))
    assert row.payment == {
        "kind": "payment_intent",
        "id": "pi_1",
        "account": None,
        "reverse_transfer": False,
        "refund_application_fee": False,
        "adapter": "fake",
    }
    assert (row.generation, row.uncertain, row.adopted) == (1, False, False)
    assert (row.first_sent_at, row.sent_day, row.due_at) == (None, None, NOW)
    assert (row.created_at, row.updated_at, row.instructions_email) == (NOW, NOW, EMAIL)
    assert (desk.fake.requests, desk.messages()) == ([], [])


def test_a_repeated_event_writes_no_second_row(desk: Desk) -> None:
    assert desk.enter(facts(), facts(), facts()) == desk.only()


def test_each_ticket_and_each_workspace_has_a_row_of_its_own() -> None:
    ids = {
        ledger.refund_id(workspace, ticket, ordinal)
        for workspace in ("ws_1", "ws_2")
        for ticket in ("tkt_1", "tkt_2")
        for ordinal in (1, 2)
    }
    assert len(ids) == 8
    assert all(it.startswith("rfd_") and len(it) == 36 for it in ids)


def test_the_id_follows_from_the_intent_for_ever() -> None:
    # A store restored from a backup must ask for the same refund, in every version.
    assert ledger.refund_id("ws_1", "tkt_1", 1) == "rfd_ca6cf8f01b512b2e529b9d101cfb5e31"


def test_a_connected_account_is_kept(store: Store) -> None:
    ref = PaymentRef("charge", "ch_1", "acct_1", reverse_transfer=True, refund_application_fee=True)
    desk = Desk(store, resolver=PaymentResolver((lambda _order: ref,)))
    desk.fake.add_payment("ch_1", usd("149.00"))
    desk.enter(facts(payment_intent=None))
    desk.step()
    assert desk.fake.requests[0].payment == replace(ref, adapter="fake")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payment_intent": None}, "no_payment"),
        ({"amount": None}, "no_amount"),
        ({"amount": "149.001"}, "amount_not_exact"),
        ({"amount": "0"}, "amount_zero"),
        ({"amount": "149.01"}, "exceeds_remaining"),
        ({"currency": "EUR"}, "currency_differs"),
        ({"received_date": None}, "evidence_missing"),
        ({"payment_intent": "pi_9"}, "not_found"),
    ],
)
def test_what_may_not_be_paid_is_held_and_told(
    desk: Desk, changes: dict[str, Any], reason: str
) -> None:
    row = desk.enter(facts(**changes))
    assert (row.state, row.reason, row.due_at) == (State.HELD, reason, None)
    assert row.detail
    desk.run(days=2)
    assert (desk.fake.requests, len(desk.told("note")), len(desk.told("ticket"))) == ([], 1, 1)
    assert desk.told("comment") == []


def test_a_corrected_ticket_is_paid_under_the_first_key(desk: Desk) -> None:
    desk.enter(facts(amount=None))
    row = desk.enter(facts(payment_intent="pi_2", order_id="5"))
    assert (row.state, row.reason, row.detail) == (State.REQUESTED, None, None)
    assert (row.payment or {})["id"] == "pi_2"
    assert (row.order_id, row.due_at) == ("5", NOW)
    desk.step()
    assert (desk.paid, desk.keys) == ([usd("149.00")], ["g1"])


def test_a_ticket_corrected_after_a_refusal_is_paid_under_a_new_key(desk: Desk) -> None:
    desk.fake.fail_next(AdapterError(ErrorKind.NOT_REFUNDABLE, "no"))
    desk.enter()
    desk.step()
    held_again = desk.enter(facts(amount=None))
    assert held_again.generation == 1
    desk.enter(facts(amount="100.00"))
    desk.step()
    assert (desk.paid, desk.keys) == ([usd("100.00")], ["g1", "g2"])


def test_a_hold_is_told_once_until_a_person_tries_again(desk: Desk) -> None:
    for _ in range(3):
        desk.enter(facts(amount=None))
    assert len(desk.told("note")) == len(desk.told("ticket")) == 1
    desk.deliver()
    for _ in range(3):
        desk.enter(facts(amount=None))
    assert len(desk.told("note")) == len(desk.told("ticket")) == 2


def test_another_reason_is_told_at_once(desk: Desk) -> None:
    desk.enter(facts(amount=None))
    desk.enter(facts(received_date=None))
    assert [note.split(":")[1] for note in desk.told("note")] == [
        (
            " The ticket has no refund_amount. Fill in refund_amount, then set the status to"
            " refunded again. (Refund rfd_ca6cf8f01b512b2e529b9d101cfb5e31)"
        ),
        (
            " The ticket has no received_date. Complete the receipt of the item on the ticket, then"
            " set the status to refunded again. (Refund rfd_ca6cf8f01b512b2e529b9d101cfb5e31)"
        ),
    ]


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_payment_the_processor_refuses_is_held(desk: Desk, kind: ErrorKind) -> None:
    desk.fake.fail_next(AdapterError(kind, "said so"), call="payment")
    row = desk.enter()
    assert (row.state, row.detail) == (State.HELD, "said so")
    assert (row.payment or {})["id"] == "pi_1"


@pytest.mark.parametrize("kind", sorted(set(ErrorKind) - set(REFUSALS)))
def test_a_processor_that_cannot_say_is_asked_later(desk: Desk, kind: ErrorKind) -> None:
    desk.fake.fail_next(AdapterError(kind, "said so"), call="payment")
    with pytest.raises(AdapterError):
        desk.enter()
    assert desk.refunds() == []


def test_a_payment_the_processor_has_no_words_for_is_held(desk: Desk) -> None:
    desk.fake.fail_next(UnsupportedFeatureError("not another reference"), call="payment")
    row = desk.enter()
    assert (row.reason, row.detail) == ("unsupported", "not another reference")
    assert (row.payment or {})["id"] == "pi_1"


def test_a_ticket_without_a_payment_says_so(desk: Desk) -> None:
    assert desk.enter(facts(payment_intent=None)).detail == "No payment is known for this ticket."


def test_the_smallest_amount_that_moved_is_reason_enough_to_look(desk: Desk) -> None:
    desk.enter(facts("tkt_2", "0.01", payment_intent="pi_2"))
    desk.step()
    assert desk.enter(facts(payment_intent="pi_2")).uncertain


def test_money_that_has_moved_is_looked_at_first(desk: Desk) -> None:
    assert not desk.enter(facts("tkt_1", payment_intent="pi_2")).uncertain
    desk.step()
    desk.clock.turn(hours=25)
    assert desk.enter(facts("tkt_2", payment_intent="pi_2")).uncertain
    desk.step()
    assert desk.paid == [usd("149.00"), usd("149.00")]
    assert desk.attempts(desk.refunds()[-1])[0].call == "refund"


@pytest.mark.parametrize("status", ["succeeded", "pending", "requires_action"])
def test_an_amount_changed_after_the_payment_is_noted_and_not_paid(desk: Desk, status: str) -> None:
    desk.fake.first_status = RefundStatus(status)
    desk.enter()
    desk.step()
    told = len(desk.told())
    for _ in range(2):
        desk.enter(facts(payment_intent="pi_2", amount="150.00"))
    desk.enter(facts(payment_intent="pi_2"), facts(amount=None))
    assert desk.told("note") == [
        (
            f"Refund {status}: refund_amount is now 150.00 USD; the refund is of 149.00 USD. The"
            " refund stands as it was paid. A further payment is made by hand."
            f" (Refund {desk.only().id})"
        )
    ]
    assert len(desk.told()) == told + 1
    assert desk.paid == [usd("149.00")]


def fail_at_the_processor(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.FAILED


def cancel_at_the_processor(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.CANCELED


def leave_it_unknown(desk: Desk) -> None:
    desk.fake.fail_next("stored_500")


@pytest.mark.parametrize(
    "happens", [fail_at_the_processor, cancel_at_the_processor, leave_it_unknown]
)
def test_a_ticket_set_to_refunded_again_is_told_that_only_a_person_goes_on(
    desk: Desk, happens: Callable[[Desk], None]
) -> None:
    happens(desk)
    desk.enter()
    desk.run(days=2)
    before = desk.only()
    assert before.reason is not None
    desk.enter()
    assert len(desk.told("note")) == len(desk.told("ticket")) == 1
    desk.deliver()
    desk.enter()
    assert len(desk.told("note")) == len(desk.told("ticket")) == 2
    assert desk.only() == before
    assert desk.told("note")[0] == desk.told("note")[1]
    assert desk.paid == []


def test_an_event_while_it_is_unknown_changes_nothing(desk: Desk) -> None:
    desk.fake.fail_next("lost_response")
    desk.enter()
    desk.step()
    before = desk.only()
    assert desk.enter() == before
    assert desk.messages() == []


def test_an_intake_has_defaults(desk: Desk) -> None:
    intake = Intake(Adapters.of(desk.fake))
    assert intake.limits.evidence == {"received_date": frozenset()}
    assert intake.evaluate(facts()).amount == usd("149.00")
