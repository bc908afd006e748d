"""A stand-in's memory, whatever its processor: its clock, its faults, and what is to be sent.

A subclass answers requests in its processor's own shapes (`answer`), from what it keeps. It holds
`lock` while it works, and asks `take` whether a fault strikes.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, ClassVar, Literal, TypeAlias, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from dispatch_returns.errors import InvalidArgumentError

FaultKind: TypeAlias = Literal[
    "lost_response",
    "server_error",
    "in_flight",
    "rate_limit",
    "refused",
    "fail_later",
    "pending_then_succeed",
    "webhook_lost",
    "webhook_doubled",
    "webhook_reordered",
]
_LOG_LENGTH = 1000


class ProcessorFault(BaseModel):
    """One kind of trouble, for the next ``times`` refunds of ``payment`` (any, by default).

    - ``lost_response``: the work is done, and the connection is cut.
    - ``server_error``: a 5xx; with ``acted``, the work was done.
    - ``in_flight``: the answer to a key that is being worked on.
    - ``rate_limit``: 429, with a ``Retry-After`` of ``seconds``.
    - ``refused``: the processor's refusal ``code``; nothing is done.
    - ``fail_later``: a new refund fails after ``seconds`` (our clock).
    - ``pending_then_succeed``: a new refund is pending for ``seconds`` (our clock).
    - ``webhook_lost``, ``webhook_doubled``, ``webhook_reordered``: the next event never leaves, is
      sent twice, or is sent after the one that follows it.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    kind: FaultKind
    payment: str | None = None
    times: PositiveInt = 1
    fired: NonNegativeInt = 0
    acted: bool = False
    code: str | None = None
    seconds: float = Field(default=1.0, ge=0, le=1e9, allow_inf_nan=False)

    @property
    def spent(self) -> bool:
        """It has struck as often as it was asked to."""
        return self.fired >= self.times


@dataclass(frozen=True, slots=True)
class ProcessorRequest:
    """A request to a stand-in; header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Mapping[str, Any]:
        """Return the JSON object of the body. Raises `ValueError`."""
        found = json.loads(self.body)
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - malformed, as other JSON may be
        return cast("Mapping[str, Any]", found)


@dataclass(frozen=True, slots=True)
class ProcessorReply:
    """An answer: JSON, or a text as it is. ``lost``: the connection is cut instead."""

    status: int
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    lost: bool = False

    @property
    def body(self) -> bytes:
        """What is sent."""
        if isinstance(self.content, bytes):
            return self.content
        return b"" if self.content is None else json.dumps(self.content).encode()


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """A signed event on its way to ``url``."""

    url: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class StandIn(ABC):
    """One processor's stand-in; safe to use from any thread.

    ``clock`` gives Unix seconds. `advance` moves the stand-in's own time ahead of it, which is how
    keys age and late outcomes come without waiting.
    """

    name: ClassVar[str]

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.base_url = ""
        """Where it is served, in a sandbox."""
        self.lock = threading.RLock()
        self.faults: list[ProcessorFault] = []
        self.log: deque[ProcessorRequest] = deque(maxlen=_LOG_LENGTH)
        self.listeners: list[str] = []
        self._clock = clock
        self._ahead = 0.0
        self._turns: list[tuple[float, Callable[[], None]]] = []
        self._outgoing: deque[OutgoingEvent] = deque()
        self._held_back: OutgoingEvent | None = None

    @abstractmethod
    def answer(self, request: ProcessorRequest) -> ProcessorReply:
        """Answer one request, in the processor's own shape."""

    @abstractmethod
    def pay(self, value: str, currency: str) -> str:
        """Have a customer pay `value` major units; return the payment's id."""

    @abstractmethod
    def refunded(self, payment: str) -> int:
        """Return the minor units that the refunds of a payment have moved, or will."""

    @abstractmethod
    def refund_externally(self, payment: str, value: str) -> str:
        """Make a refund as a person does in the dashboard; return its id."""

    @abstractmethod
    def signed(self, url: str, event: Mapping[str, Any]) -> OutgoingEvent:
        """Return an event signed as the processor signs it."""

    # The clock.

    def now(self) -> float:
        """Return the stand-in's time in Unix seconds."""
        return self._clock() + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the stand-in's time forward, and let happen what is due by then."""
        with self.lock:
            self._ahead += seconds
            self.settle()

    def later(self, seconds: float, turn: Callable[[], None]) -> None:
        """Let something happen `seconds` from now."""
        self._turns.append((self.now() + seconds, turn))

    def settle(self) -> None:
        """Let happen what is due."""
        with self.lock:
            due = [it for it in self._turns if it[0] <= self.now()]
            self._turns = [it for it in self._turns if it[0] > self.now()]
            for _, turn in sorted(due, key=lambda it: it[0]):
                turn()

    # Faults.

    def fail(self, kind: FaultKind, **values: Any) -> ProcessorFault:
        """Arm a fault: see `ProcessorFault`."""
        fault = ProcessorFault(kind=kind, **values)
        with self.lock:
            self.faults.append(fault)
        return fault

    def take(self, payment: str | None, *kinds: FaultKind) -> ProcessorFault | None:
        """Return the first armed fault of these kinds for a payment, and count that it struck."""
        for fault in self.faults:
            if fault.kind in kinds and not fault.spent and fault.payment in {None, payment}:
                fault.fired += 1
                return fault
        return None

    # Webhooks.

    def listen(self, url: str) -> None:
        """Send events to `url` from now on.

        Raises `InvalidArgumentError` for an address that is not on this machine.
        """
        if not _is_on_this_machine(url):
            raise InvalidArgumentError("url", "must be on this machine: the sandbox calls no other")
        self.listeners.append(url)

    def tell(self, payment: str, event: Mapping[str, Any]) -> None:
        """Send an event to every listener, with the faults that are armed."""
        for url in self.listeners:
            outgoing = [self.signed(url, event)]
            if self.take(payment, "webhook_lost"):
                continue
            if self.take(payment, "webhook_doubled"):
                outgoing *= 2
            if self.take(payment, "webhook_reordered"):
                self._held_back = outgoing.pop()
                continue
            self._outgoing.extend(outgoing)
            if self._held_back is not None:
                self._outgoing.append(self._held_back)
                self._held_back = None

    def outgoing(self) -> list[OutgoingEvent]:
        """Return what is to be sent now; it is the caller's from here on."""
        with self.lock:
            self.settle()
            taken = list(self._outgoing)
            self._outgoing.clear()
            return taken


def new_id(length: int = 17) -> str:
    """Return a random id of capital letters and digits."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _is_on_this_machine(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
    return local and parts.scheme in {"http", "https"}
