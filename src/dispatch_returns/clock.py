"""The clock, which callers pass as an argument so that tests can set it, and a check of it.

A wrong clock makes fresh deliveries look like replays.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

Clock = Callable[[], datetime]
"""Returns the current time, in UTC."""

WRONG = timedelta(minutes=5)
"""A clock that is off by more than this counts as wrong."""
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", None)


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def since_boot() -> float:
    """Return the seconds of a clock that cannot be set, and that runs while a machine sleeps."""
    return time.monotonic() if _SINCE_BOOT is None else time.clock_gettime(_SINCE_BOOT)


class ClockWatch:
    """Measures a clock against the ``Date`` of the API's latest answer.

    Until there is an answer, it measures against a clock that cannot be set. Safe to use from many
    threads.
    """

    def __init__(self, clock: Clock, monotonic: Callable[[], float] = since_boot) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._known = clock(), monotonic()
        self._heard: tuple[Mapping[str, str], float] | None = None

    def note(self, headers: Mapping[str, str]) -> None:
        """Remember the headers of an answer that arrived just now."""
        self._heard = headers, self._monotonic()

    def wrong_by(self) -> timedelta | None:
        """Return how far the clock is ahead (below 0: behind), or None where it is right."""
        heard, self._heard = self._heard, None
        if heard is not None:
            with contextlib.suppress(TypeError, ValueError):  # no date, or not one that we can read
                date = parsedate_to_datetime(heard[0].get("date") or "")
                self._known = date if date.tzinfo else date.replace(tzinfo=UTC), heard[1]
        then, at = self._known
        ahead = self._clock() - (then + timedelta(seconds=self._monotonic() - at))
        return ahead if abs(ahead) > WRONG else None


def never_wrong() -> timedelta | None:
    """Return None: the caller that passes a clock, such as a test, is responsible for it."""
    return None
