"""A Celery app with one item of work, which never returns."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import Celery

from dispatch_returns.connector.celery import install
from dispatch_returns.connector.workers import Queue

CONFIGURATION = "HANGING_APP_CONFIGURATION"
STARTED = "HANGING_APP_STARTED"
"""The file that the item makes when a worker runs it."""


class HangingWork:
    """What Celery's workers are given instead of a connector."""

    def __init__(self, started: Path) -> None:
        self._started = started
        self.queues = (Queue("refunds", self._claim, self._hang),)

    def wake_also(self, wake: Callable[[], None], /) -> None:
        """Take no notice: the sweep finds the item."""

    def _claim(self, limit: int) -> list[str]:
        return [] if self._started.exists() else ["the only item"][:limit]

    def _hang(self, _item: Any) -> None:
        self._started.touch()
        threading.Event().wait()


if CONFIGURATION in os.environ:
    app = Celery("hanging")
    app.conf.update(json.loads(os.environ[CONFIGURATION]))
    install(app, HangingWork(Path(os.environ[STARTED])), sweep_every=0.5)
