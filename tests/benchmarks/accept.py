"""Accepting deliveries durably, many at a time."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from urllib.parse import urlsplit

from dispatch_returns import webhooks
from tests.benchmarks import events, processes
from tests.benchmarks.harness import Goal, Result, Side, interleave
from tests.support import postgres

AT_ONCE, EACH = 32, 16
HOW = (
    f"{AT_ONCE} connections each send one signed 1.2 kB event after the other to the FastAPI"
    " mount under one uvicorn process; the time is per event. The routes differ only in their"
    " store. The slower a flush to disk (above), the more grouping gains. SQLite's own defaults,"
    " which a first version of such a route would use, flush several times for each commit."
)
REQUEST = (
    "POST /{path}/dispatch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    "X-Dispatch-Signature: {signature}\r\nContent-Length: {length}\r\n\r\n"
)
_numbers = itertools.count(1)


def request(path: str) -> bytes:
    body = events.body(next(_numbers))
    signature = webhooks.sign(body, events.SECRET)
    head = REQUEST.format(path=path, signature=signature, length=len(body))
    return head.encode() + body


async def send(host: str, port: int, requests: list[bytes]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    for one in requests:
        writer.write(one)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b"accepted" not in body:
            raise RuntimeError(f"not accepted: {body!r}")
    writer.close()
    await writer.wait_closed()


async def send_all(url: str, batches: list[list[bytes]]) -> None:
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for requests in batches:
            group.create_task(send(address.hostname, address.port, requests))


def accepting(name: str, url: str, path: str) -> Side:
    def measure() -> float:
        batches = [[request(path) for _ in range(EACH)] for _ in range(AT_ONCE)]
        start = time.perf_counter()
        asyncio.run(send_all(url, batches))
        return (time.perf_counter() - start) / (AT_ONCE * EACH)

    return Side(name, measure)


def accept() -> Result:
    """Against the same route without a store, and with a commit for each event."""
    without, each = "without a store", "a commit for each event (SQLite's defaults)"
    with (
        tempfile.TemporaryDirectory() as folder,
        processes.serving("tests.benchmarks.receiving", folder) as url,
    ):
        rounds = interleave(
            accepting("grouped commits", url, "grouped"),
            accepting(without, url, "none"),
            accepting(each, url, "delete"),
            accepting("a commit for each event (WAL)", url, "wal"),
            rounds=11,
        )
    goals = (Goal(0.5, without, speed=True), Goal(3, each, speed=True))
    return Result("Accepting deliveries durably", HOW, rounds, goals)


def accept_on_postgres() -> Result:
    """Against the same route without a store, and with a transaction for each event."""
    without, each = "without a store", "a transaction for each event, on 8 threads"
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres.new_database() as database,
        processes.serving("tests.benchmarks.receiving", folder, database) as url,
    ):
        rounds = interleave(
            accepting("grouped commits", url, "grouped"),
            accepting(without, url, "none"),
            accepting(each, url, "each"),
            rounds=11,
        )
    goals = (Goal(0.5, without, speed=True), Goal(1.3, each, speed=True))
    return Result("Accepting deliveries durably, on PostgreSQL", HOW, rounds, goals)
