"""The play: 25 returns walk their six steps, over HTTP, while the connector does its work.

The demo plays the customer, the agent and the warehouse. The eligibility check, the approval,
the label and the refund are the connector's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from dispatch_returns.errors import ReturnStateError
from dispatch_returns.refunds import Refund, State
from dispatch_returns.returns import Step
from dispatch_sandbox.demo.cast import Return
from dispatch_sandbox.demo.stage import Stage

ENDS = {"refunded": State.SUCCEEDED, "held": State.HELD, "failed": State.FAILED}
"""How a refund ends. A return that is rejected or expires has none."""

Tell = Callable[[str, int], None]
"""Told what is going on and how many returns are that far."""

_FIRST_REST = {
    "returnless": Step.REFUNDED,
    "late": Step.REJECTED,
    "review": Step.REVIEW,
    "unknown": Step.REVIEW,
}
_NO_PARCEL = frozenset({"returnless", "late", "never"})
_PATIENCE = 25.0


def walk(stage: Stage, cast: list[Return], tell: Tell) -> dict[str, Return]:
    """Take every return from its request to its last step; return them by ticket id."""
    tickets: dict[str, Return] = {}
    for done, one in enumerate(cast, start=1):
        fields: dict[str, Any] = {}
        if one.names_payment:
            fields["payment_intent"] = stage.payments[one.order_id].id
        ticket = stage.connector.returns.request(
            order_id=one.order_id,
            items=[sku for sku, _ in one.items],
            reason="other" if one.way == "review" else "wrong_size",
            customer_email=f"customer-{one.order_id}@example.com",
            original_order_total=one.paid,
            fields=fields,
            key=f"demo-{one.order_id}",
        )
        tickets[ticket.id] = one
        tell("requested", done)
    _reach(stage, {t: _FIRST_REST.get(one.way, Step.LABEL_SENT) for t, one in tickets.items()})
    tell("checked", len(tickets))
    decided = [t for t, one in tickets.items() if one.way in {"review", "unknown"}]
    for ticket_id in decided:
        stage.client.tickets.update(ticket_id, status=Step.APPROVED)
    _reach(stage, dict.fromkeys(decided, Step.LABEL_SENT))
    tell("approved or rejected", len(tickets))
    sent = {t: one for t, one in tickets.items() if one.way not in _NO_PARCEL}
    for done, (ticket_id, one) in enumerate(sent.items(), start=1):
        _receive(stage, ticket_id, one)
        tell("received", done)
    for ticket_id, one in sent.items():
        if one.way == "parcels":  # the second one
            stage.connector.returns.receive(ticket_id, condition="good", who="warehouse")
    # An agent sets `refunded` where the policy sent the return to review.
    insisted = {t: one for t, one in sent.items() if one.way in {"insisted", "unknown"}}
    _reach(stage, dict.fromkeys(insisted, Step.REVIEW))
    for ticket_id, one in insisted.items():
        fields = dict(stage.client.tickets.get(ticket_id).custom_fields)
        fields["refund_amount"] = Decimal(one.asked)
        stage.client.tickets.update(ticket_id, status=Step.REFUNDED, custom_fields=fields)
    return tickets


def _receive(stage: Stage, ticket_id: str, one: Return) -> None:
    """The warehouse: half by its own system, with the guide's PATCH, half by hand."""
    if one.way == "parcels":
        _by_hand(stage, ticket_id, one, lines=["SKU-001"])
    elif one.way == "damaged" or int(one.order_id) % 2:
        _by_hand(stage, ticket_id, one)
    else:
        fields = stage.client.tickets.get(ticket_id).custom_fields
        stage.client.tickets.update(
            ticket_id,
            status=Step.RECEIVED,
            custom_fields={
                **fields,
                "received_date": f"{datetime.now(UTC):%Y-%m-%d}",
                "condition": "good",
                "refund_amount": one.asked,
            },
        )


def _by_hand(stage: Stage, ticket_id: str, one: Return, lines: list[str] | None = None) -> None:
    condition = "damaged" if one.way == "damaged" else "good"
    stage.connector.returns.receive(ticket_id, lines=lines, condition=condition, who="warehouse")


def _reach(stage: Stage, wanted: dict[str, Step]) -> None:
    """Wait until every return is at its step, or for as long as anybody would."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if all(_step_of(stage, ticket_id) is step for ticket_id, step in wanted.items()):
            return
        time.sleep(0.05)


def _step_of(stage: Stage, ticket_id: str) -> Step | None:
    try:
        return stage.connector.returns.get(ticket_id).step
    except ReturnStateError:
        return None  # its event is still on the way


def wait(stage: Stage, tickets: dict[str, Return], seconds: float, tell: Tell) -> None:
    """Wait until every refund has come to its end and every message is delivered."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        refunds_of = stage.connector.refunds_of
        ended = sum(_has_ended(refunds_of(ticket_id), one) for ticket_id, one in tickets.items())
        tell("paid back, held or failed", ended)
        if ended == len(tickets) and _is_quiet(stage):
            return
        time.sleep(0.1)


def _has_ended(rows: list[Refund], one: Return) -> bool:
    wanted = ENDS.get(one.end)
    if wanted is None:
        return True
    parcels = 2 if one.way == "parcels" else 1
    return len(rows) == parcels and all(row.state is wanted for row in rows)


def pass_the_time(stage: Stage, tickets: Iterable[str], tell: Tell) -> None:
    """Let eight days pass, then thirty-one: a reminder, then the end of what never came."""
    for days in (8, 31):
        ahead = timedelta(days=days)
        with stage.later(lambda: datetime.now(UTC) + ahead) as later:  # noqa: B023 - used at once
            later.work_off()
    tell("a month later", len(list(tickets)))


def _is_quiet(stage: Stage) -> bool:
    """Whether nothing is on its way: no delivery, no event, no message."""
    state = stage.sandbox.state
    if not (state.deliveries.wait_until_settled(0) and state.stripe.events.wait_until_settled(0)):
        return False
    return stage.connector.is_idle()
