"""The API's rate limit, as its answers tell it, and keeping within it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

LONGEST_WAIT = 60.0
"""Seconds that are waited at the most before a call: after them it is tried, come what may."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What an answer said: ``remaining`` of ``limit`` calls are left until ``reset`` (UTC)."""

    limit: int
    remaining: int
    reset: datetime


def read(headers: Mapping[str, str]) -> RateLimit | None:
    """Return what the headers say; None where they do not, or not in numbers."""
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
            return min((self._reset - now).total_seconds(), LONGEST_WAIT)
