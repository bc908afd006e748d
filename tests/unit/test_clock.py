"""A wrong clock: fresh deliveries are not refused as replays, the probes say it, work goes on."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from dispatch_returns.clock import ClockWatch
from dispatch_returns.connector.clock_check import ClockCheck
from dispatch_returns.connector.health import Health
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.refunds.retry_schedule import RetrySchedule
from dispatch_returns.store import NewEvent, Store, inbox
from dispatch_returns.webhooks import sign
from dispatch_returns.webhooks.receiver import ProcessorReceiver, Receiver
from dispatch_returns.webhooks.signature import HEADER
from tests.support.stores import open_store

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
DAYS = timedelta(days=2)


class Machine:
    """A machine whose clock somebody may set, and its time since it was started."""

    def __init__(self) -> None:
        self.wall, self.ticks = NOW, 1000.0
        self.watch = ClockWatch(lambda: self.wall, lambda: self.ticks)

    def wait(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.ticks += seconds

    def hear(self, date: datetime) -> None:
        self.watch.note({"date": format_datetime(date, usegmt=True)})


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_clock_that_goes_on_is_right(machine: Machine) -> None:
    machine.wait(86_400)
    assert machine.watch.wrong_by() is None


def test_a_jump_is_seen_before_the_api_has_answered(machine: Machine) -> None:
    machine.wall += DAYS
    machine.wait(60)
    assert machine.watch.wrong_by() == DAYS


def test_the_apis_answer_counts_more_than_a_jump(machine: Machine) -> None:
    machine.wall += DAYS  # NTP has put it right
    machine.hear(NOW + DAYS)
    assert machine.watch.wrong_by() is None
    machine.wall -= DAYS
    assert machine.watch.wrong_by() == -DAYS


def test_a_clock_that_was_wrong_from_the_start_is_seen_with_the_first_answer(
    machine: Machine,
) -> None:
    machine.hear(NOW + timedelta(minutes=6))
    machine.wait(3600)
    assert machine.watch.wrong_by() == timedelta(minutes=-6)


@pytest.mark.parametrize("date", ["", "soon", "Thu, 15 Jan 2026 12:04:00 GMT"])
def test_an_answer_without_a_date_or_near_enough_changes_nothing(
    machine: Machine, date: str
) -> None:
    machine.watch.note({"date": date})
    assert machine.watch.wrong_by() is None


def delivered(store: Store, machine: Machine, at: datetime) -> int:
    """Deliver an event that was signed at `at`; return the answer's status."""
    receiver = Receiver(
        store, "whsec_1", clock=lambda: machine.wall, clock_wrong_by=machine.watch.wrong_by
    )
    body = json.dumps(
        {"id": "evt_1", "event": "x", "brand_id": "ws", "data": {}, "timestamp": at.isoformat()}
    ).encode()
    headers = {HEADER: sign(body, "whsec_1"), "content-length": str(len(body))}
    return receiver.receive("POST", headers, body).status


@pytest.mark.parametrize("step", [timedelta(days=9), -DAYS])
def test_while_the_clock_is_wrong_deliveries_are_asked_for_again_and_the_probes_say_it(
    tmp_path: Path, machine: Machine, step: timedelta
) -> None:
    with open_store(tmp_path) as store:
        machine.hear(NOW)
        machine.wall += step
        assert delivered(store, machine, NOW) == 503
        health = Health(store, frozenset, lambda: machine.wall, machine.watch.wrong_by)
        for report in (health.ready(), health.lag()):
            assert not report.ok
            assert report.document["clock_ahead_seconds"] == step.total_seconds()
        machine.hear(NOW + step)
        assert health.ready().ok
        assert delivered(store, machine, NOW + step) == 200


def test_with_a_right_clock_an_old_delivery_is_a_replay(tmp_path: Path, machine: Machine) -> None:
    with open_store(tmp_path) as store:
        machine.hear(NOW)
        assert delivered(store, machine, NOW - timedelta(days=8)) == 401


@pytest.mark.parametrize("put_off", [DAYS, timedelta(minutes=70)])
def test_work_that_a_wrong_clock_has_put_off_is_taken(
    tmp_path: Path, machine: Machine, put_off: timedelta
) -> None:
    new = NewEvent("dispatch", "evt_1", "x", "ws", None, b"{}", None)
    with open_store(tmp_path) as store:
        store.write("accept", lambda conn: inbox.add(conn, new, NOW + put_off))
        check = ClockCheck(
            store,
            None,  # type: ignore[arg-type]
            lambda: machine.wall,
            machine.watch.wrong_by,
            schedule=RetrySchedule(),
            monotonic=lambda: machine.ticks,
        )
        for found in check.claim(1):
            check.run(found)
        lease = timedelta(minutes=3)
        assert store.write("claim", lambda conn: inbox.claim(conn, machine.wall, lease, 9))
        machine.wait(61)
        assert check.claim(1) == [], "there is nothing more to bring forward"


@pytest.mark.parametrize(("secret", "answer"), [("whsec_1", 503), ("whsec_other", 401)])
def test_while_the_clock_is_wrong_stripes_deliveries_are_asked_for_again_and_forgeries_refused(
    tmp_path: Path, machine: Machine, secret: str, answer: int
) -> None:
    body = b'{"id": "evt_1", "type": "refund.updated", "created": 1, "data": {"object": {}}}'
    headers = stripe_signature(body, NOW, secret)
    machine.wall += DAYS
    adapter = StripeAdapter("sk_test_1", webhook_secrets="whsec_1", clock=lambda: machine.wall)
    with open_store(tmp_path) as store, contextlib.closing(adapter):
        receiver = ProcessorReceiver(
            store, adapter, clock=lambda: machine.wall, clock_wrong_by=machine.watch.wrong_by
        )
        assert receiver.receive("POST", headers, body).status == answer
        machine.hear(NOW + DAYS)  # the clock is right: the delivery is old
        assert receiver.receive("POST", headers, body).status == 401


def stripe_signature(body: bytes, at: datetime, secret: str) -> dict[str, str]:
    signed = f"{int(at.timestamp())}".encode() + b"." + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={int(at.timestamp())},v1={digest}"}
