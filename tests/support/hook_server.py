"""A real HTTP server that gets webhook deliveries and answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Post:
    """One delivery as it arrived; header names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


@dataclass
class HookServer:
    """What arrived, and how it is answered: with ``statuses`` in turn, then with 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list[int])
    answer: bytes = b'{"received":true}'
    answering: threading.Event = field(default_factory=threading.Event)
    """Answers wait until it is set."""
    _posts: list[Post] = field(default_factory=list[Post])
    _arrived: threading.Condition = field(default_factory=threading.Condition)

    @property
    def posts(self) -> list[Post]:
        with self._arrived:
            return list(self._posts)

    def events(self) -> list[str]:
        return [post.json["event"] for post in self.posts]

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Post]:
        """Wait until so many deliveries have arrived; fail after ``timeout`` seconds."""
        return self.wait_until(lambda posts: len(posts) >= count, timeout)

    def wait_until(self, wanted: Callable[[list[Post]], bool], timeout: float = 10.0) -> list[Post]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: wanted(self._posts), timeout), self._posts
            return list(self._posts)

    def take(self, post: Post) -> int:
        """Keep a delivery and give the status it is answered with."""
        with self._arrived:
            self._posts.append(post)
            self._arrived.notify_all()
            status = self.statuses.pop(0) if self.statuses else 200
        self.answering.wait(30)
        return status


@contextmanager
def hook_server() -> Generator[HookServer]:
    """Serve on a free port of this machine."""
    hooks = HookServer()
    hooks.answering.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = hooks.take(Post(self.path, headers, body))
            try:
                self.send_response(status)
                self.send_header("content-length", str(len(hooks.answer)))
                self.end_headers()
                self.wfile.write(hooks.answer)
            except OSError:
                self.close_connection = True  # the sender has given up

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hooks.url = f"http://127.0.0.1:{server.server_port}/hooks"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield hooks
        finally:
            hooks.answering.set()
            server.shutdown()
            thread.join()
