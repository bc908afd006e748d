"""What a program can observe. None of it contains the key, a header, a query or a body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dispatch_returns.errors import APIError


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A request about to be sent. `attempt` counts from 1; a retry is the next one."""

    method: str
    path: str
    attempt: int
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class ResponseInfo:
    """An answer that arrived, good or bad, after `seconds`."""

    method: str
    path: str
    status_code: int
    request_id: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class RetryInfo:
    """Attempt number `attempt` failed with `error`; the next one begins in `wait` seconds."""

    method: str
    path: str
    attempt: int
    wait: float
    error: APIError


@dataclass(frozen=True, slots=True)
class Hooks:
    """Functions to call at each request, response and retry, in the thread of the call.

    They are plain functions for the async client too. An exception from one reaches the caller.
    """

    request: Callable[[RequestInfo], None] | None = None
    response: Callable[[ResponseInfo], None] | None = None
    retry: Callable[[RetryInfo], None] | None = None
