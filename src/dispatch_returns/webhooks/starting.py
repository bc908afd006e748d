"""Starts the workers with the first request of a process, for frameworks without a lifespan."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Protocol


class Startable(Protocol):
    """What runs beside the requests: a `Connector`."""

    def start(self) -> None:
        """Start; called once more, do nothing."""
        ...

    def stop(self) -> object:
        """Wait for what is under way."""
        ...


class Signal(Protocol):
    """A framework's signal that a request has begun."""

    def connect(self, receiver: Callable[..., object], *, weak: bool) -> object:
        """Call `receiver` each time."""
        ...

    def disconnect(self, receiver: Callable[..., object]) -> object:
        """Call it no more."""
        ...


def start_at_first(signal: Signal, connector: Startable) -> None:
    """Start `connector` when `signal` is sent for the first time in a process.

    A command such as ``flask routes`` or ``manage.py migrate`` loads the application and serves
    nothing: threads started while it loads would pay there, and be lost where a server forks.
    """

    def start(*_: object, **__: object) -> None:
        signal.disconnect(start)
        connector.start()
        atexit.register(connector.stop)

    signal.connect(start, weak=False)
