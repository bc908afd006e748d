"""Counts what work costs: commits and statements of the store, and requests to the API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import httpx
from sqlalchemy import event

from dispatch_returns.store import Store


class Counted:
    """What was counted: ``writes`` by name, ``statements``, and ``calls`` to the API."""

    def __init__(self) -> None:
        self.writes: Counter[str] = Counter()
        self.statements = 0
        self.calls: Counter[str] = Counter()

    @property
    def claims(self) -> int:
        """How many of the writes only claimed, or found nothing to claim."""
        return sum(number for name, number in self.writes.items() if name.endswith(".claim"))


@contextmanager
def counted(store: Store) -> Iterator[Counted]:
    """Count what happens to `store` and over HTTP while the block lasts."""
    found = Counted()
    write, send = Store.write, httpx.Client.send

    def counting(self: Store, name: str, work: Any) -> Any:
        found.writes[name] += 1
        return write(self, name, work)

    def sending(self: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        ends = request.url.path.rstrip("/").rpartition("/")[2]
        found.calls[f"{request.method} {ends if ends.isalpha() else '*'}"] += 1
        return send(self, request, **options)

    def execute(*_: object) -> None:
        found.statements += 1

    event.listen(store._engine, "before_cursor_execute", execute)
    try:
        with (
            mock.patch.object(Store, "write", counting),
            mock.patch.object(httpx.Client, "send", sending),
        ):
            yield found
    finally:
        event.remove(store._engine, "before_cursor_execute", execute)
