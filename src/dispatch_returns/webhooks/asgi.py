"""Our endpoints as a plain ASGI application, for any ASGI server or framework."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from dispatch_returns.webhooks.http import (
    MAX_LAG,
    AsyncRequest,
    Endpoint,
    HasHealth,
    NoBody,
    Probes,
)
from dispatch_returns.webhooks.receiver import Deliveries, HasReceivers

__all__ = ["app", "health", "portal"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def app(connector: HasReceivers, sender: str | None = None) -> Mount:
    """Return an ASGI application that takes deliveries at any path it is mounted at.

    `sender`: whose deliveries (``dispatch``, ``stripe``). By default the end of each request's path
    names the sender; a path that names none is Dispatch's.
    """
    return Mount(Deliveries(connector, sender))


def health(connector: HasHealth, max_lag: float = MAX_LAG) -> Mount:
    """Return an ASGI application that answers ``/live``, ``/ready`` and ``/lag``.

    It answers 503 where the connector is not ready, or the oldest event has waited longer than
    `max_lag` seconds.
    """
    return Mount(Probes(connector, max_lag))


def portal(endpoint: Endpoint) -> Mount:
    """Return an ASGI application that serves a `ReturnsPortal` at any path it is mounted at."""
    return Mount(endpoint)


class Mount:
    """The application. A class, because Starlette would take a function for its own endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            body = _Body(receive)
            answer = await self._endpoint.serve_async(_request(scope, body))
            if not body.client_is_gone:
                said = [*answer.headers, ("content-length", str(len(answer.body)))]
                if answer.status == 408:
                    said.append(("connection", "close"))  # we do not wait for the rest of the body
                headers = [(name.encode(), value.encode()) for name, value in said]
                await send(
                    {"type": "http.response.start", "status": answer.status, "headers": headers}
                )
                await send({"type": "http.response.body", "body": answer.body})


class _Body:
    """A request's body, read when an endpoint wants it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.client_is_gone = False

    async def read(self, limit: int, seconds: float) -> bytes | NoBody:
        """Return the body, or enough of it to show that it is over `limit`."""
        body = bytearray()
        more = True
        try:
            async with asyncio.timeout(seconds):
                while more and len(body) <= limit:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        self.client_is_gone = True
                        return NoBody("broken off", len(body))
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
        except TimeoutError:
            return NoBody("too slow", len(body))
        return bytes(body)


def _request(scope: Scope, body: _Body) -> AsyncRequest:
    client = scope.get("client")
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return AsyncRequest(
        scope["method"],
        scope["path"],
        scope.get("query_string", b"").decode("latin-1"),
        headers,
        body.read,
        client=client[0] if client else None,
    )
