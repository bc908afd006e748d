"""What is measured, in words that need no OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class GaugeValues:
    """What the gauges show: seconds that the oldest event waits, and those refunds and returns
    that are not over, by state and by step.
    """

    workspace: str
    lag: float
    refunds: Mapping[str, int]
    returns: Mapping[str, int]


class Span(Protocol):
    """A part of the work, while it lasts."""

    def set(self, **attributes: str | None) -> None:
        """Say what has been found out meanwhile."""
        ...
