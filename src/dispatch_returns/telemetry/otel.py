"""The instruments, on OpenTelemetry's API alone: which SDK and exporter is the program's choice."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Generator, Iterable, Mapping

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import SpanKind, StatusCode

from dispatch_returns._version import __version__
from dispatch_returns.telemetry.types import GaugeValues, Span

NAME = "dispatch_returns"
COUNTERS = {
    "events.accepted": ("{event}", "Events that are new and on disk, by source"),
    "events.repeated": ("{event}", "Deliveries of an event that is here already, by source"),
    "events.unreadable": ("{event}", "Events that are authentic and not understood, by source"),
    "returns.steps": ("{step}", "Steps of returns, by step and outcome"),
    "deliveries.refused": ("{delivery}", "Deliveries that were refused, by source and reason"),
}
DURATION = f"{NAME}.processor.duration"
LAG = f"{NAME}.events.lag"
REFUNDS = f"{NAME}.refunds"
RETURNS = f"{NAME}.returns"
GAUGES = (LAG, REFUNDS, RETURNS)


class OpenTelemetry:
    """Made once for each process: instruments of one name must not be made twice."""

    def __init__(self) -> None:
        meter = metrics.get_meter(NAME, __version__)
        self._tracer = trace.get_tracer(NAME, __version__)
        self._counters = {
            name: meter.create_counter(f"{NAME}.{name}", unit, description)
            for name, (unit, description) in COUNTERS.items()
        }
        self._duration = meter.create_histogram(
            DURATION, "s", "How long a call to the processor took, by adapter, call and outcome"
        )
        self._readers: list[weakref.WeakMethod[Callable[[], GaugeValues | None]]] = []
        meter.create_observable_gauge(LAG, [self._lags], "s", "Age of the oldest unprocessed event")
        meter.create_observable_gauge(
            REFUNDS, [self._refunds], "{refund}", "Refunds that are not over, by state"
        )
        meter.create_observable_gauge(
            RETURNS, [self._returns], "{return}", "Returns that are not over, by step"
        )

    def count(self, name: str, attributes: Mapping[str, str]) -> None:
        """See `telemetry.count`."""
        self._counters[name].add(1, attributes)

    @contextlib.contextmanager
    def span(
        self,
        name: str,
        attributes: Mapping[str, str | None],
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Generator[Span]:
        """See `telemetry.span`. An error is named by its kind: its text may be long or private."""
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            yield _Span(trace.INVALID_SPAN)  # nobody listens, and a span costs 20 µs all the same
            return
        with self._tracer.start_as_current_span(
            f"{NAME}.{name}", kind=kind, record_exception=False, set_status_on_exception=False
        ) as current:
            span = _Span(current)
            span.set(**attributes)
            try:
                yield span
            except Exception as error:
                span.set(outcome=outcome_of(error))
                current.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    @contextlib.contextmanager
    def processor_call(
        self, adapter: str, call: str, attributes: Mapping[str, str | None]
    ) -> Generator[Span]:
        """See `telemetry.processor_call`."""
        outcome, begun = "ok", time.perf_counter()
        labels = {"adapter": adapter, "call": call}
        try:
            with self.span(f"processor.{call}", {**labels, **attributes}, SpanKind.CLIENT) as span:
                yield span
        except Exception as error:
            outcome = outcome_of(error)
            raise
        finally:
            taken = time.perf_counter() - begun
            self._duration.record(taken, {**labels, "outcome": outcome})

    def observe(self, read: Callable[[], GaugeValues | None]) -> None:
        """See `telemetry.observe`."""
        self._readers = [known for known in self._readers if known() is not None]
        self._readers.append(weakref.WeakMethod(read))

    def _standings(self) -> Iterable[GaugeValues]:
        for reader in self._readers:
            read = reader()
            if read is not None and (standing := read()) is not None:
                yield standing

    def _lags(self, _options: CallbackOptions) -> Iterable[Observation]:
        for standing in self._standings():
            yield Observation(standing.lag, {"workspace": standing.workspace})

    def _refunds(self, _options: CallbackOptions) -> Iterable[Observation]:
        for standing in self._standings():
            for state, number in standing.refunds.items():
                yield Observation(number, {"workspace": standing.workspace, "state": state})

    def _returns(self, _options: CallbackOptions) -> Iterable[Observation]:
        for standing in self._standings():
            for step, number in standing.returns.items():
                yield Observation(number, {"workspace": standing.workspace, "step": step})


def outcome_of(error: Exception) -> str:
    """Return the kind an adapter gave its error, or the error's class."""
    return str(getattr(error, "kind", type(error).__name__))


class _Span:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, **attributes: str | None) -> None:
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(f"{NAME}.{name}", value)
