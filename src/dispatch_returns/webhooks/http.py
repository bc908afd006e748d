"""Requests and answers in our own types, for every mount.

A mount turns its framework's request into ours, passes it to an `Endpoint`, and turns our answer
into the framework's. The receivers and the probes are endpoints, and each mount serves both in the
same way.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

PROBES = ("live", "ready", "lag")
MAX_LAG = 300.0
"""Seconds that the oldest event may wait by default."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the web framework sends back."""

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
    query: str
    headers: Mapping[str, str]
    client: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Request(_Head):
    """A request. A header that was sent more than once is joined by ``", "``.

    ``query`` is what follows the path's ``?``, as it was sent. ``client`` is the address that the
    server says the request came from: behind a proxy, it is the proxy's unless the server or the
    framework is told to trust it.

    ``read`` reads the body, if an endpoint needs it. Its arguments are a number of bytes and of
    seconds: it returns at least one byte more than that number if there are more, and takes not
    much longer than that time. An endpoint calls it at most once, and only with a Content-Length
    that is a number, if there is one.
    """

    read: Callable[[int, float], bytes | NoBody]


@dataclass(frozen=True, slots=True)
class AsyncRequest(_Head):
    """A request whose body arrives in an event loop: see `Request`."""

    read: Callable[[int, float], Awaitable[bytes | NoBody]]


class Endpoint(Protocol):
    """Something that answers requests; several threads may call it at the same time."""

    def serve(self, request: Request, /) -> Answer:
        """Return the answer to one request."""
        ...

    async def serve_async(self, request: AsyncRequest, /) -> Answer:
        """Like `serve`, without blocking the event loop."""
        ...


class HealthChecks(Protocol):
    """Something that answers the probes of load balancers and orchestrators."""

    def answer(self, method: str, path: str, max_lag: float, /) -> Answer:
        """Return the answer to a request: the end of `path` names the probe."""
        ...


class HasHealth(Protocol):
    """What the mounts take: a `Connector`, or anything else with health checks."""

    @property
    def health(self) -> HealthChecks:
        """The probes."""
        ...


class Probes:
    """The endpoint of the probes: ``/live``, ``/ready`` and ``/lag``, at the end of any path.

    It answers 503 where the connector is not ready, or the oldest event has waited longer than
    `max_lag` seconds.
    """

    def __init__(self, connector: HasHealth, max_lag: float = MAX_LAG) -> None:
        self._connector = connector
        self._max_lag = max_lag

    def serve(self, request: Request | AsyncRequest) -> Answer:
        """Return the answer to one request."""
        return self._connector.health.answer(request.method, request.path, self._max_lag)

    async def serve_async(self, request: AsyncRequest) -> Answer:
        """Like `serve`, in a thread: the store may be slow, and the loop has deliveries."""
        return await asyncio.to_thread(self.serve, request)


class Startable(Protocol):
    """What runs alongside the requests: a `Connector`."""

    def start(self) -> None:
        """Start; a second call does nothing."""
        ...

    def stop(self) -> object:
        """Stop, and wait for what is under way."""
        ...


class Signal(Protocol):
    """A framework's signal that a request has begun."""

    def connect(self, receiver: Callable[..., object], *, weak: bool) -> object:
        """Call `receiver` each time the signal is sent."""
        ...

    def disconnect(self, receiver: Callable[..., object]) -> object:
        """Stop calling `receiver`."""
        ...


def start_at_first(signal: Signal, connector: Startable) -> None:
    """Start `connector` when `signal` is sent for the first time in a process.

    A command such as ``flask routes`` or ``manage.py migrate`` loads the application and serves
    nothing: threads started while it loads would pay there, and would be lost when a server forks.
    """

    def start(*_: object, **__: object) -> None:
        signal.disconnect(start)
        connector.start()
        atexit.register(connector.stop)

    signal.connect(start, weak=False)
