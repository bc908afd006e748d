"""Whether a failed call is made again, and when. tenacity waits and stops; we decide."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from dispatch_returns.client.hooks import Hooks, RequestInfo, RetryInfo
from dispatch_returns.client.protocol import Request
from dispatch_returns.errors import APIError, InvalidArgumentError

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState, Retrying

FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0
LONGEST_RETRY_AFTER = 60.0


class Decision(NamedTuple):
    """Whether to try again, and after how many seconds."""

    again: bool
    wait: float = 0.0


def decide(error: BaseException | None, attempt: int, chance: float) -> Decision:
    """Decide what follows from the `error` of attempt number `attempt`, counted from 1.

    Only an error that says it is ``retryable`` is tried again: no answer, 408, 429, 5xx. A
    ``Retry-After`` is kept to, up to a minute. Otherwise the longest wait doubles with each
    attempt, and `chance`, from 0 to 1, picks a point in the upper half of it, so that clients
    which failed together do not come back together.
    """
    if not isinstance(error, APIError) or not error.retryable:
        return Decision(again=False)
    if error.retry_after is not None:
        return Decision(again=True, wait=min(error.retry_after, LONGEST_RETRY_AFTER))
    longest = min(FIRST_WAIT * 2 ** (attempt - 1), LONGEST_WAIT)
    return Decision(again=True, wait=longest * (1 + chance) / 2)


class Failed:
    """The first attempt, which failed. tenacity learns of it by its being raised again.

    The first attempt of a call is made without tenacity: a call that succeeds then costs
    nothing more, and tenacity need not be imported before something fails.
    """

    def __init__(self, error: APIError) -> None:
        self._error: APIError | None = error

    def raise_once(self) -> None:
        """Raise the error, the first time."""
        error, self._error = self._error, None
        if error is not None:
            raise error


class Strategy:
    """Our decisions in the shape in which tenacity asks for them.

    The functions tenacity is given take the `Request` as the last argument.
    """

    def __init__(self, hooks: Hooks, max_retries: int, random: Callable[[], float]) -> None:
        if type(max_retries) is not int or max_retries < 0:
            raise InvalidArgumentError("max_retries", "must be a whole number, 0 or more")
        self._hooks = hooks
        self._max_retries = max_retries
        self._random = random

    def with_retries(self, max_retries: int) -> Strategy:
        """Return the same with another number of retries."""
        return Strategy(self._hooks, max_retries, self._random)

    def blocking(self, sleep: Callable[[float], None] | None) -> Retrying:
        """Return tenacity's loop for one call, whose first attempt has `Failed`."""
        from tenacity import Retrying

        return Retrying(**self._options(sleep))

    def asynchronous(self, sleep: Callable[[float], Awaitable[None]] | None) -> AsyncRetrying:
        """Return tenacity's loop for one async call, whose first attempt has `Failed`."""
        from tenacity import AsyncRetrying

        return AsyncRetrying(**self._options(sleep))

    def _options(self, sleep: Callable[[float], object] | None) -> dict[str, Any]:
        from tenacity import stop_after_attempt

        given = {"sleep": sleep} if sleep else {}
        return {
            "retry": self._retry,
            "wait": self._wait,
            "stop": stop_after_attempt(self._max_retries + 1),
            "before": self._before,
            "before_sleep": self._before_sleep,
            "reraise": True,
            **given,
        }

    def _retry(self, state: RetryCallState) -> bool:
        return decide(_error(state), state.attempt_number, 0.0).again

    def _wait(self, state: RetryCallState) -> float:
        return decide(_error(state), state.attempt_number, self._random()).wait

    def _before(self, state: RetryCallState) -> None:
        if state.attempt_number > 1:
            announce(self._hooks, _request(state), state.attempt_number)

    def _before_sleep(self, state: RetryCallState) -> None:
        error = _error(state)
        if self._hooks.retry is not None and isinstance(error, APIError):
            sent, wait = _request(state), state.upcoming_sleep
            self._hooks.retry(RetryInfo(sent.method, sent.path, state.attempt_number, wait, error))


def announce(hooks: Hooks, request: Request, attempt: int) -> None:
    """Tell the hook of an attempt that begins now."""
    if hooks.request is not None:
        hooks.request(RequestInfo(request.method, request.path, attempt, request.idempotency_key))


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


def _request(state: RetryCallState) -> Request:
    request = state.args[-1]
    assert isinstance(request, Request)
    return request
