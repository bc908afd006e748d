"""What can go wrong with a refund at a shop, and the HTTP around each answer."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from dispatch_sandbox.cut import cut

FaultKind = Literal[
    "lost_answer", "broken_answer", "broken_before", "in_progress", "rate_limited", "refused"
]
"""Of the call that creates a refund: carried out, and the answer lost, or a 500 in its place; not
carried out, with a 500; another call under way; too many calls; refused, with ``says``."""


@dataclass(slots=True)
class ShopFault:
    """A fault that is armed for the next call that creates a refund."""

    kind: FaultKind
    says: str = ""


@dataclass(slots=True)
class ShopFaults:
    """The armed faults, which strike in their order. Safe to use from any thread."""

    _armed: list[ShopFault] = field(default_factory=list[ShopFault])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: ShopFault) -> None:
        """Arm a fault."""
        with self._lock:
            self._armed.append(fault)

    def take(self, *kinds: FaultKind) -> ShopFault | None:
        """Return the next fault if it is one of these kinds, and disarm it."""
        with self._lock:
            if self._armed and self._armed[0].kind in kinds:
                return self._armed.pop(0)
        return None


@dataclass(frozen=True, slots=True)
class ShopReply:
    """An answer; ``lost``: the connection is cut instead."""

    status: int
    content: Any
    lost: bool = False


class ShopApp:
    """An ASGI application that answers each request with the JSON that `answer` gives.

    `answer` gets the request and the object in its body, an empty one where there is none.
    It is bare ASGI, because an answer that must be lost needs the connection itself.
    """

    def __init__(self, answer: Callable[[Request, dict[str, Any]], ShopReply]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        request = Request(scope, receive)
        body = await request.body()
        try:
            data: Any = json.loads(body) if body else {}
        except ValueError:
            data = {}
        given = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
        reply = await asyncio.to_thread(self._answer, request, given)
        if reply.lost:
            await cut(receive, send)
            return
        content = json.dumps(reply.content).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
            (b"x-sandbox", b"dispatch-returns"),
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": content})
