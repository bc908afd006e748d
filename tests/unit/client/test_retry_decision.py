"""The decision to try again is a value: no clock, no chance of its own, no sleep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_returns import errors
from dispatch_returns.client.retry import RetryDecision, decide

LOST = errors.APIConnectionError("lost", retryable=True)
attempts = st.integers(1, 50)
chances = st.floats(0, 1)


def limited(retry_after: float | None) -> errors.RateLimitError:
    return errors.RateLimitError("no", status_code=429, retryable=True, retry_after=retry_after)


@pytest.mark.parametrize(
    "error",
    [
        None,
        KeyboardInterrupt(),
        ValueError(),
        errors.APIConnectionError("cannot be sent"),
        errors.NotFoundError("no", status_code=404),
        errors.APIResponseError("not JSON"),
        errors.InvalidArgumentError("limit", "is wrong"),
    ],
)
def test_what_does_not_call_itself_passing_is_final(error: BaseException | None) -> None:
    assert decide(error, 1, 0.5) == RetryDecision(again=False)


@given(attempts, chances)
def test_a_wait_is_in_the_upper_half_of_a_doubling_time(attempt: int, chance: float) -> None:
    longest = min(0.5 * 2 ** (attempt - 1), 8.0)
    again, wait = decide(LOST, attempt, chance)
    assert again
    assert longest / 2 <= wait <= longest


@given(attempts, chances, st.floats(0, 1e9))
def test_retry_after_is_kept_to_up_to_a_minute(attempt: int, chance: float, seconds: float) -> None:
    assert decide(limited(seconds), attempt, chance) == RetryDecision(
        again=True, wait=min(seconds, 60)
    )


def test_clients_that_failed_together_come_back_apart() -> None:
    assert len({decide(limited(None), 3, chance / 10).wait for chance in range(11)}) == 11
