"""When the processor is silent, refuses, or says what cannot be: no second payment, ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind, UnsupportedFeatureError
from dispatch_returns.refunds.adapter import RefundRequest, RefundResult, RefundStatus
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store
from dispatch_returns.testing import FakeAdapter
from tests.support.desk import NOW, Clock, Desk, facts, schedule, usd

AGAIN = [ErrorKind.NOT_SENT, ErrorKind.RATE_LIMITED, ErrorKind.AUTH]
SILENT = [ErrorKind.UNKNOWN_OUTCOME, ErrorKind.IN_PROGRESS]
REFUSED = [
    ErrorKind.EXCEEDS_REMAINING,
    ErrorKind.DISPUTED,
    ErrorKind.INSUFFICIENT_BALANCE,
    ErrorKind.NOT_REFUNDABLE,
    ErrorKind.NOT_FOUND,
    ErrorKind.CONFIG,
]
NOT_KNOWN = "It is not known whether this refund was paid."


def error(kind: ErrorKind, **given: Any) -> AdapterError:
    return AdapterError(kind, f"{kind} it said", **given)


def fail(desk: Desk, kind: ErrorKind, times: int = 1, call: Any = "refund") -> None:
    for _ in range(times):
        desk.fake.fail_next(error(kind), call=call)


def without_look_up(desk: Desk) -> None:
    desk.fake.capabilities = replace(desk.fake.capabilities, lookup=False)


def until_unknown(desk: Desk, fault: Any = "lost_response") -> None:
    """Enter a refund, and let the first call come to nothing certain."""
    desk.fake.fail_next(fault)
    desk.enter()
    desk.step()
    assert (desk.only().state, desk.only().uncertain) == (State.UNKNOWN, True)


def parked(desk: Desk) -> None:
    """It is unknown, a person was told once, and nothing goes on by itself."""
    row = desk.only()
    assert (row.state, row.reason, row.due_at) == (State.UNKNOWN, "outcome_unknown", None)
    assert row.uncertain
    (note,) = desk.told("note")
    assert NOT_KNOWN in note
    assert "--nothing-was-paid" in note
    assert len(desk.told("ticket")) == 1


# It was not carried out.


@pytest.mark.parametrize("kind", AGAIN)
def test_what_was_not_carried_out_is_sent_again_with_the_same_key(
    desk: Desk, kind: ErrorKind
) -> None:
    fail(desk, kind, times=3)
    desk.enter()
    waits = []
    for _ in range(3):
        desk.step()
        row = desk.only()
        assert (row.state, row.uncertain, row.reason) == (State.REQUESTED, False, None)
        assert row.detail == f"{kind} it said"
        assert row.due_at is not None
        waits.append((row.due_at - desk.clock.now).total_seconds())
        desk.clock.now = row.due_at
    assert waits == [5, 10, 20]
    desk.step()
    assert desk.only().state is State.SUCCEEDED
    assert desk.keys == ["g1"] * 4
    assert desk.told("note") == []


@pytest.mark.parametrize("kind", AGAIN)
def test_after_a_day_out_of_reach_a_person_is_told(desk: Desk, kind: ErrorKind) -> None:
    fail(desk, kind, times=1000)
    desk.enter()
    desk.run(hours=24)
    assert desk.only().state is State.REQUESTED
    desk.run(hours=2)
    row = desk.only()
    assert (row.state, row.reason, row.detail) == (State.HELD, "unreachable", f"{kind} it said")
    assert (row.due_at, row.sent_day) == (None, None)
    assert desk.calls()[-1] == f"refund {kind}"
    assert len(desk.told("note")) == 1
    assert desk.paid == []


def test_after_the_outage_the_retry_has_a_day_of_its_own(desk: Desk) -> None:
    fail(desk, ErrorKind.AUTH, times=1000)
    desk.enter()
    desk.run(hours=26)
    desk.retry(facts=facts())
    desk.run(hours=24)
    assert desk.only().state is State.REQUESTED
    desk.fake._faults["refund"].clear()
    desk.run(hours=2)
    assert desk.only().state is State.SUCCEEDED
    assert desk.paid == [usd("149.00")]


def test_the_processors_own_wait_is_kept_to(desk: Desk) -> None:
    desk.fake.fail_next(error(ErrorKind.RATE_LIMITED, retry_after=42.5))
    desk.enter()
    desk.step()
    assert desk.next_due() == NOW + timedelta(seconds=42.5)


@pytest.mark.parametrize(("asked", "seconds"), [(0, 1), (-5, 1), (10**6, 3600)])
def test_the_processors_own_wait_has_bounds(desk: Desk, asked: float, seconds: int) -> None:
    desk.fake.fail_next(error(ErrorKind.RATE_LIMITED, retry_after=asked))
    desk.enter()
    desk.step()
    assert desk.next_due() == NOW + timedelta(seconds=seconds)
    assert desk.step() == 0


def test_a_key_lives_from_when_it_may_have_been_used(desk: Desk) -> None:
    fail(desk, ErrorKind.NOT_SENT, times=1000)
    desk.enter()
    desk.run(hours=23.5)
    desk.fake._faults["refund"].clear()
    fail(desk, ErrorKind.UNKNOWN_OUTCOME, times=3)
    desk.run(hours=12)
    assert desk.only().state is State.SUCCEEDED
    assert set(desk.keys) == {"g1"}
    assert desk.told("note") == []


# It may have been carried out.


@pytest.mark.parametrize("fault", ["lost_response", "stored_500_but_paid"])
def test_a_refund_that_was_made_in_silence_is_found_and_not_made_again(
    desk: Desk, fault: str
) -> None:
    until_unknown(desk, fault)
    assert (desk.only().detail, desk.only().tries) in {
        ("the answer did not arrive", 1),
        ("the processor answered 500", 1),
    }
    assert desk.next_due() == NOW + timedelta(seconds=5)
    desk.run(seconds=5)
    row = desk.only()
    assert (row.state, row.processor_id, row.adopted) == (State.SUCCEEDED, "fake_1", False)
    assert (row.uncertain, row.detail) == (False, None)
    assert desk.calls() == ["refund unknown_outcome", "find succeeded"]
    assert desk.keys == ["g1"]
    assert len(desk.told("comment")) == 1


@pytest.mark.parametrize("kind", SILENT)
def test_a_silent_processor_is_asked_again_with_the_same_key(desk: Desk, kind: ErrorKind) -> None:
    fail(desk, kind, times=3)
    desk.enter()
    desk.run(minutes=1)
    assert desk.only().state is State.SUCCEEDED
    assert desk.keys == ["g1"] * 4
    assert desk.paid == [usd("149.00")]
    assert desk.told("note") == []


@pytest.mark.parametrize("fault", ["lost_response", "stored_500_but_paid"])
def test_without_look_ups_the_same_key_tells(desk: Desk, fault: Any) -> None:
    without_look_up(desk)
    until_unknown(desk, fault)
    desk.run(days=2)
    assert desk.paid == [usd("149.00")]
    assert set(desk.keys) == {"g1"}
    if fault == "lost_response":
        assert desk.only().state is State.SUCCEEDED
    else:
        parked(desk)


def test_a_call_that_is_made_again_is_written_down_before_as_the_first_was(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    until_unknown(desk, error(ErrorKind.UNKNOWN_OUTCOME))
    seen: list[Refund] = []
    refund = desk.fake.refund

    def look_and_refund(request: RefundRequest) -> RefundResult:
        seen.append(desk.only())
        return refund(request)

    monkeypatch.setattr(desk.fake, "refund", look_and_refund)
    desk.run(hours=1)
    (during,) = seen
    assert (during.state, during.first_sent_at) == (State.SENDING, NOW)
    assert during.due_at == during.updated_at + desk.schedule.lease
    assert desk.only().state is State.SUCCEEDED


def test_a_stored_500_of_nothing_is_never_answered_with_a_new_key(desk: Desk) -> None:
    until_unknown(desk, "stored_500")
    desk.run(hours=22, minutes=59)
    assert desk.only().state is State.UNKNOWN
    assert desk.only().due_at is not None
    desk.run(days=30)
    parked(desk)
    assert set(desk.keys) == {"g1"}
    assert desk.paid == []
    assert desk.only().detail == NOT_KNOWN
    assert desk.calls()[-1] == "find none"


@pytest.mark.parametrize(("age", "used"), [(timedelta(hours=23), 1), (timedelta(hours=22.99), 2)])
def test_a_key_near_its_end_is_not_used(desk: Desk, age: timedelta, used: int) -> None:
    until_unknown(desk, "stored_500")
    desk.clock.now = NOW + age
    desk.step()
    assert len(desk.keys) == used
    if used == 1:
        parked(desk)


def test_a_processor_that_ignores_keys_is_never_asked_twice(store: Store) -> None:
    clock = Clock()
    fake = FakeAdapter({"pi_1": usd("149.00")}, key_lifetime=None, clock=clock)
    desk = Desk(store, fake, clock=clock)
    until_unknown(desk, error(ErrorKind.UNKNOWN_OUTCOME))
    desk.run(days=2)
    parked(desk)
    assert len(desk.keys) == 1


def test_a_lost_response_of_a_processor_that_ignores_keys_is_found(store: Store) -> None:
    clock = Clock()
    fake = FakeAdapter({"pi_1": usd("500.00")}, key_lifetime=None, clock=clock)
    desk = Desk(store, fake, clock=clock)
    until_unknown(desk)
    desk.run(days=2)
    assert desk.only().state is State.SUCCEEDED
    assert desk.paid == [usd("149.00")]


@pytest.mark.parametrize("kind", [*AGAIN, *SILENT])
def test_while_it_is_uncertain_not_carried_out_is_said_of_the_last_call_only(
    desk: Desk, kind: ErrorKind
) -> None:
    without_look_up(desk)
    until_unknown(desk)
    fail(desk, kind, times=2)
    desk.run(seconds=16)
    assert (desk.only().state, desk.only().uncertain) == (State.UNKNOWN, True)
    desk.run(hours=1)
    assert desk.only().state is State.SUCCEEDED
    assert desk.paid == [usd("149.00")]


@pytest.mark.parametrize("kind", [*REFUSED, ErrorKind.ALREADY_REFUNDED])
def test_a_refusal_that_may_be_the_echo_of_our_own_success_is_looked_up(
    desk: Desk, kind: ErrorKind
) -> None:
    until_unknown(desk)
    hidden = desk.fake._made.copy()
    desk.fake._made.clear()
    fail(desk, kind)
    refund = desk.fake.refund

    def then_it_shows(request: Any) -> Any:
        desk.fake._made.update(hidden)
        return refund(request)

    desk.fake.refund = then_it_shows  # type: ignore[method-assign]
    desk.run(minutes=1)
    assert desk.only().state is State.SUCCEEDED
    assert desk.calls() == ["refund unknown_outcome", "find succeeded"]


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refusal_after_silence_counts_when_nothing_is_found(desk: Desk, kind: ErrorKind) -> None:
    until_unknown(desk, error(ErrorKind.UNKNOWN_OUTCOME))
    fail(desk, kind)
    desk.run(minutes=1)
    assert desk.only().state is State.HELD
    assert desk.only().uncertain is False
    assert desk.told("note")[0].startswith(f"Refund held: {kind} it said")


@pytest.mark.parametrize("kind", [*REFUSED, ErrorKind.ALREADY_REFUNDED])
def test_without_look_ups_a_refusal_after_silence_proves_nothing(
    desk: Desk, kind: ErrorKind
) -> None:
    without_look_up(desk)
    until_unknown(desk)
    fail(desk, kind)
    desk.run(days=2)
    parked(desk)
    assert desk.only().detail == f"{NOT_KNOWN} {kind} it said"
    assert desk.calls()[-1] == f"refund {kind}"


def test_an_unsupported_request_after_silence_proves_nothing(desk: Desk) -> None:
    without_look_up(desk)
    until_unknown(desk)
    desk.fake.fail_next(UnsupportedFeatureError("there are no words for it"))
    desk.run(days=2)
    parked(desk)
    assert desk.calls()[-1] == "refund config"


@pytest.mark.parametrize("kind", [*AGAIN, *SILENT])
def test_a_look_up_that_fails_is_repeated_and_decides_nothing(desk: Desk, kind: ErrorKind) -> None:
    until_unknown(desk)
    fail(desk, kind, times=3, call="find")
    desk.run(seconds=5)
    assert (desk.only().state, desk.only().uncertain) == (State.UNKNOWN, True)
    assert (desk.only().detail, desk.only().tries) == (f"{kind} it said", 2)
    desk.run(hours=1)
    assert desk.only().state is State.SUCCEEDED
    assert desk.calls() == ["refund unknown_outcome", *[f"find {kind}"] * 3, "find succeeded"]
    assert desk.keys == ["g1"]


def test_a_person_is_told_once_when_look_ups_fail_for_a_day(desk: Desk) -> None:
    until_unknown(desk)
    fail(desk, ErrorKind.AUTH, times=1000, call="find")
    desk.run(hours=24)
    assert desk.told("note") == []
    desk.run(hours=2)
    row = desk.only()
    assert (row.state, row.reason, row.detail) == (
        State.UNKNOWN,
        "outcome_unknown",
        "auth it said",
    )
    desk.deliver()
    desk.run(days=2)
    assert len(desk.told("note")) == len(desk.told("ticket")) == 1
    assert desk.only().due_at is not None
    desk.fake._faults["find"].clear()
    desk.run(hours=2)
    assert (desk.only().state, desk.only().reason) == (State.SUCCEEDED, None)
    assert desk.keys == ["g1"]


@pytest.mark.parametrize("kind", [*REFUSED, ErrorKind.KEY_CONFLICT, ErrorKind.ALREADY_REFUNDED])
def test_a_look_up_that_is_refused_is_shown_to_a_person(desk: Desk, kind: ErrorKind) -> None:
    until_unknown(desk)
    fail(desk, kind, call="find")
    desk.run(days=2)
    parked(desk)
    assert desk.only().detail == f"{NOT_KNOWN} {kind} it said"
    assert desk.calls()[-1] == f"find {kind}"


# The processor refused.


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refusal_is_held_with_the_processors_words(desk: Desk, kind: ErrorKind) -> None:
    fail(desk, kind)
    desk.enter()
    desk.run(days=2)
    row = desk.only()
    reason = "rejected" if kind is ErrorKind.CONFIG else str(kind)
    assert (row.state, row.reason, row.detail) == (State.HELD, reason, f"{kind} it said")
    assert (row.due_at, row.uncertain, row.sent_day) == (None, False, None)
    assert desk.calls() == [f"refund {kind}"]
    (note,) = desk.told("note")
    assert note.startswith(f"Refund held: {kind} it said ")
    assert len(desk.told("ticket")) == 1
    assert desk.told("comment") == []
    assert desk.keys == ["g1"]


# The processor says that it is refunded already.


def test_our_own_refund_is_adopted_when_nothing_is_left(desk: Desk) -> None:
    """As after a restored backup: the processor has it, the ledger does not."""
    desk.enter()
    desk.step()
    forget(desk)
    desk.clock.turn(days=2)
    desk.enter()
    desk.run(minutes=1)
    row = desk.only()
    assert (row.state, row.processor_id, row.adopted) == (State.SUCCEEDED, "fake_1", False)
    assert desk.calls() == ["find succeeded"]
    assert desk.paid == [usd("149.00")]


def test_somebody_elses_refund_is_adopted_and_nothing_is_paid(desk: Desk) -> None:
    desk.fake.refund_externally("pi_1", usd("149.00"))
    desk.enter()
    desk.run(days=60)
    row = desk.only()
    assert (row.state, row.processor_id, row.adopted) == (State.SUCCEEDED, "fake_1", True)
    assert row.due_at is None
    assert desk.paid == [usd("149.00")]
    assert desk.told() == [
        (
            "This payment had been refunded already, by fake_1, which was not made from this"
            f" ticket. Nothing more was paid. (Refund {row.id})"
        )
    ]
    assert desk.calls() == []
    assert len(desk.told("ticket")) == 1


def test_already_refunded_by_nobody_that_can_be_found_is_held(desk: Desk) -> None:
    fail(desk, ErrorKind.ALREADY_REFUNDED)
    desk.enter()
    desk.run(days=2)
    assert (desk.only().state, desk.only().reason) == (State.HELD, "already_refunded")
    assert desk.paid == []


def test_already_refunded_without_look_ups_proves_nothing(desk: Desk) -> None:
    without_look_up(desk)
    fail(desk, ErrorKind.ALREADY_REFUNDED)
    desk.enter()
    desk.run(days=2)
    parked(desk)


def test_when_that_look_up_fails_it_is_repeated(desk: Desk) -> None:
    fail(desk, ErrorKind.ALREADY_REFUNDED)
    fail(desk, ErrorKind.UNKNOWN_OUTCOME, call="find")
    desk.enter()
    desk.step()
    assert desk.only().state is State.UNKNOWN
    assert desk.calls() == ["find unknown_outcome"]
    desk.run(minutes=1)
    assert desk.only().state is State.SUCCEEDED
    assert desk.paid == [usd("149.00")]


def test_somebody_else_took_the_rest_while_we_did_not_know(desk: Desk) -> None:
    until_unknown(desk, error(ErrorKind.UNKNOWN_OUTCOME))
    desk.fake.refund_externally("pi_1", usd("149.00"))
    desk.run(days=2)
    assert (desk.only().state, desk.only().adopted) == (State.SUCCEEDED, True)
    assert desk.paid == [usd("149.00")]


def test_somebody_else_took_the_rest_and_our_key_is_dead(desk: Desk) -> None:
    until_unknown(desk, error(ErrorKind.UNKNOWN_OUTCOME))
    desk.clock.turn(days=2)
    desk.fake.refund_externally("pi_1", usd("149.00"))
    desk.run(minutes=1)
    assert (desk.only().state, desk.only().adopted) == (State.SUCCEEDED, True)
    assert desk.keys == ["g1"]


def test_somebody_elses_refund_of_a_part_does_not_stand_for_ours(desk: Desk) -> None:
    desk.fake.refund_externally("pi_2", usd("100.00"))
    desk.enter(facts(payment_intent="pi_2"))
    desk.run(minutes=1)
    assert (desk.only().state, desk.only().reason) == (State.HELD, "refunded_elsewhere")
    assert desk.paid == [usd("100.00")]


def test_an_excess_that_somebody_else_caused_is_not_adopted(desk: Desk) -> None:
    until_unknown(desk, error(ErrorKind.UNKNOWN_OUTCOME))
    desk.fake.refund_externally("pi_1", usd("149.00"))
    fail(desk, ErrorKind.EXCEEDS_REMAINING)
    desk.run(days=2)
    assert (desk.only().state, desk.only().reason) == (State.HELD, "exceeds_remaining")


def test_more_than_what_is_left_is_held(desk: Desk) -> None:
    desk.enter()
    desk.fake.refund_externally("pi_1", usd("1.00"))
    desk.run(days=2)
    assert (desk.only().state, desk.only().reason) == (State.HELD, "exceeds_remaining")
    assert desk.paid == [usd("1.00")]


def test_a_payment_disputed_meanwhile_is_held(desk: Desk) -> None:
    desk.enter()
    desk.fake.dispute("pi_1")
    desk.run(days=2)
    assert (desk.only().state, desk.only().reason) == (State.HELD, "disputed")


# The key was used for something else.


def test_a_key_used_for_something_else_is_looked_up(desk: Desk) -> None:
    fail(desk, ErrorKind.KEY_CONFLICT)
    desk.enter()
    desk.run(days=2)
    parked(desk)
    assert desk.only().detail == f"{NOT_KNOWN} key_conflict it said"
    assert desk.paid == []


def test_a_key_conflict_that_is_our_own_refund_is_adopted(desk: Desk) -> None:
    desk.enter()
    desk.step()
    desk.store.write(
        "rewind",
        lambda conn: conn.exec_driver_sql(
            "UPDATE ledger SET state = 'requested', processor_id = NULL, due_at = created_at"
        ),
    )
    fail(desk, ErrorKind.KEY_CONFLICT)
    desk.run(minutes=1)
    assert desk.only().state is State.SUCCEEDED
    assert desk.paid == [usd("149.00")]


# The store forgot.


def forget(desk: Desk) -> None:
    """Take the ledger away, as a restored backup does."""

    def empty(conn: Any) -> None:
        conn.exec_driver_sql("DROP TRIGGER attempts_no_delete")
        for table in ("attempts", "outbox", "ledger"):
            conn.exec_driver_sql(f"DELETE FROM {table}")

    desk.store.write("forget", empty)


@pytest.mark.parametrize("status", [RefundStatus.SUCCEEDED, RefundStatus.PENDING])
def test_a_restored_backup_pays_nothing_twice(desk: Desk, status: RefundStatus) -> None:
    desk.fake.first_status = status
    desk.enter(facts(payment_intent="pi_2"))
    desk.step()
    forget(desk)
    desk.clock.turn(days=2)
    assert desk.enter(facts(payment_intent="pi_2")).uncertain
    desk.run(days=2)
    assert desk.only().state.value == status
    assert desk.paid == [usd("149.00")]


def test_a_restored_backup_pays_nothing_twice_without_look_ups(desk: Desk) -> None:
    without_look_up(desk)
    desk.enter(facts(payment_intent="pi_2"))
    desk.step()
    forget(desk)
    desk.clock.turn(days=2)
    desk.enter(facts(payment_intent="pi_2"))
    desk.run(days=2)
    parked(desk)
    assert desk.paid == [usd("149.00")]


def test_what_was_refunded_may_be_unknown_too(desk: Desk) -> None:
    desk.cannot_tell()
    desk.enter(facts(payment_intent="pi_2"))
    desk.step()
    forget(desk)
    desk.clock.turn(days=2)
    desk.enter(facts(payment_intent="pi_2"))
    desk.run(days=2)
    assert desk.only().state is State.SUCCEEDED
    assert desk.paid == [usd("149.00")]


def test_a_processor_that_can_tell_nothing_is_simply_asked(desk: Desk) -> None:
    desk.cannot_tell()
    without_look_up(desk)
    assert not desk.enter().uncertain
    desk.step()
    assert desk.only().state is State.SUCCEEDED


def test_a_first_look_that_fails_leaves_the_refund_unsent_and_waiting(desk: Desk) -> None:
    desk.cannot_tell()
    fail(desk, ErrorKind.NOT_SENT, call="find")
    desk.enter(facts(payment_intent="pi_2"))
    desk.step()
    row = desk.only()
    assert (row.state, row.first_sent_at, row.reason) == (State.REQUESTED, None, None)
    desk.run(minutes=1)
    assert desk.only().state is State.SUCCEEDED
    assert desk.only().first_sent_at == NOW + timedelta(seconds=5)


def test_patience_is_kept_to_the_second(store: Store) -> None:
    desk = Desk(store, schedule=schedule(patience=timedelta(seconds=5)))
    fail(desk, ErrorKind.NOT_SENT, times=100)
    desk.enter()
    desk.run(seconds=5)
    assert (desk.only().state, len(desk.keys)) == (State.REQUESTED, 2)
    desk.run(seconds=10)
    assert (desk.only().reason, len(desk.keys)) == ("unreachable", 3)


def test_patience_with_an_unknown_outcome_is_kept_to_the_second(store: Store) -> None:
    desk = Desk(store, schedule=schedule(patience=timedelta(seconds=5)))
    fail(desk, ErrorKind.AUTH, times=100, call="find")
    until_unknown(desk)
    desk.run(seconds=5)
    assert desk.told("note") == []
    desk.run(seconds=10)
    assert len(desk.told("note")) == 1
    assert desk.keys == ["g1"]
