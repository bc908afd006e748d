"""``serve`` and ``worker``: for a merchant without a web application to mount into."""

from __future__ import annotations

import contextlib
import json as jsonlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Collection, Generator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatch_returns.cli.common import Stop, stop_signals
from dispatch_returns.cli.errors import REFUSED
from dispatch_returns.cli.output import Json, Listing, show, warn
from dispatch_returns.errors import ConfigurationError

if TYPE_CHECKING:
    from dispatch_returns.connector.connector import Connector
    from dispatch_returns.webhooks.asgi import Mount, Receive, Scope, Send

log = logging.getLogger(__name__)

HEALTH = "/health"
PORTAL = "/returns"
"""Where the portal is, if `DISPATCH_RETURNS_PORTAL_URL` is set."""
FOLDER = "/webhooks"
PATH = f"{FOLDER}/dispatch"
"""The guide's own path. The processor's is next to it: ``/webhooks/stripe``."""

_HANG_UP_SECONDS = 10


def serve(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8000,
    max_lag: Annotated[
        float, typer.Option(min=0, help="Seconds that events may wait before /health/lag is 503.")
    ] = 300.0,
    health: Annotated[bool, typer.Option(help="Whether to answer probes.")] = True,
    health_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="A separate port for the probes; 0 takes a free one."),
    ] = None,
    json: Json = False,
) -> None:
    """Receive events and pay refunds, in one process.

    Also answers probes: /health/live, /health/ready and /health/lag. They show how many refunds
    are held, so if --port is public, use --health-port or --no-health. With
    DISPATCH_RETURNS_PORTAL_URL the portal is at /returns.
    Ctrl-C or SIGTERM stops it after the current work is finished.
    """
    from dispatch_returns.connector.connector import Connector
    from dispatch_returns.connector.settings import Settings
    from dispatch_returns.webhooks import asgi
    from dispatch_returns.webhooks.receiver import DISPATCH

    _log_to_stderr()
    if not Settings.from_env().webhook_secrets:  # before a database is created
        raise ConfigurationError(
            "DISPATCH_WEBHOOK_SECRET is not set, so every delivery would be refused:"
            " dispatch-returns setup --webhook-url ... creates the webhook and shows its secret"
        )
    with contextlib.ExitStack() as running:
        stop = running.enter_context(stop_signals())
        connector = running.enter_context(Connector.from_env())
        listener = running.enter_context(listen(host, port))
        mount, probes = asgi.app(connector), asgi.health(connector, max_lag) if health else None
        paths = {sender: f"{FOLDER}/{sender}" for sender in connector.receivers}
        urls = {sender: _url(listener) + path for sender, path in paths.items()}
        others = {f"{it}_url": url for it, url in urls.items() if it != DISPATCH}
        if probes is not None and health_port is not None:
            probed = running.enter_context(listen(host, health_port))
            running.enter_context(serving(_Paths(mount, (), probes), probed, stop))
            others["health_url"] = _url(probed) + HEALTH
            probes = None
        elif probes is not None:
            others["health_url"] = _url(listener) + HEALTH
        portal: Mount | None = None
        if connector.settings.portal_url is not None:
            from dispatch_returns.portal import ReturnsPortal

            portal = asgi.portal(ReturnsPortal(connector))
            others["portal_url"] = f"{_url(listener)}{PORTAL}/"
        app = _Paths(mount, paths.values(), probes, portal)
        running.enter_context(serving(app, listener, stop))
        connector.start()
        _show_start(connector, {"url": urls[DISPATCH], **others}, as_json=json)
        _wait(stop)
    raise typer.Exit(stop.code)


def worker(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Do everything that is due now, then exit.")
    ] = False,
    json: Json = False,
) -> None:
    """Pay refunds, without receiving events.

    Any number of workers may run at the same time, with or without `serve`. Ctrl-C or SIGTERM
    stops it after the current work is finished.
    """
    from dispatch_returns.connector.connector import Connector

    _log_to_stderr()
    if once:
        with Connector.from_env() as connector:
            steps = connector.work_off()
        show({"steps": steps}, f"Nothing more is due. Steps done: {steps}.", as_json=json)
        return
    with stop_signals() as stop, Connector.from_env() as connector:
        connector.start()
        _show_start(connector, {}, as_json=json)
        _wait(stop)
    raise typer.Exit(stop.code)


