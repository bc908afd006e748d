"""A list of any length is walked in the same memory."""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import Any

import httpx

from dispatch_returns.api import DispatchClient

SIZE = 100
TICKET = {
    "workspace_id": "w", "subject": "Return Request", "status": "open", "body": "x" * 500,
    "custom_fields": {"order_id": "1234", "refund_amount": 149.0},
}  # fmt: skip


def pages(count: int) -> httpx.MockTransport:
    """A server of so many pages."""

    def answer(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("cursor", 0)) + 1
        data: list[dict[str, Any]] = [{**TICKET, "id": f"t{number}-{n}"} for n in range(SIZE)]
        pagination = {"hasMore": number < count, "cursor": str(number)}
        return httpx.Response(200, content=json.dumps({"data": data, "pagination": pagination}))

    return httpx.MockTransport(answer)


def test_the_memory_of_a_walk_does_not_grow_with_its_length() -> None:
    held: list[int] = []
    with httpx.Client(transport=pages(50)) as http:
        dispatch = DispatchClient("k", "w", http_client=http)
        tracemalloc.start()
        try:
            for number, _ in enumerate(dispatch.tickets.list()):
                if number % (5 * SIZE) == 0:
                    gc.collect()  # httpx's responses are cycles
                    held.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
    assert len(held) == 10
    # The first page imports and builds what stays; one page of tickets is 200 kB.
    assert held[-1] - held[1] < 100_000
