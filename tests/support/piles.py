"""Work for a runner's tests: what several workers take at once, and what lasts until let go."""

from __future__ import annotations

import threading
from typing import Any

from dispatch_returns.connector.workers import Queue

SOON = 10.0


class Pile:
    """Work that several threads take at once."""

    def __init__(self, *items: Any) -> None:
        self._lock = threading.Lock()
        self.items = list(items)
        self.done: list[Any] = []
        self.claims: list[int] = []
        self.busy = 0
        self.most_busy = 0

    def claim(self, limit: int) -> list[Any]:
        with self._lock:
            self.claims.append(limit)
            taken, self.items = self.items[:limit], self.items[limit:]
            return taken

    def run(self, item: Any) -> None:
        with self._lock:
            self.busy += 1
            self.most_busy = max(self.busy, self.most_busy)
        try:
            if callable(item):
                item()
        finally:
            with self._lock:
                self.busy -= 1
        self.done.append(item)

    def queue(self) -> Queue[Any]:
        return Queue("pile", self.claim, self.run)


class Blocker:
    """Work that lasts until it is let go."""

    def __init__(self) -> None:
        self.inside, self.go_on = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.inside.set()
        assert self.go_on.wait(SOON)
