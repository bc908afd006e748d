"""What we serve, in our own words: a mount turns its framework's request into ours, hands it to
an `Endpoint`, and turns our answer into the framework's.

The receivers and the probes are endpoints, and each mount serves both in the same way.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

PROBES = ("live", "ready", "lag")
MAX_LAG = 300.0
"""Seconds that the oldest event may wait, unless said otherwise."""

_Body_co = TypeVar("_Body_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the web framework sends back: ``body`` is JSON."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class NoBody:
    """Why a request's body could not be read, and how many bytes of it were seen."""

    why: Literal["too slow", "no length", "broken off"]
    seen: int = 0


@dataclass(frozen=True)  # without slots: Python 3.11 cannot call an alias of a class that has both
class _Request(Generic[_Body_co]):
    method: str
    path: str
    headers: Mapping[str, str]
    """A header that came more than once is joined by ``", "``."""
    read: Callable[[int, float], _Body_co]
    """Reads the body, if an endpoint wants it: not much more than so many bytes, for not much
    longer than so many seconds. To be called at most once, and with a Content-Length that is a
    number or none."""


Request = _Request[bytes | NoBody]
AsyncRequest = _Request[Awaitable[bytes | NoBody]]


class Endpoint(Protocol):
    """Something that answers requests, and may be asked by several threads at the same time."""

    def serve(self, request: Request, /) -> Answer:
        """Return the answer to one request."""
        ...

    async def serve_async(self, request: AsyncRequest, /) -> Answer:
        """Like `serve`, without blocking the event loop."""
        ...


class HealthChecks(Protocol):
    """Something that answers the probes of load balancers and orchestrators."""

    def answer(self, method: str, path: str, max_lag: float, /) -> Answer:
        """Return the answer to a request: the end of `path` says which probe is meant."""
        ...


class HasHealth(Protocol):
    """What the mounts take: a `Connector`, or anything else that can be asked."""

    @property
    def health(self) -> HealthChecks:
        """The probes."""
        ...


class Probes:
    """The endpoint of the probes: ``/live``, ``/ready`` and ``/lag``, at the end of any path.

    503 where it is not ready, or the oldest event waits longer than `max_lag` seconds.
    """

    def __init__(self, connector: HasHealth, max_lag: float = MAX_LAG) -> None:
        self._connector = connector
        self._max_lag = max_lag

    def serve(self, request: Request | AsyncRequest) -> Answer:
        """Return the answer to one request."""
        return self._connector.health.answer(request.method, request.path, self._max_lag)

    async def serve_async(self, request: AsyncRequest) -> Answer:
        """Like `serve`, in a thread: the store may take its time, and the loop has deliveries."""
        return await asyncio.to_thread(self.serve, request)


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
