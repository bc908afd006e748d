"""A worker that is stopped ends in time, whatever hangs in it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.support import brokers, celery_worker
from tests.support.hanging_celery_app import CONFIGURATION, STARTED
from tests.support.waiting import wait_until

STOPS_WITHIN = 60.0
"""Seconds: a turn's 5, the 30 that Celery may wait for a lost result, and a busy machine. It took 6
here."""


@pytest.mark.parametrize("name", ["redis", pytest.param("rabbitmq", marks=pytest.mark.long)])
def test_a_worker_with_a_call_that_never_returns_stops(name: str, tmp_path: Path) -> None:
    started = tmp_path / "started"
    with brokers.new_queue(name) as conf:
        environment = {CONFIGURATION: json.dumps(conf), STARTED: str(started)}
        app = "tests.support.hanging_celery_app"
        with celery_worker.worker(app, tmp_path, environment, processes=1) as worker:
            wait_until(started.exists, 60)
            begun = time.monotonic()
            assert worker.stop() == 0
            assert time.monotonic() - begun < STOPS_WITHIN
