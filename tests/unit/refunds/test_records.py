"""What is written down of a call, for the person who must find out later what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind, UnsupportedFeatureError
from dispatch_returns.refunds.adapter import RefundResult, RefundStatus
from dispatch_returns.refunds.transitions import RefundAction
from dispatch_returns.testing import FakeAdapter
from tests.support.desk import Desk, usd


class OtherAdapter(FakeAdapter):
    """Another processor: its service leaves the refunds of the first one alone."""

    name = "other"


REFUSAL = AdapterError(
    ErrorKind.EXCEEDS_REMAINING, "too much", code="amount_too_large", request_id="req_9"
)


def test_a_refusal_is_kept_with_the_processors_own_words(desk: Desk) -> None:
    desk.fake.fail_next(REFUSAL)
    desk.enter()
    desk.step()
    last = desk.attempts()[-1]
    assert (last.call, last.outcome, last.message) == ("refund", "exceeds_remaining", "too much")
    assert (last.code, last.request_id) == ("amount_too_large", "req_9")


def test_a_refusal_that_a_look_confirms_is_kept_with_them_too(desk: Desk) -> None:
    desk.fake.fail_next(AdapterError(ErrorKind.ALREADY_REFUNDED, "gone", request_id="req_7"))
    desk.enter()
    desk.step()
    last = desk.attempts()[-1]
    assert (last.call, last.outcome, last.message) == ("refund", "already_refunded", "gone")
    assert last.request_id == "req_7"
    assert (desk.only().state, desk.only().reason) == ("held", "already_refunded")


def test_what_the_processor_has_no_words_for_is_kept_with_ours(desk: Desk) -> None:
    desk.fake.fail_next(UnsupportedFeatureError("there are no words for it"))
    desk.enter()
    desk.step()
    last = desk.attempts()[-1]
    assert (last.outcome, last.message) == ("unsupported", "there are no words for it")


def test_after_silence_they_are_kept_too(desk: Desk) -> None:
    desk.fake.capabilities = replace(desk.fake.capabilities, lookup=False)
    desk.fake.fail_next("lost_response")
    desk.fake.fail_next(UnsupportedFeatureError("there are no words for it"))
    desk.enter()
    desk.run(minutes=1)
    last = desk.attempts()[-1]
    assert (last.outcome, last.message) == ("config", "there are no words for it")


def test_a_poll_that_fails_is_logged_with_ids_and_kinds_alone(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.fake.first_status = RefundStatus.PENDING
    refund = desk.enter()
    desk.step()
    desk.fake.fail_next(
        AdapterError(ErrorKind.RATE_LIMITED, "slow down, jane@example.com", code="rate_limit"),
        call="find",
    )
    desk.run(minutes=6)
    assert f"refund {refund.id}: rate_limited (rate_limit)" in caplog.messages


@pytest.mark.parametrize("poll_fails", [True, False])
def test_putting_off_has_the_name_that_the_crash_test_knows(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, poll_fails: bool
) -> None:
    desk.fake.first_status = RefundStatus.PENDING
    desk.enter()
    desk.step()
    if poll_fails:
        desk.fake.fail_next(AdapterError(ErrorKind.NOT_SENT, "gone"), call="find")
    else:
        desk.restart(adapters=OtherAdapter({}))
    names: list[str] = []
    write = desk.store.write

    def watched(name: str, work: Callable[[Any], Any]) -> Any:
        names.append(name)
        return write(name, work)

    monkeypatch.setattr(desk.store, "write", watched)
    desk.clock.turn(minutes=6)
    desk.step()
    assert names == ["refund.claim", "refund.postpone"]


def test_what_the_processor_says_is_kept_with_its_reason_and_its_request(desk: Desk) -> None:
    desk.enter()
    desk.step()
    row = desk.only()
    news = RefundResult(
        "fake_1", RefundStatus.FAILED, usd("149.00"), failure_reason="declined", request_id="req_5"
    )
    desk.store.write(
        "news", lambda conn: desk.service.recorder.apply(conn, row, news, by=RefundAction.REPORT)
    )
    last = desk.attempts()[-1]
    assert (last.call, last.outcome, last.processor_id) == ("event", "failed", "fake_1")
    assert (last.code, last.request_id) == ("declined", "req_5")


def pay(_desk: Desk) -> None:
    """Let the processor do as it is asked."""


def refuse(desk: Desk) -> None:
    desk.fake.fail_next(REFUSAL)


def say_nothing(desk: Desk) -> None:
    desk.fake.fail_next(AdapterError(ErrorKind.UNKNOWN_OUTCOME, "no answer"))


def be_out_of_reach(desk: Desk) -> None:
    desk.fake.fail_next(AdapterError(ErrorKind.NOT_SENT, "no connection"))


def contradict(desk: Desk) -> None:
    desk.fake.fail_next(AdapterError(ErrorKind.KEY_CONFLICT, "used before"))


@pytest.mark.parametrize("answer", [pay, refuse, say_nothing, be_out_of_reach, contradict])
def test_what_comes_of_a_call_has_the_name_that_the_crash_test_knows(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, answer: Callable[[Desk], None]
) -> None:
    answer(desk)
    desk.enter()
    names: list[str] = []
    write = desk.store.write

    def watched(name: str, work: Callable[[Any], Any]) -> Any:
        names.append(name)
        return write(name, work)

    monkeypatch.setattr(desk.store, "write", watched)
    desk.step()
    assert names == ["refund.claim", "refund.sending", "refund.outcome"]
