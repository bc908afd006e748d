"""A small real HTTP server that answers as a test has told it, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes
    connection: int
    """Which of the clients' connections it came on, by its port."""

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What to answer: `body` is bytes as they are, or anything else as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    hang_up: bool = False
    """Close the connection instead of answering."""
    after: threading.Event | None = None
    """Answer only once this is set; 10 seconds at the most."""


class ApiServer:
    """Answers with `replies` in their order, then with what `otherwise` makes of a request."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.replies: list[Reply] = []
        self.otherwise: Callable[[Received], Reply] = lambda _: Reply(599, {"message": "no reply"})
        self._lock = threading.Lock()
        self._http = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def reply(self, *replies: Reply) -> None:
        """Answer the next requests with these."""
        self.replies.extend(replies)

    def reply_json(self, *bodies: Any) -> None:
        """Answer the next requests with these, as JSON and with status 200."""
        self.reply(*(Reply(body=body) for body in bodies))

    def take(self, received: Received) -> Reply:
        """Remember a request, and return what it is to be answered with."""
        with self._lock:
            self.received.append(received)
            return self.replies.pop(0) if self.replies else self.otherwise(received)

    @contextmanager
    def running(self) -> Iterator[ApiServer]:
        """Serve in a thread."""
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


def _handler(server: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        timeout = 10

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            headers, port = dict(self.headers.items()), self.client_address[1]
            received = Received(self.command, parts.path, query, headers, body, port)
            reply = server.take(received)
            if reply.after is not None:
                reply.after.wait(10)
            if reply.hang_up:
                self.close_connection = True
                return
            content = reply.body if isinstance(reply.body, bytes) else _json(reply.body)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's names

        def log_message(self, *args: object) -> None:
            pass

    return Handler


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()
