"""A FastAPI app under uvicorn that takes deliveries at four paths, which differ in their store.

``python -m tests.benchmarks.receiving FOLDER`` keeps its databases in FOLDER.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import uvicorn
from fastapi import FastAPI
from sqlalchemy import Connection, create_engine

from dispatch_returns.store import Store
from dispatch_returns.webhooks import fastapi
from dispatch_returns.webhooks.receiver import InboxStore, Receiver
from tests.benchmarks import events, processes

T = TypeVar("T")


@dataclass(frozen=True)
class Mounted:
    """What a mount takes: something with receivers."""

    receivers: Mapping[str, Receiver]


class NoStore:
    """Keeps nothing."""

    def submit(self, name: str, work: Callable[[Connection], T], /) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(cast("T", [True]))
        return done


class CommitEach:
    """Commits each event on its own, as one would write it first; every commit is flushed.

    `journal` is SQLite's: ``delete`` is what it begins with, ``wal`` is what ours uses.
    """

    def __init__(self, path: Path, journal: str) -> None:
        Store.open(f"sqlite:///{path}").close()  # for the schema
        self._engine = create_engine(f"sqlite:///{path}")
        with self._engine.connect() as conn:
            conn.exec_driver_sql(f"PRAGMA journal_mode={journal}")

    def submit(self, name: str, work: Callable[[Connection], T], /) -> Future[T]:
        done: Future[T] = Future()
        with self._engine.begin() as conn:
            result = work(conn)
        done.set_result(result)
        return done


class CommitInThreads:
    """Commits each event on its own on PostgreSQL, in as many threads as it has connections."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(
            url.replace("postgresql:", "postgresql+psycopg:"),
            pool_size=8,
            connect_args={"options": "-csearch_path=dispatch_returns"},
        )
        self._threads = ThreadPoolExecutor(8)

    def submit(self, name: str, work: Callable[[Connection], T], /) -> Future[T]:
        def run() -> T:
            with self._engine.begin() as conn:
                return work(conn)

        return self._threads.submit(run)


def build(folder: Path, postgres: str | None) -> FastAPI:
    app = FastAPI()
    stores: dict[str, InboxStore] = {
        "grouped": Store.open(f"sqlite:///{folder / 'grouped.db'}"),
        "none": NoStore(),
        "wal": CommitEach(folder / "wal.db", "wal"),
        "delete": CommitEach(folder / "delete.db", "delete"),
    }
    if postgres is not None:
        stores |= {"grouped": Store.open(postgres), "each": CommitInThreads(postgres)}
    for name, store in stores.items():
        mounted = Mounted({"dispatch": Receiver(store, events.SECRET)})
        app.include_router(fastapi.router(mounted), prefix=f"/{name}")
    return app


async def main(folder: Path, postgres: str | None = None) -> None:
    # Named as TCP, or asyncio leaves Nagle's delay on and every answer waits for 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    config = uvicorn.Config(build(folder, postgres), log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    await processes.stdin_closed()
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
