"""How a test speaks to an ASGI or a WSGI application: directly, so that exceptions come through."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """One request. ``length`` is the Content-Length: that of the body, another, or None.

    ``piece`` is how many bytes of the body arrive at a time. ``breaks_off``: the client goes
    away where the body ends.
    """

    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    method: str = "POST"
    length: str | None = "true"
    piece: int = 65_536
    breaks_off: bool = False
    query: str = ""
    client: str = "127.0.0.1"

    def all_headers(self) -> list[tuple[str, str]]:
        if self.length is None:
            return self.headers
        length = str(len(self.body)) if self.length == "true" else self.length
        return [*self.headers, ("Content-Length", length)]

    def pieces(self) -> Iterator[bytes]:
        for start in range(0, len(self.body), self.piece):
            yield self.body[start : start + self.piece]


@dataclass
class Reply:
    """What came back. ``read`` is how much of the request's body the application took."""

    status: int | None
    headers: dict[str, str]
    body: bytes
    read: int

    @property
    def word(self) -> str:
        found = json.loads(self.body)
        assert list(found) == ["status"]
        return str(found["status"])


async def ask_asgi_async(app: Any, request: Request, path: str) -> Reply:
    reply = Reply(None, {}, b"", 0)
    pieces = request.pieces()
    waiting = [next(pieces, b"")]
    answered = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not waiting:
            if not request.breaks_off:  # the client waits for its answer
                await answered.wait()
            return {"type": "http.disconnect"}
        piece = waiting.pop()
        reply.read += len(piece)
        following = next(pieces, None)
        if following is not None:
            waiting.append(following)
        more = following is not None or request.breaks_off
        return {"type": "http.request", "body": piece, "more_body": more}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            reply.body += message["body"]
            if not message.get("more_body", False):
                answered.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": request.query.encode(),
        "headers": [
            (k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in request.all_headers()
        ],
        "client": (request.client, 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    return reply


def ask_asgi(app: Any, request: Request, path: str) -> Reply:
    """Send `request` to an ASGI application; what it raises is raised here."""
    return asyncio.run(ask_asgi_async(app, request, path))


class Input(io.RawIOBase):
    """A request body that comes in pieces, as from a socket; reading beyond it would hang."""

    def __init__(self, request: Request, *, terminated: bool) -> None:
        self._left = b"".join(request.pieces())
        self._request = request
        self._terminated = terminated
        self.taken = 0

    def read(self, size: int = -1, /) -> bytes:
        if not self._left and self._request.breaks_off:
            raise ConnectionResetError
        assert self._left or self._terminated or size == 0, "this read would wait for ever"
        size = len(self._left) if size < 0 else size
        size = min(size, self._request.piece)
        piece, self._left = self._left[:size], self._left[size:]
        self.taken += len(piece)
        return piece

    def readinto(self, buffer: Any, /) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def environ_of(request: Request, path: str, *, terminated: bool) -> dict[str, Any]:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": request.query,
        "REMOTE_ADDR": request.client,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": Input(request, terminated=terminated),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if terminated:
        environ["wsgi.input_terminated"] = True
    for name, value in request.all_headers():
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def ask_wsgi(app: Any, request: Request, path: str) -> Reply:
    """Send `request` to a WSGI application; what it raises is raised here.

    A request without a length comes in chunks, from a server that knows where they end.
    """
    reply = Reply(None, {}, b"", 0)
    environ = environ_of(request, path, terminated=request.length is None)
    source = environ["wsgi.input"]

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        reply.status = int(status[:3])
        reply.headers = {name.lower(): value for name, value in headers}

    answer: Iterable[bytes] = app(environ, start_response)
    try:
        reply.body = b"".join(answer)
    finally:
        if close := getattr(answer, "close", None):
            close()
    reply.read = source.taken
    return reply
