"""Several workers, slow ones and dead ones: one refund, and the row is the last claimer's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event
from typing import Any

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind, StoreUnavailableError
from dispatch_returns.refunds.adapter import RefundRequest
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store
from dispatch_returns.testing import FakeAdapter
from tests.support.desk import EMAIL, Clock, Desk, facts, usd

WAIT = 10.0


class Dies(BaseException):
    """A worker ends here, as by SIGKILL: nothing catches it."""


def die_at(desk: Desk, point: str, *, after: bool) -> None:
    """Let the next write of this name be the worker's last, before or after its commit."""
    write = desk.store.write

    def mortal(name: str, work: Callable[[Any], Any]) -> Any:
        if name != point:
            return write(name, work)
        desk.store.write = write  # type: ignore[method-assign]
        if after:
            write(name, work)
        raise Dies

    desk.store.write = mortal  # type: ignore[method-assign]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("point", ["refund.claim", "refund.sending", "refund.outcome"])
def test_a_worker_that_dies_leaves_one_refund(desk: Desk, point: str, after: bool) -> None:
    desk.enter()
    die_at(desk, point, after=after)
    with pytest.raises(Dies):
        desk.step()
    if after and point != "refund.outcome":
        assert desk.step() == 0, "its lease still runs"
    desk.run(minutes=4)
    assert (desk.only().state, desk.paid) == (State.SUCCEEDED, [usd("149.00")])
    assert set(desk.keys) <= {"g1"}
    assert len(desk.told("comment")) == 1


def test_a_dead_workers_call_is_looked_up_and_not_made_again(desk: Desk) -> None:
    desk.enter()
    die_at(desk, "refund.outcome", after=False)
    with pytest.raises(Dies):
        desk.step()
    assert (desk.only().state, desk.paid) == (State.SENDING, [usd("149.00")])
    desk.run(minutes=4)
    assert desk.keys == ["g1"]
    assert desk.calls() == ["find succeeded"]


def test_a_refusal_after_a_workers_death_proves_nothing_without_look_ups(desk: Desk) -> None:
    desk.fake.capabilities = replace(desk.fake.capabilities, lookup=False)
    desk.enter()
    die_at(desk, "refund.outcome", after=False)
    with pytest.raises(Dies):
        desk.step()
    sent = desk.only().first_sent_at
    desk.fake.fail_next(AdapterError(ErrorKind.DISPUTED, "said so"))
    desk.run(minutes=4)
    row = desk.only()
    assert (row.state, row.reason, row.uncertain) == (State.UNKNOWN, "outcome_unknown", True)
    assert row.first_sent_at == sent, "the key is as old as its first use"
    assert len(desk.paid) == 1


def test_a_dead_worker_of_a_processor_that_ignores_keys_leaves_it_to_a_person(
    store: Store,
) -> None:
    clock = Clock()
    fake = FakeAdapter({"pi_1": usd("149.00")}, key_lifetime=None, clock=clock)
    desk = Desk(store, fake, clock=clock)
    desk.enter()
    die_at(desk, "refund.sending", after=True)
    with pytest.raises(Dies):
        desk.step()
    desk.run(days=2)
    assert (desk.only().state, desk.only().reason) == (State.UNKNOWN, "outcome_unknown")
    assert desk.keys == []


