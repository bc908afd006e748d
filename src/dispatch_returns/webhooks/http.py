"""What a mount needs of us, and gets from us: the same words for every framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

PROBES = ("live", "ready", "lag")
MAX_LAG = 300.0
"""Seconds that the oldest event may wait, unless said otherwise."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the web framework sends back: ``body`` is JSON."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


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
