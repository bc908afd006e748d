"""What we serve, in our own words: a mount turns its framework's request into ours, hands it to
an `Endpoint`, and turns our answer into the framework's.

The receivers and the probes are endpoints, and each mount serves both in the same way.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

PROBES = ("live", "ready", "lag")
MAX_LAG = 300.0
"""Seconds that the oldest event may wait, unless said otherwise."""


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


@dataclass(frozen=True, slots=True)
class _Head:
    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Request(_Head):
    """A request. A header that came more than once is joined by ``", "``.

    ``read`` reads the body, if an endpoint wants it: at least one byte more than so many if there
    are more, and for not much longer than so many seconds. It is called once at most, and where
    a Content-Length is given that is a number.
    """

    read: Callable[[int, float], bytes | NoBody]


@dataclass(frozen=True, slots=True)
class AsyncRequest(_Head):
    """A request whose body arrives in an event loop: see `Request`."""

    read: Callable[[int, float], Awaitable[bytes | NoBody]]


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