class Slow:
    """Stops a worker inside its call to the processor."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch, *, before: bool) -> None:
        self.inside, self.go_on = Event(), Event()
        self._first = True
        self._before = before
        self._refund = desk.fake.refund
        monkeypatch.setattr(desk.fake, "refund", self)

    def __call__(self, request: RefundRequest) -> Any:
        if not self._first:
            return self._refund(request)
        self._first = False
        result = None if self._before else self._refund(request)
        self.inside.set()
        assert self.go_on.wait(WAIT)
        return result or self._refund(request)


@pytest.mark.parametrize("before", [True, False], ids=["before it is sent", "after it was made"])
def test_a_slow_worker_and_its_successor_make_one_refund(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, before: bool
) -> None:
    caplog.set_level(logging.INFO)
    slow = Slow(desk, monkeypatch, before=before)
    desk.enter()
    (claimed,) = desk.service.claim(1)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(desk.service.advance, claimed)
        assert slow.inside.wait(WAIT)
        desk.clock.turn(minutes=4)
        desk.step()
        settled = desk.only()
        slow.go_on.set()
        late.result(WAIT)
    assert settled.state is State.SUCCEEDED
    assert desk.only() == settled, "the slow one must not overwrite what its successor found"
    assert (desk.paid, set(desk.keys)) == ([usd("149.00")], {"g1"})
    assert len(desk.told("comment")) == 1
    assert f"refund {settled.id} was taken over by another worker" in caplog.messages


def test_a_slow_workers_error_does_not_undo_a_success(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(desk, monkeypatch, before=True)
    desk.enter()
    (claimed,) = desk.service.claim(1)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(desk.service.advance, claimed)
        assert slow.inside.wait(WAIT)
        desk.clock.turn(minutes=4)
        desk.step()
        desk.fake.fail_next(AdapterError(ErrorKind.DISPUTED, "said too late"))
        slow.go_on.set()
        late.result(WAIT)
    assert desk.only().state is State.SUCCEEDED
    assert desk.told("note") == []


def test_a_worker_that_was_asleep_when_its_lease_ended_does_not_send(desk: Desk) -> None:
    desk.enter()
    write = desk.store.write

    def wakes_up_a_day_later(name: str, work: Callable[[Any], Any]) -> Any:
        result = write(name, work)
        if name == "refund.sending":
            desk.store.write = write  # type: ignore[method-assign]
            desk.clock.turn(days=1, hours=1)
        return result

    desk.store.write = wakes_up_a_day_later  # type: ignore[method-assign]
    assert desk.step() == 1
    assert (desk.only().state, desk.fake.requests) == (State.SENDING, [])
    desk.run(days=2)
    assert desk.only().state is State.UNKNOWN
    assert desk.keys == []


def test_two_workers_that_claim_at_once_share_the_work(desk: Desk) -> None:
    for number in range(20):
        desk.fake.add_payment(f"pi_t{number}", usd("149.00"))
        desk.enter(facts(f"tkt_{number}", payment_intent=f"pi_t{number}"))
    together = Barrier(4)

    def work(_: int) -> int:
        together.wait(WAIT)
        done = 0
        while done < 99 and (claimed := desk.service.claim(3)):
            for refund in claimed:
                desk.service.advance(refund)
            done += len(claimed)
        return done

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 20
    assert len(desk.paid) == len(desk.fake.requests) == 20


def test_a_store_that_cannot_commit_the_outcome_leaves_it_to_be_looked_up(desk: Desk) -> None:
    desk.enter()
    write = desk.store.write

    def unavailable(name: str, work: Callable[[Any], Any]) -> Any:
        if name != "refund.outcome":
            return write(name, work)
        desk.store.write = write  # type: ignore[method-assign]
        raise StoreUnavailableError("the disk is full")

    desk.store.write = unavailable  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailableError):
        desk.step()
    desk.run(minutes=4)
    assert (desk.only().state, desk.keys) == (State.SUCCEEDED, ["g1"])


def test_a_claim_takes_what_is_due_for_a_lease(desk: Desk) -> None:
    desk.enter(facts("tkt_1"), facts("tkt_2", payment_intent="pi_2"))
    (first,) = desk.service.claim(1)
    assert first.due_at == desk.clock() + desk.schedule.lease
    assert len(desk.service.claim(9)) == 1
    assert desk.service.claim(9) == []


def test_logs_hold_ids_and_no_customers_data(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for kind in (ErrorKind.RATE_LIMITED, ErrorKind.UNKNOWN_OUTCOME, ErrorKind.DISPUTED):
        desk.fake.fail_next(AdapterError(kind, "for jane@example.com", code="a_code"))
    desk.enter()
    desk.run(days=1)
    assert any(f"refund {desk.only().id}: rate_limited (a_code)" == m for m in caplog.messages)
    text = "\n".join(caplog.messages)
    assert EMAIL not in text
    assert "pi_1" not in text
