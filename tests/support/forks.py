"""Children of this process, as servers make them that load the application first."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

_SOON = 10.0
# Python 3.12 advises against forks beside threads. Servers do it all the same.
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def in_a_child(work: Callable[[], object]) -> int:
    """Fork, do `work` in the child, and return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + _SOON
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("the child hangs")
