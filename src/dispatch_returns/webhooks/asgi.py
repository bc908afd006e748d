"""The receivers as a plain ASGI application, for any ASGI server or framework."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from dispatch_returns.webhooks.http import MAX_LAG, Answer, HasHealth
from dispatch_returns.webhooks.receiver import (
    HasReceivers,
    check_sender,
    receiver_for,
)

__all__ = ["app", "health"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def app(connector: HasReceivers, sender: str | None = None) -> Mount:
    """Return an ASGI application that takes deliveries at whatever path it is mounted.

    `sender`: whose deliveries (``dispatch``, ``stripe``). By default the end of each request's
    path says it, and what says nothing is Dispatch's.
    """
    return Mount(connector, sender)


def health(connector: HasHealth, max_lag: float = MAX_LAG) -> Probes:
    """Return an ASGI application that answers ``/live``, ``/ready`` and ``/lag``.

    503 where it is not ready, or the oldest event waits longer than `max_lag` seconds.
    """
    return Probes(connector, max_lag)


class Probes:
    """The application of `health`."""

    def __init__(self, connector: HasHealth, max_lag: float) -> None:
        self._connector = connector
        self._max_lag = max_lag

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        ask = self._connector.health.answer
        # In a thread: the store may take its time, and the loop has deliveries to answer.
        answer = await asyncio.to_thread(ask, scope["method"], scope["path"], self._max_lag)
        await _send(answer, send)


class Mount:
    """The application. Not a function, which Starlette would take for an endpoint of its own."""

    def __init__(self, connector: HasReceivers, sender: str | None = None) -> None:
        check_sender(connector, sender)
        self._connector = connector
        self._sender = sender

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        receiver = receiver_for(self._connector, self._sender, scope["path"])
        method, headers = scope["method"], _headers(scope["headers"])
        answer = receiver.refusal(method, headers)
        if answer is None:
            try:
                async with asyncio.timeout(receiver.max_read):
                    body = await _body(receive, receiver.max_body)
            except TimeoutError:
                # The rest of the body is not waited for.
                await _send(receiver.too_slow(), send, ("connection", "close"))
                return
            if isinstance(body, int):
                receiver.incomplete(headers, body)  # for the log: nobody waits for an answer
                return
            answer = await receiver.receive_async(method, headers, body)
        await _send(answer, send)


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


async def _body(receive: Receive, limit: int) -> bytes | int:
    """Return the body, or so much of it that it is seen to be over `limit`.

    A number: the client is gone after so many bytes.
    """
    body = bytearray()
    more = True
    while more and len(body) <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            return len(body)
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


async def _send(answer: Answer, send: Send, *more: tuple[str, str]) -> None:
    said = (*answer.headers, ("content-length", str(len(answer.body))), *more)
    headers = [(name.encode(), value.encode()) for name, value in said]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _live(receive: Receive, send: Send) -> None:
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})