@contextlib.contextmanager
def listen(host: str, port: int) -> Generator[socket.socket]:
    """Yield a listening socket. Raises `ConfigurationError` if the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # If a socket names no protocol, asyncio does not know that it is TCP, and leaves Nagle's
    # algorithm on: each delivery on a kept-alive connection is then answered 40 ms late.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6 and socket.has_dualstack_ipv6():
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((host, port))
            listener.listen(1024)
        except OSError as error:
            raise cannot_listen(host, port, error) from None
        yield listener


def cannot_listen(host: str, port: int, error: OSError) -> ConfigurationError:
    """Return the error for an address that cannot be used to listen."""
    # Python adds the address to the cause; the message names it already.
    why = (error.strerror or str(error)).partition(" (while")[0]
    return ConfigurationError(
        f"cannot listen on {host}, port {port}: {why}. Choose another with --port or --host"
    )


@contextlib.contextmanager
def serving(app: Any, listener: socket.socket, stop: Stop) -> Generator[None]:
    """Serve an ASGI application in a thread during the block; if it ends early, set `stop`."""
    try:
        import uvicorn
    except ModuleNotFoundError:
        from dispatch_returns.errors import MissingExtraError

        raise MissingExtraError("cli", "dispatch-returns serve") from None
    config = uvicorn.Config(
        app,
        log_config=None,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=_HANG_UP_SECONDS,
    )
    server = uvicorn.Server(config)

    def run() -> None:
        try:
            server.run(sockets=[listener])
        finally:
            # If nobody asked it to end, it has failed.
            if not server.should_exit:
                stop.set(REFUSED)

    # In a thread, because in the main thread uvicorn handles the signals itself.
    thread = threading.Thread(target=run, name="dispatch-returns-server", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


class _Paths:
    """Routes requests to webhooks, probes and the portal, and answers all others with 404."""

    def __init__(
        self,
        mount: Mount,
        paths: Collection[str],
        probes: Mount | None,
        portal: Mount | None = None,
    ) -> None:
        self._mount = mount
        self._probes = probes
        self._portal = portal
        self._paths = paths
        self._not_found = jsonlib.dumps({"status": "not found", "webhooks": [*paths]}).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._probes is not None and scope["path"].startswith(f"{HEALTH}/"):
            await self._probes(scope, receive, send)
            return
        if self._portal is not None and f"{scope['path']}/".startswith(f"{PORTAL}/"):
            await self._portal(scope, receive, send)
            return
        if scope["path"].rstrip("/") in self._paths:
            await self._mount(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": self._not_found})


def _show_start(connector: Connector, more: dict[str, object], *, as_json: bool) -> None:
    from dispatch_returns.store import switches
    from dispatch_returns.store.switches import Switch

    settings = connector.settings
    stopped = connector.refunds.stopped_by()
    document = {
        **more,
        "workspace": settings.workspace,
        "adapters": ", ".join(connector.adapters),
        "workers": settings.workers,
        "kill_switch": Switch.KILL in stopped,
        "dry_run": Switch.DRY_RUN in stopped,
    }
    show(document, Listing(document), "Ctrl-C stops it.", as_json=as_json)
    if Switch.RESTORED in stopped:
        warn("the database was restored: nothing is paid until it is reconciled")
    if Switch.KILL in stopped:
        warn("the kill switch is on: nothing is paid")
    for name in connector.adapters:
        if switches.kill_of(name) in stopped:
            warn(f"the kill switch of {name} is on: nothing is paid through it")
    if Switch.DRY_RUN in stopped:
        warn("dry run is on: nothing is paid")


def _wait(stop: Stop) -> None:
    stop.wait()
    log.info("stopping after the current work is finished; Ctrl-C again stops at once")


def _log_to_stderr() -> None:
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    # Their lines, one for each call or plugin, would bury ours.
    for chatty in ("httpx", "stripe", "alembic.runtime.plugins"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
