"""What the customers, the agents and the warehouse of the demo do, over HTTP.

The connector does the rest: it checks the eligibility, approves, sends the labels and pays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from dispatch_returns.errors import ReturnStateError
from dispatch_returns.refunds import Refund, State
from dispatch_returns.returns import Step
from dispatch_sandbox.demo.environment import Environment
from dispatch_sandbox.demo.scenarios import Scenario

ENDS = {"refunded": State.SUCCEEDED, "held": State.HELD, "failed": State.FAILED}
"""The state in which a refund ends. A return that is rejected or expires has no refund."""

OnProgress = Callable[[str, int], None]
"""Called with what is happening and with how many returns have come that far."""

_FIRST_REST = {
    "returnless": Step.REFUNDED,
    "late": Step.REJECTED,
    "review": Step.REVIEW,
    "unknown": Step.REVIEW,
}
_NO_PARCEL = frozenset({"returnless", "late", "never"})
_PATIENCE = 25.0


def walk(
    environment: Environment, scenarios: list[Scenario], on_progress: OnProgress
) -> dict[str, Scenario]:
    """Take every return from its request to its last step; return them by ticket id."""
    client, returns = environment.client, environment.connector.returns
    tickets: dict[str, Scenario] = {}
    for done, it in enumerate(scenarios, start=1):
        fields: dict[str, Any] = {}
        if it.names_payment:
            fields["payment_intent"] = environment.payments[it.order_id].id
        ticket = returns.request(
            order_id=it.order_id,
            items=[sku for sku, _ in it.items],
            reason="other" if it.course == "review" else "wrong_size",
            customer_email=f"customer-{it.order_id}@example.com",
            original_order_total=it.paid,
            fields=fields,
            key=f"demo-{it.order_id}",
        )
        tickets[ticket.id] = it
        on_progress("requested", done)
    _reach(
        environment, {t: _FIRST_REST.get(it.course, Step.LABEL_SENT) for t, it in tickets.items()}
    )
    on_progress("checked", len(tickets))
    approved = [t for t, it in tickets.items() if it.course in {"review", "unknown"}]
    for ticket_id in approved:
        client.tickets.update(ticket_id, status=Step.APPROVED)
    _reach(environment, dict.fromkeys(approved, Step.LABEL_SENT))
    on_progress("approved or rejected", len(tickets))
    sent = {t: it for t, it in tickets.items() if it.course not in _NO_PARCEL}
    for done, (ticket_id, it) in enumerate(sent.items(), start=1):
        _receive(environment, ticket_id, it)
        on_progress("received", done)
    for ticket_id, it in sent.items():
        if it.course == "parcels":  # the second one
            returns.receive(ticket_id, condition="good", who="warehouse")
    # An agent sets `refunded` where the policy sent the return to review.
    insisted = {t: it for t, it in sent.items() if it.course in {"insisted", "unknown"}}
    _reach(environment, dict.fromkeys(insisted, Step.REVIEW))
    for ticket_id, it in insisted.items():
        fields = dict(client.tickets.get(ticket_id).custom_fields)
        fields["refund_amount"] = it.due
        client.tickets.update(ticket_id, status=Step.REFUNDED, custom_fields=fields)
    return tickets


def _receive(environment: Environment, ticket_id: str, scenario: Scenario) -> None:
    """Receive half of the packages with the guide's PATCH, the others with `Returns.receive`."""
    if scenario.course in {"parcels", "damaged"} or int(scenario.order_id) % 2:
        environment.connector.returns.receive(
            ticket_id,
            lines=["SKU-001"] if scenario.course == "parcels" else None,
            condition="damaged" if scenario.course == "damaged" else "good",
            who="warehouse",
        )
        return
    fields = dict(environment.client.tickets.get(ticket_id).custom_fields)
    fields["received_date"] = f"{datetime.now(UTC):%Y-%m-%d}"
    fields["condition"] = "good"
    fields["refund_amount"] = scenario.due
    environment.client.tickets.update(ticket_id, status=Step.RECEIVED, custom_fields=fields)


def _reach(environment: Environment, wanted: dict[str, Step]) -> None:
    """Wait until every return is at its step, at most `_PATIENCE` seconds."""

    def step_of(ticket_id: str) -> Step | None:
        try:
            return environment.connector.returns.get(ticket_id).step
        except ReturnStateError:
            return None  # its event is still on the way

    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if all(step_of(ticket_id) is step for ticket_id, step in wanted.items()):
            return
        time.sleep(0.05)


def wait(
    environment: Environment,
    tickets: dict[str, Scenario],
    seconds: float,
    on_progress: OnProgress,
) -> None:
    """Wait until every refund has ended and every message is delivered."""
    connector, state = environment.connector, environment.sandbox.state
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended = sum(_has_ended(connector.refunds_of(t), it) for t, it in tickets.items())
        on_progress("refunded, held or failed", ended)
        if (
            ended == len(tickets)
            and state.deliveries.wait_until_settled(0)
            and state.stripe.events.wait_until_settled(0)
            and connector.is_idle()
        ):
            return
        time.sleep(0.1)


def _has_ended(rows: list[Refund], scenario: Scenario) -> bool:
    wanted = ENDS.get(scenario.end)
    if wanted is None:
        return True
    parcels = 2 if scenario.course == "parcels" else 1
    return len(rows) == parcels and all(row.state is wanted for row in rows)


def pass_time(environment: Environment, tickets: Iterable[str], on_progress: OnProgress) -> None:
    """Work with a clock that is 8 days ahead, then 31: a reminder is due, then the expiry."""
    for days in (8, 31):
        ahead = timedelta(days=days)
        with environment.later(lambda: datetime.now(UTC) + ahead) as later:  # noqa: B023 - used at once
            later.work_off()
    on_progress("a month later", len(list(tickets)))
