"""Our endpoints as a plain WSGI application, for any WSGI server or framework."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from dispatch_returns.webhooks.http import (
    MAX_LAG,
    Endpoint,
    HasHealth,
    NoBody,
    Probes,
    Request,
)
from dispatch_returns.webhooks.receiver import Deliveries, HasReceivers

__all__ = ["app", "health", "portal"]

Environ = dict[str, Any]
StartResponse = Callable[..., object]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


def app(connector: HasReceivers, sender: str | None = None) -> Application:
    """Return a WSGI application that takes deliveries at any path it is mounted at.

    `sender`: whose deliveries (``dispatch``, ``stripe``). By default the end of each request's path
    names the sender; a path that names none is Dispatch's.
    """
    return _mount(Deliveries(connector, sender))


def health(connector: HasHealth, max_lag: float = MAX_LAG) -> Application:
    """Return a WSGI application that answers ``/live``, ``/ready`` and ``/lag``.

    It answers 503 where the connector is not ready, or the oldest event has waited longer than
    `max_lag` seconds.
    """
    return _mount(Probes(connector, max_lag))


def portal(endpoint: Endpoint) -> Application:
    """Return a WSGI application that serves a `ReturnsPortal` at any path it is mounted at."""
    return _mount(endpoint)


def _mount(endpoint: Endpoint) -> Application:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        answer = endpoint.serve(request_of(environ, environ["wsgi.input"]))
        status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
        start_response(status, [*answer.headers, ("content-length", str(len(answer.body)))])
        return [answer.body]

    return application


class Readable(Protocol):
    """The stream that a request's body comes from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, or none at the end."""
        ...


def request_of(
    environ: Mapping[str, Any], stream: Readable, kept: Callable[[], bytes] = bytes
) -> Request:
    """Return our request for a WSGI `environ`, also for Flask's and Django's.

    The body comes from `stream`; `kept` returns what the framework has kept of a body that the
    application read before.
    """
    headers = {
        key.removeprefix("HTTP_").replace("_", "-"): value
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    if length := environ.get("CONTENT_LENGTH"):  # servers write "" for a missing length
        headers["CONTENT-LENGTH"] = length

    def read(limit: int, seconds: float) -> bytes | NoBody:
        length = int(headers["CONTENT-LENGTH"]) if "CONTENT-LENGTH" in headers else None
        if length is None and "wsgi.input" in environ and not environ.get("wsgi.input_terminated"):
            # A read would wait forever (Django's request from an ASGI server ends by itself).
            # Without chunks either, there is no body.
            return NoBody("no length") if "TRANSFER-ENCODING" in headers else b""
        try:
            wanted = limit + 1 if length is None else length
            body = _read(stream, wanted, seconds) or kept()
        except TimeoutError:
            return NoBody("too slow")
        except Exception:  # noqa: BLE001 - cut off or malformed; each server raises its own kinds
            return NoBody("broken off")
        missing = not body if length is None else len(body) < length
        return NoBody("broken off", len(body)) if missing else body

    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    query, client = environ.get("QUERY_STRING", ""), environ.get("REMOTE_ADDR")
    return Request(environ["REQUEST_METHOD"], path, query, headers, read, client=client or None)


def _read(stream: Readable, limit: int, seconds: float) -> bytes:
    """Return the body, or its first `limit` bytes. Raises `TimeoutError` after `seconds`.

    It checks the time whenever something arrives, where the stream returns what is there
    (``read1``). Where it does not, and where nothing arrives, the server must cut it off.
    """
    body, ends = bytearray(), time.monotonic() + seconds
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    while len(body) < limit and (chunk := read(limit - len(body))):
        body += chunk
        if len(body) < limit and time.monotonic() > ends:
            raise TimeoutError("the body did not arrive in time")
    return bytes(body)
