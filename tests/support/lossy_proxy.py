"""A proxy between a client and any HTTP server, which loses answers when told to."""

from __future__ import annotations

import http.client
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

_NOT_PASSED_ON = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


class LossyProxy(ThreadingHTTPServer):
    """Passes requests on, and their answers back, but for one that is to be lost.

    ``drops`` names form fields that the server does not know and are left out.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, target: str, drops: frozenset[str] = frozenset()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target)
        self.drops = drops
        self._lock = threading.Lock()
        self._losing: list[str] = []
        self.lost = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that is gone: it may have been killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection to the server."""
        secure = self.target.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        return kind(self.target.netloc, timeout=30)

    def lose_next_response(self, to: str = "") -> None:
        """Let the next request be carried out, and cut the connection instead of answering.

        `to`: the next one that begins so (``POST /v1/refunds``).
        """
        with self._lock:
            self._losing.append(to)

    def lose_nothing(self) -> None:
        """Take back what was to be lost and has not been."""
        with self._lock:
            self._losing.clear()

    def loses_this(self, request: str) -> bool:
        """Whether the answer to `request` is one to lose."""
        with self._lock:
            for wanted in self._losing:
                if request.startswith(wanted):
                    self._losing.remove(wanted)
                    self.lost += 1
                    return True
        return False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LossyProxy

    def _pass_on(self) -> None:
        body = self._body()
        upstream = self.server.connect()
        try:
            upstream.request(self.command, self.path, body, _kept(self.headers.items()))
            answer = upstream.getresponse()
            content = answer.read()
            headers = _kept(answer.getheaders())
        finally:
            upstream.close()
        if self.server.loses_this(f"{self.command} {self.path}"):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._answer(answer.status, headers, content)

    do_GET = do_POST = do_DELETE = _pass_on  # noqa: N815 - the names http.server calls

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if not self.server.drops or not body:
            return body
        fields = parse_qsl(body.decode(), keep_blank_values=True)
        return urlencode([f for f in fields if f[0] not in self.server.drops]).encode()

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _kept(headers: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in _NOT_PASSED_ON}


@contextmanager
def lossy_proxy(target: str, drops: frozenset[str] = frozenset()) -> Iterator[LossyProxy]:
    """Run a proxy in front of `target`."""
    with LossyProxy(target, drops) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join(10)
