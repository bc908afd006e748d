"""Metrics, traces and the ids of log lines. The names are documented in ``docs/operating.md``.

Metrics and traces go to OpenTelemetry's API where it is installed (the extra ``otel``); it is
imported when something is first measured. Without it each call here returns at once.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from dispatch_returns.telemetry.types import GaugeValues, Span

if TYPE_CHECKING:
    from dispatch_returns.telemetry.otel import OpenTelemetry

__all__ = ["GaugeValues", "Span", "count", "ids", "observe", "processor_call", "span"]


class _NoSpan:
    def set(self, **attributes: str | None) -> None:
        pass


_NO_SPAN: contextlib.AbstractContextManager[Span] = contextlib.nullcontext(_NoSpan())


def ids(
    *, event_id: str | None = None, ticket_id: str | None = None, refund_id: str | None = None
) -> dict[str, str | None]:
    """Return the ``extra`` of a log line: by these ids a ticket, an event and a refund join."""
    return {"event_id": event_id, "ticket_id": ticket_id, "refund_id": refund_id}


def count(name: str, **attributes: str) -> None:
    """Count one of what the counter `name` counts."""
    if (otel := _otel()) is not None:
        otel.count(name, attributes)


def span(name: str, **attributes: str | None) -> contextlib.AbstractContextManager[Span]:
    """Trace the block as `name`; an attribute of None is left out."""
    otel = _otel()
    return _NO_SPAN if otel is None else otel.span(name, attributes)


def processor_call(
    adapter: str, call: str, **attributes: str | None
) -> contextlib.AbstractContextManager[Span]:
    """Trace the block as a call to a processor, and record how long it took and what came of it."""
    otel = _otel()
    return _NO_SPAN if otel is None else otel.processor_call(adapter, call, attributes)


def observe(read: Callable[[], GaugeValues | None]) -> None:
    """Have the gauges show what `read`, a method, returns, for as long as its object lives."""
    if (otel := _otel()) is not None:
        otel.observe(read)


@functools.cache
def _otel() -> OpenTelemetry | None:
    try:
        from dispatch_returns.telemetry.otel import OpenTelemetry
    except ImportError:
        return None
    return OpenTelemetry()
