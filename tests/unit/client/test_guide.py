"""The three requests that the returns guide prints come out as it prints them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dispatch_returns.client import DispatchClient
from tests.support.api_server import ApiServer, Received, Reply

PRINTED = Path(__file__).parents[2] / "data" / "guide" / "requests.http"
TICKET = {"id": "tkt_xxx", "workspace_id": "ws_xxx", "subject": "s", "status": "open"}
WEBHOOK = {"id": "whk_xxx", "url": "https://your-app.com/webhooks/dispatch"}


class Printed(NamedTuple):
    method: str
    path: str
    body: str

    @property
    def json(self) -> Any:
        return exact(self.body)


def exact(text: str | bytes) -> Any:
    """JSON with its numbers' own digits and its keys in their own order."""
    return json.loads(text, parse_float=Decimal, object_pairs_hook=list)


def printed() -> list[Printed]:
    lines = [line for line in PRINTED.read_text().splitlines() if not line.startswith("#")]
    blocks = "\n".join(lines).split("\n\n")
    return [Printed(*block.strip().replace("\n", " ", 1).split(" ", 2)) for block in blocks]


@pytest.fixture
def sent() -> list[Received]:
    with (
        ApiServer().running() as server,
        DispatchClient("sk_test_1", "ws_xxx", base_url=server.url) as dispatch,
    ):
        server.reply(Reply(201, TICKET), Reply(200, TICKET), Reply(201, WEBHOOK))
        dispatch.tickets.create(
            subject="Return Request - Order #1234",
            customer_email="[email protected]",
            status="return_requested",
            custom_fields={
                "order_id": "1234",
                "return_reason": "wrong_size",
                "items_to_return": ["SKU-001"],
                "original_order_total": Decimal("149.00"),
            },
        )
        dispatch.tickets.update(
            "tkt_xxx",
            status="item_received",
            custom_fields={
                "received_date": "2024-01-15",
                "condition": "good",
                "refund_amount": Decimal("149.00"),
            },
        )
        dispatch.webhooks.create(
            url="https://your-app.com/webhooks/dispatch", events=["ticket.updated"]
        )
        return server.received


def test_the_guide_prints_three_requests() -> None:
    assert [request.method for request in printed()] == ["POST", "PATCH", "POST"]


@pytest.mark.parametrize("index", range(3))
def test_a_request_of_the_guide_is_sent_as_printed(sent: list[Received], index: int) -> None:
    ours, guide = sent[index], printed()[index]
    assert (ours.method, ours.path, ours.query) == (guide.method, guide.path, {})
    assert exact(ours.body) == guide.json


def test_the_amounts_keep_the_digits_of_the_guide(sent: list[Received]) -> None:
    assert b'"original_order_total":149.00' in sent[0].body
    assert b'"refund_amount":149.00' in sent[1].body


@pytest.mark.parametrize("index", range(3))
def test_the_headers_are_those_of_the_documentation(sent: list[Received], index: int) -> None:
    headers = sent[index].headers
    assert headers["Authorization"] == "Bearer sk_test_1"
    assert headers["Content-Type"] == headers["Accept"] == "application/json"
    assert ("X-Idempotency-Key" in headers) is (sent[index].method == "POST")
