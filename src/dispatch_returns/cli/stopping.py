"""How what runs for long is told to stop, and what that means for the exit code."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from types import FrameType

INTERRUPTED = 130


@dataclass(slots=True)
class Stop:
    """Set by Ctrl-C and by SIGTERM (what systemd, Docker and Kubernetes send)."""

    code: int = 0
    _told: threading.Event = field(default_factory=threading.Event)

    def tell(self, code: int = 0) -> None:
        """Say that it is time to stop."""
        self.code = code
        self._told.set()

    def wait(self) -> None:
        """Return when it is time to stop."""
        self._told.wait()


@contextlib.contextmanager
def stop_signals() -> Generator[Stop]:
    """Give a `Stop` for as long as the block lasts.

    A second signal ends the process at once, however much is still to be finished.
    """
    stop = Stop()

    def tell(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.tell(INTERRUPTED if number == signal.SIGINT else 0)

    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
