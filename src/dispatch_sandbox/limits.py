"""The API's rate limit: a number of calls in each window of a minute."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

WINDOW = 60


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left after one call: ``reset`` is in unix seconds, ``wait`` in seconds from now."""

    limit: int
    remaining: int
    reset: int
    wait: int
    exceeded: bool


class RateLimit:
    """Counts calls in fixed windows; safe to use from any thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._ends = 0
        self._used = 0

    def take(self) -> Allowance:
        """Count one call."""
        with self._lock:
            now = int(time.time())
            if now >= self._ends:
                self._ends = now + WINDOW
                self._used = 0
            self._used += 1
            return Allowance(
                limit=self._limit,
                remaining=max(0, self._limit - self._used),
                reset=self._ends,
                wait=self._ends - now,
                exceeded=self._used > self._limit,
            )
