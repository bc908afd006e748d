"""When a call is made: how long it waits for the rate limit, whether it is retried, and when.

Pure decisions. tenacity makes the attempts and waits between them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from tenacity import AsyncRetrying, RetryCallState, Retrying, stop_after_attempt

from dispatch_returns.client.hooks import Hooks, RequestInfo, RetryInfo
from dispatch_returns.client.protocol import ApiRequest
from dispatch_returns.errors import APIError

R = TypeVar("R", Retrying, AsyncRetrying)

FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0
LONGEST_RETRY_AFTER = 60.0
LONGEST_RATE_LIMIT_WAIT = 60.0
"""All in seconds. After the last of them the call is made, whatever the last answer said."""


class RetryDecision(NamedTuple):
    """Whether to retry, and after how many seconds."""

    again: bool
    wait: float = 0.0


def decide(error: BaseException | None, attempt: int, chance: float) -> RetryDecision:
    """Decide what follows from the `error` of attempt number `attempt`, counted from 1.

    Only an error that says it is ``retryable`` is retried: no answer, 408, 429, 5xx. A
    ``Retry-After`` is followed, up to a minute. Otherwise the longest wait doubles with each
    attempt, and `chance`, from 0 to 1, picks a point in the upper half of it, so that clients
    that failed together do not come back together.
    """
    if not isinstance(error, APIError) or not error.retryable:
        return RetryDecision(again=False)
    if error.retry_after is not None:
        return RetryDecision(again=True, wait=min(error.retry_after, LONGEST_RETRY_AFTER))
    longest = min(FIRST_WAIT * 2 ** (attempt - 1), LONGEST_WAIT)
    return RetryDecision(again=True, wait=longest * (1 + chance) / 2)


@dataclass(frozen=True, slots=True)
class Retries:
    """Our decisions about the attempts of one `request`, in the form that tenacity asks for."""

    request: ApiRequest
    hooks: Hooks
    max_retries: int
    random: Callable[[], float]

    def loop(self, kind: type[R], sleep: Callable[[float], Any]) -> R:
        """Return tenacity's loop over all attempts, the first one included."""
        return kind(
            sleep=sleep,
            retry=lambda state: decide(_error(state), state.attempt_number, 0.0).again,
            wait=lambda state: decide(_error(state), state.attempt_number, self.random()).wait,
            stop=stop_after_attempt(self.max_retries + 1),
            before=self._before,
            before_sleep=self._before_sleep,
            reraise=True,
        )

    def _before(self, state: RetryCallState) -> None:
        if self.hooks.request is not None:
            sent = self.request
            self.hooks.request(
                RequestInfo(sent.method, sent.path, state.attempt_number, sent.idempotency_key)
            )

    def _before_sleep(self, state: RetryCallState) -> None:
        error = _error(state)
        if self.hooks.retry is not None and isinstance(error, APIError):
            sent, wait = self.request, state.upcoming_sleep
            self.hooks.retry(RetryInfo(sent.method, sent.path, state.attempt_number, wait, error))


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What an answer said: ``remaining`` of ``limit`` calls are left until ``reset`` (UTC)."""

    limit: int
    remaining: int
    reset: datetime


def rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    """Return the rate limit that the headers of an answer state; None if they state none."""
    try:
        limit, remaining, reset = (
            int(headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset")
        )
        return RateLimit(limit, remaining, datetime.fromtimestamp(reset, UTC))
    except (KeyError, ValueError, OverflowError, OSError):
        return None


class Gate:
    """Counts the calls of all threads or tasks against what the last answers allowed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reset: datetime | None = None
        self._left = 0

    def note(self, limit: RateLimit | None) -> None:
        """Learn from an answer. Within one window, what is left only ever falls."""
        if limit is None:
            return
        with self._lock:
            same = limit.reset == self._reset
            self._left = min(self._left, limit.remaining) if same else limit.remaining
            self._reset = limit.reset

    def wait(self, now: datetime) -> float:
        """Count one call, and return the seconds it has to wait before it may be made."""
        with self._lock:
            if self._reset is None or self._reset <= now:
                return 0.0
            if self._left > 0:
                self._left -= 1
                return 0.0
            return min((self._reset - now).total_seconds(), LONGEST_RATE_LIMIT_WAIT)
