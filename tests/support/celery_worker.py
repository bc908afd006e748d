"""A Celery worker, with its beat, as the processes it is in production."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
STOPS_WITHIN = 90.0
"""A child of Celery's pool whose last result was not counted waits 30 seconds before it ends."""


class Worker:
    """One ``celery worker --beat`` with its children."""

    def __init__(self, app: str, folder: Path, environment: Mapping[str, str], processes: int):
        self.log = folder / "worker.log"
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "--beat", "-l", "info"]
        command += ["--schedule", str(folder / "beat"), "--pool", "prefork", "-c", str(processes)]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that all of it can be killed
            )

    def stop(self) -> int:
        """Ask it to stop, as a deployment does; return its exit code."""
        self._process.terminate()
        try:
            return self._process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired as error:
            error.add_note(f"its log ends so:\n{self.log.read_text()[-4000:]}")
            raise

    def kill(self) -> None:
        """End all its processes, with nothing finished."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)


@contextlib.contextmanager
def worker(
    app: str, folder: Path, environment: Mapping[str, str], *, processes: int = 2
) -> Iterator[Worker]:
    """Run a worker of the app in the module `app`; its log is in `folder`."""
    running = Worker(app, folder, environment, processes)
    try:
        yield running
    finally:
        running.kill()
