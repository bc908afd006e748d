"""When things are done again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dispatch_returns.refunds.retry_schedule import RetrySchedule
from dispatch_returns.refunds.transitions import State

SECOND = timedelta(seconds=1)
SCHEDULE = RetrySchedule(
    first_retry=2 * SECOND,
    longest_retry=30 * SECOND,
    first_poll=3 * SECOND,
    longest_poll=40 * SECOND,
    follow_ups=(50 * SECOND, 60 * SECOND),
)


def test_retries_double_up_to_a_limit() -> None:
    waits = [SCHEDULE.retry_in(tries, None, 0.0) / SECOND for tries in range(6)]
    assert waits == [2, 4, 8, 16, 30, 30]
    assert SCHEDULE.retry_in(10**6, None, 0.0) == 30 * SECOND


def test_polls_double_up_to_a_limit() -> None:
    assert [SCHEDULE.poll_in(polls, 0.0) / SECOND for polls in range(6)] == [3, 6, 12, 24, 40, 40]


def test_jitter_takes_up_to_half_off() -> None:
    assert SCHEDULE.retry_in(1, None, 0.5) == 3 * SECOND
    assert SCHEDULE.poll_in(1, 1.0) == 3 * SECOND
    assert SCHEDULE.next_poll(State.PENDING, 1, 1.0) == 3 * SECOND


@pytest.mark.parametrize(
    ("asked", "wait"), [(-1.0, 1), (0.0, 1), (1.5, 1.5), (29.0, 29), (31.0, 30)]
)
def test_what_the_processor_asks_for_counts_within_bounds(asked: float, wait: float) -> None:
    assert SCHEDULE.retry_in(5, asked, 1.0) == wait * SECOND


@pytest.mark.parametrize("state", [State.PENDING, State.REQUIRES_ACTION])
def test_what_is_under_way_is_looked_at_for_ever(state: State) -> None:
    assert SCHEDULE.next_poll(state, 0, 0.0) == 3 * SECOND
    assert SCHEDULE.next_poll(state, 100, 0.0) == 40 * SECOND


def test_what_succeeded_is_looked_at_a_few_times_more() -> None:
    waits = [SCHEDULE.next_poll(State.SUCCEEDED, polls, 0.5) for polls in range(3)]
    assert waits == [50 * SECOND, 60 * SECOND, None]


@pytest.mark.parametrize(
    "state", sorted(set(State) - {State.PENDING, State.REQUIRES_ACTION, State.SUCCEEDED})
)
def test_everything_else_is_not_looked_at(state: State) -> None:
    assert SCHEDULE.next_poll(state, 0, 0.0) is None


def test_the_defaults() -> None:
    assert RetrySchedule() == RetrySchedule(
        lease=timedelta(minutes=3),
        first_retry=timedelta(seconds=5),
        longest_retry=timedelta(hours=1),
        patience=timedelta(days=1),
        first_poll=timedelta(minutes=5),
        longest_poll=timedelta(hours=6),
        follow_ups=tuple(timedelta(hours=hours) for hours in (1, 24, 144, 552)),
    )
