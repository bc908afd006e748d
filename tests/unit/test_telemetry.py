"""What is measured, traced and logged of one return; and that all of it can be missing."""

from __future__ import annotations

import ast
import gc
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import dispatch_sandbox
from dispatch_returns import telemetry, webhooks
from dispatch_returns.client import DispatchClient
from dispatch_returns.errors import AdapterError, ErrorKind, LabelError, OrderError
from dispatch_returns.returns.steps.statuses import STEPS
from dispatch_returns.telemetry.otel import OpenTelemetry
from tests.support.returns_shop import ReturnsShop
from tests.support.workshop import EMAIL, SECRET, Workshop

OURS = tuple(f"dispatch_returns.{it}" for it in ("connector", "refunds", "returns", "webhooks"))
JOINED = ("event_id", "ticket_id", "refund_id")


class Collected:
    """What an SDK would export."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.exporter = InMemorySpanExporter()
        self.meters = MeterProvider([self.reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """The points of a metric: its attributes, and its value or count."""
        data = self.reader.get_metrics_data()
        return [
            (dict(point.attributes or {}), getattr(point, "value", getattr(point, "count", None)))
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == f"dispatch_returns.{name}"
            for point in metric.data.data_points
        ]

    def spans(self, name: str) -> list[ReadableSpan]:
        return [
            it for it in self.exporter.get_finished_spans() if it.name == f"dispatch_returns.{name}"
        ]

    def ids(self, name: str) -> list[dict[str, Any]]:
        """The ids that the spans of this name carry."""
        return [
            {it: (span.attributes or {}).get(f"dispatch_returns.{it}") for it in JOINED}
            for span in self.spans(name)
        ]


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected]:
    collected = Collected()
    monkeypatch.setattr("opentelemetry.metrics.get_meter", collected.meters.get_meter)
    monkeypatch.setattr("opentelemetry.trace.get_tracer", collected.tracers.get_tracer)
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: collected.tracers)
    made = OpenTelemetry()
    monkeypatch.setattr(telemetry, "_otel", lambda: made)
    yield collected
    collected.meters.shutdown()
    collected.tracers.shutdown()


@pytest.fixture(scope="module")
def box() -> Iterator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running() as box:
        with DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client:
            for key in STEPS:
                client.statuses.create(key=key, name=key)
        yield box


@pytest.fixture
def shop(collected: Collected, box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[Workshop]:
    shop = Workshop(box, tmp_path)
    yield shop
    shop.close()


def deliver(shop: Workshop, body: bytes, signature: str | None = None, method: str = "POST") -> int:
    headers = {"X-Dispatch-Signature": signature or webhooks.sign(body, SECRET)}
    return shop.connector.receivers["dispatch"].receive(method, headers, body).status


def event_about(shop: Workshop, ticket: str, event_id: str, **changes: Any) -> bytes:
    envelope = {
        "id": event_id,
        "event": "ticket.updated",
        "brand_id": dispatch_sandbox.WORKSPACE,
        "data": {"id": ticket},
        "timestamp": shop.clock().isoformat(),
    }
    return json.dumps(envelope | changes).encode()


def test_deliveries_are_counted_by_what_became_of_them(
    shop: Workshop, collected: Collected
) -> None:
    body = event_about(shop, "tkt_1", "evt_1")
    old = event_about(shop, "tkt_1", "evt_2", timestamp="2001-01-01T00:00:00Z")
    assert [deliver(shop, body), deliver(shop, body), deliver(shop, b"{}")] == [200, 200, 200]
    assert [deliver(shop, old), deliver(shop, body, "sha256=no")] == [401, 401]
    assert [deliver(shop, body, method="GET"), deliver(shop, b" " * 2_000_000)] == [405, 413]
    shop.store.close()
    assert deliver(shop, event_about(shop, "tkt_1", "evt_3")) == 503
    source = {"source": "dispatch"}
    assert collected.points("events.accepted") == [(source, 1)]
    assert collected.points("events.repeated") == [(source, 1)]
    assert collected.points("events.unreadable") == [(source, 1)]
    refused = {it["reason"]: number for it, number in collected.points("deliveries.refused")}
    assert refused == {
        "replay": 1, "signature": 1, "method": 1, "too_large": 1, "unavailable": 1,
    }  # fmt: skip


def test_a_return_can_be_followed_from_its_event_to_its_write_back(
    shop: Workshop, collected: Collected
) -> None:
    ticket = shop.ticket()
    event_id = shop.event(ticket.id)
    shop.work()
    refund = shop.refund(ticket)
    assert refund is not None
    both = {"ticket_id": ticket.id, "refund_id": refund.id}
    assert collected.ids("process_event") == [{"event_id": event_id, **both}]
    assert collected.ids("processor.refund") == [{"event_id": None, **both}]
    assert {"event_id": None, **both} in collected.ids("write_back")
    (event_span,), (call,) = collected.spans("process_event"), collected.spans("processor.refund")
    assert call.parent is not None
    assert call.parent.span_id == event_span.context.span_id
    points = collected.points("processor.duration")
    calls = {(it["adapter"], it["call"], it["outcome"]): number for it, number in points}
    assert calls == {("fake", "payment", "ok"): 1, ("fake", "refund", "ok"): 1}


def test_a_look_up_is_a_call_like_any_other(shop: Workshop, collected: Collected) -> None:
    ticket = shop.ticket()
    shop.fake.fail_next("lost_response")
    shop.run(ticket)
    shop.work(minutes=5)
    refund = shop.refund(ticket)
    assert refund is not None
    ids = {"event_id": None, "ticket_id": ticket.id, "refund_id": refund.id}
    assert collected.ids("processor.find") == [ids]
    made = [(it["adapter"], it["call"]) for it, _ in collected.points("processor.duration")]
    assert ("fake", "find") in made


def test_an_outcome_is_named_by_its_kind(shop: Workshop, collected: Collected) -> None:
    shop.fake.fail_next(AdapterError(ErrorKind.RATE_LIMITED, "jane@example.com is a secret"))
    shop.run(shop.ticket())
    outcomes = {it["outcome"] for it, _ in collected.points("processor.duration")}
    assert outcomes == {"ok", "rate_limited"}
    (span,) = collected.spans("processor.refund")
    assert not span.status.is_ok
    assert "jane" not in span.to_json()


@pytest.fixture
def returns_shop(
    collected: Collected, box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> Iterator[ReturnsShop]:
    shop = ReturnsShop(box, tmp_path)
    yield shop
    shop.close()


def steps(collected: Collected) -> dict[tuple[str, str], int]:
    return {(it["step"], it["outcome"]): n for it, n in collected.points("returns.steps")}


def test_each_step_of_a_return_is_traced_and_counted_by_what_came_of_it(
    returns_shop: ReturnsShop, collected: Collected
) -> None:
    ticket = returns_shop.ask()
    walked = [
        ("return_requested", "eligibility_check"),
        ("eligibility_check", "approved"),
        ("approved", "label_sent"),
    ]
    counted = steps(collected)
    assert [counted.pop(step) for step in walked] == [1, 1, 1]
    rests = ("label_sent", "rests")
    assert list(counted) == [rests], "as often as it is looked at"
    spans = collected.spans("return_step")
    assert {it["ticket_id"] for it in collected.ids("return_step")} == {ticket.id}
    of_spans = [(it.attributes or {}) for it in spans]
    number = returns_shop.row(ticket).number
    assert {it["dispatch_returns.return_number"] for it in of_spans} == {number}
    found = {(it["dispatch_returns.step"], it["dispatch_returns.outcome"]) for it in of_spans}
    assert found == {*walked, rests}
    assert not any(EMAIL in it.to_json() for it in spans)
    assert collected.points("returns") == [
        ({"workspace": dispatch_sandbox.WORKSPACE, "step": "label_sent"}, 1)
    ]


def test_a_step_that_fails_is_counted_as_put_off_or_parked(
    returns_shop: ReturnsShop, collected: Collected
) -> None:
    returns_shop.merchant.orders.error = OrderError("jane@example.com is away", retryable=True)
    returns_shop.ask()
    returns_shop.merchant.orders.error = None
    returns_shop.merchant.labels.error = LabelError("no such postal code of jane@example.com")
    ticket = returns_shop.ask("SKU-002")
    assert returns_shop.status(ticket) == "needs_review"
    counted = steps(collected)
    assert counted["eligibility_check", "put_off"] >= 1
    assert counted["approved", "parked"] == 1
    failed = [it for it in collected.spans("return_step") if not it.status.is_ok]
    assert {(it.attributes or {})["dispatch_returns.outcome"] for it in failed} == {
        "OrderError",
        "LabelError",
    }
    assert not any("jane" in it.to_json() for it in failed)


def test_gauges_show_the_lag_and_the_refunds_and_let_go_of_what_is_gone(
    shop: Workshop, collected: Collected
) -> None:
    shop.run(shop.ticket())
    shop.run(shop.ticket(received_date=None))
    shop.event("tkt_1")
    shop.clock.turn(seconds=45)
    workspace = {"workspace": dispatch_sandbox.WORKSPACE}
    assert collected.points("events.lag") == [(workspace, 45.0)]
    states = {it["state"]: number for it, number in collected.points("refunds")}
    assert states == {"held": 1}
    shop.store.close()
    assert collected.points("events.lag") == []


def test_the_gauges_let_go_of_what_is_gone(collected: Collected) -> None:
    class Source:
        def read(self) -> telemetry.GaugeValues:
            return telemetry.GaugeValues("ws_1", 1.0, {}, {})

    source = Source()
    telemetry.observe(source.read)
    assert collected.points("events.lag") == [({"workspace": "ws_1"}, 1.0)]
    del source
    gc.collect()
    assert collected.points("events.lag") == []


def test_every_line_of_the_refund_path_carries_the_same_three_ids(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        ticket = shop.ticket()
        deliver(shop, event_about(shop, ticket.id, "evt_joined"))
        deliver(shop, b"{}")
        deliver(shop, b"{}", "sha256=no")
        shop.fake.fail_next(AdapterError(ErrorKind.NOT_SENT, "no connection"))
        shop.fault(status=500, times=1)
        for _ in range(3):
            shop.work(minutes=10)
    refund = shop.refund(ticket)
    assert refund is not None
    records = [record for record in caplog.records if record.name.startswith(OURS)]
    assert len(records) >= 6
    for record in records:
        assert [it for it in JOINED if not hasattr(record, it)] == [], record.getMessage()
    (done,) = [it for it in records if it.getMessage().endswith("evt_joined is done")]
    joined = {name: getattr(done, name) for name in JOINED}
    assert joined == {"event_id": "evt_joined", "ticket_id": ticket.id, "refund_id": refund.id}
    (paid,) = [it for it in records if it.getMessage().endswith("149.00 USD succeeded")]
    assert (paid.ticket_id, paid.refund_id) == (ticket.id, refund.id)  # type: ignore[attr-defined]


def test_no_line_of_these_folders_is_written_without_ids() -> None:
    package = Path(telemetry.__file__).parents[1]
    folders = ("connector", "refunds", "returns", "webhooks")
    without = [
        f"{path.relative_to(package)}:{node.lineno}"
        for folder in folders
        for path in (package / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).lstrip("_").startswith("log.")
        and not any(given.arg == "extra" for given in node.keywords)
    ]
    assert without == []


_WITHOUT = """
import sys
sys.modules["opentelemetry"] = None
from dispatch_returns import telemetry
telemetry.count("events.accepted", source="x")
with telemetry.span("a", event_id="1") as span, telemetry.processor_call("fake", "find"):
    span.set(refund_id="2")
telemetry.observe(print)
assert telemetry._otel() is None
"""


def test_without_opentelemetry_everything_goes_on() -> None:
    subprocess.run([sys.executable, "-c", _WITHOUT], check=True, timeout=60)


def test_with_the_api_alone_nothing_is_exported_and_everything_goes_on() -> None:
    code = _WITHOUT.replace('sys.modules["opentelemetry"] = None', "").replace("is None", "")
    code = code.replace("telemetry.observe(print)", "")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
