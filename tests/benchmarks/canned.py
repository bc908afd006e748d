"""A server that answers at once: a ticket, a Stripe charge, or one of 1,000 pages of tickets.

It does as little as a server can, so that what is measured is the client.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from tests.benchmarks import processes

WORKSPACE = "ws_bench"
PAGES = 1000
PAGE_SIZE = 100
TICKET: dict[str, Any] = {
    "id": "tkt_000000000000000000000001",
    "workspace_id": WORKSPACE,
    "ticket_number": 1234,
    "subject": "Return Request - Order #1234",
    "body": "It does not fit.",
    "status": "item_received",
    "priority": "normal",
    "customer_email": "jane@example.com",
    "customer_id": "cus_8842e0b7aa",
    "assignee_id": None,
    "tags": ["return"],
    "custom_fields": {
        "order_id": "1234",
        "return_reason": "wrong_size",
        "items_to_return": ["SKU-001"],
        "original_order_total": 149.0,
        "refund_amount": 149.0,
        "condition": "like_new",
    },
    "created_at": "2026-01-15T10:30:00.000Z",
    "updated_at": "2026-01-16T08:00:00.000Z",
}
CHARGE: dict[str, Any] = {
    "id": "ch_1",
    "object": "charge",
    "amount": 14900,
    "amount_captured": 14900,
    "amount_refunded": 0,
    "balance_transaction": "txn_1",
    "billing_details": {"email": "jane@example.com", "name": "Jane Example", "phone": None},
    "captured": True,
    "created": 1695332399,
    "currency": "usd",
    "description": "Order #1234",
    "disputed": False,
    "livemode": False,
    "metadata": {"order_id": "1234"},
    "paid": True,
    "payment_intent": "pi_1",
    "refunded": False,
    "status": "succeeded",
}

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_CURSOR = re.compile(rb"cursor=(\d+)")
_TICKET = json.dumps(TICKET).encode()
_CHARGE = json.dumps(CHARGE).encode()


def page(number: int) -> bytes:
    """Page `number` of the tickets; the cursor is the number of the next one."""
    first = number * PAGE_SIZE
    tickets = [TICKET | {"id": f"tkt_{n:024d}"} for n in range(first, first + PAGE_SIZE)]
    more = number + 1 < PAGES
    cursor = {"cursor": str(number + 1)} if more else {}
    return json.dumps({"data": tickets, "pagination": {"hasMore": more} | cursor}).encode()


def answer(path: bytes) -> bytes:
    if path.startswith(b"/v1/charges/"):
        return _CHARGE
    if path.partition(b"?")[0].endswith(b"/tickets"):
        cursor = _CURSOR.search(path)
        return page(int(cursor[1]) if cursor else 0)
    return _TICKET


class Canned(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, _, rest = self.received.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = int(length[1]) if length else 0
            if len(rest) < body:
                return
            self.received = rest[body:]
            self.reply(answer(head.split(b" ", 2)[1]))

    def reply(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % len(body) + body)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await processes.stdin_closed()


if __name__ == "__main__":
    asyncio.run(main())
