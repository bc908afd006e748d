"""A sandbox on a real port, in a thread of this process."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from dispatch_returns.errors import InvalidArgumentError
from dispatch_sandbox.app import create_app
from dispatch_sandbox.resources.webhooks import is_loopback
from dispatch_sandbox.state import SandboxState

_BACKLOG = 1024
_START_SECONDS = 10.0
_STOP_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox that accepts connections at ``url``."""

    url: str
    state: SandboxState

    @property
    def api_url(self) -> str:
        """The base URL for a Dispatch client; Stripe's clients take ``url``."""
        return f"{self.url}/v1"


@contextmanager
def running(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    state: SandboxState | None = None,
    file: str | Path | None = None,
    expose: bool = False,
) -> Generator[Sandbox]:
    """Serve a sandbox while the ``with`` block lasts, and give its addresses.

    ``port`` 0 takes a free one. ``state`` is served if given, and stays open afterwards, so
    that it can be served again; else a new one is made, kept in ``file`` (SQLite) if that is
    given. A ``host`` other than this machine needs ``expose=True``: everyone who reaches it can
    then read and change what is in it.

    Deliveries still under way at the end are cut off; with the same state or file they are made
    at the next start. Raises ``InvalidArgumentError``, and ``OSError`` if the port is taken.

    Example::

        with sandbox.running() as box:
            client = DispatchClient("sk_test_sandbox", "ws_sandbox", base_url=box.api_url)
    """
    if not (expose or is_loopback(host)):
        raise InvalidArgumentError("host", f"{host} is not this machine; pass expose=True")
    if state is not None and file is not None:
        raise InvalidArgumentError("file", "a state that is given has its own file")
    served = state or SandboxState(file=file)
    try:
        with serving(create_app(served), host=host, port=port) as url:
            for it in served.processors:
                it.base_url = f"{url}/processors/{it.name}"
            yield Sandbox(url, served)
    finally:
        if state is None:
            served.close()


@contextmanager
def serving(app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> Generator[str]:
    """Serve an ASGI application from a thread while the ``with`` block lasts; give its URL.

    ``port`` 0 takes a free one. Raises ``OSError`` if the port is taken.
    """
    with _listen(host, port) as listener:
        config = uvicorn.Config(
            app,
            log_config=None,  # the program's own logging stays as it is
            log_level="warning",
            access_log=False,
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        server = _Server(config)
        thread = threading.Thread(
            target=server.run, args=([listener],), name="dispatch-sandbox", daemon=True
        )
        thread.start()
        try:
            if not server.ready.wait(_START_SECONDS) or not server.started:
                raise RuntimeError("the server did not start; its log says why")
            host, port = listener.getsockname()[:2]
            yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        finally:
            server.should_exit = True
            thread.join()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's algorithm off only where it is; with it
    # every answer would be 40 ms late.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class _Server(uvicorn.Server):
    """A server that says when it accepts connections, or that it never will."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()
