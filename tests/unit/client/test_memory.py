"""A list of any length is walked in the same memory."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import httpx
import pytest

import dispatch_sandbox
from dispatch_returns.client import DispatchClient

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


TRANSFER = """
import asyncio, re, sys
from pathlib import Path
from dispatch_returns import AsyncDispatchClient, DispatchClient

def size():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

url, small, big, copy = sys.argv[1:]
with DispatchClient("sk_test_sandbox", "ws_sandbox", base_url=url) as dispatch:
    ticket = dispatch.tickets.create(subject="s").id
    first = dispatch.attachments.upload(ticket, small)
    dispatch.attachments.download(ticket, first.id, copy)
    before, steps = size(), []
    made = dispatch.attachments.upload(ticket, big, progress=lambda done, of: steps.append(done))
    dispatch.attachments.download(ticket, made.id, copy)

async def again():
    async with AsyncDispatchClient("sk_test_sandbox", "ws_sandbox", base_url=url) as dispatch:
        await dispatch.attachments.upload(ticket, small)
        before = size()
        made = await dispatch.attachments.upload(ticket, big)
        await dispatch.attachments.download(ticket, made.id, copy)
        return size() - before

grown = size() - before
assert steps[-1] == made.size == Path(big).stat().st_size == Path(copy).stat().st_size
print(grown, asyncio.run(again()))
"""
MEGABYTE = 1_000_000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_a_file_of_200_megabytes_goes_both_ways_in_less_than_10(tmp_path: Path) -> None:
    small, big = tmp_path / "small", tmp_path / "big"
    small.write_bytes(b"x" * 300_000)
    with big.open("wb") as file:
        file.truncate(200 * MEGABYTE)
    with dispatch_sandbox.running() as box:
        command = [sys.executable, "-c", TRANSFER, box.api_url, small, big, tmp_path / "copy"]
        shown = subprocess.check_output([str(part) for part in command], text=True, timeout=100)
    assert max(map(int, shown.split())) < 10 * MEGABYTE
