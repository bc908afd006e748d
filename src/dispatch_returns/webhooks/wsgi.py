"""The receivers as a plain WSGI application, for any WSGI server or framework."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from dispatch_returns.webhooks.http import MAX_LAG, Answer, HasHealth
from dispatch_returns.webhooks.receiver import (
    BaseReceiver,
    HasReceivers,
    check_sender,
    receiver_for,
)

__all__ = ["app", "health"]

Environ = dict[str, Any]
StartResponse = Callable[..., object]


class Readable(Protocol):
    """The stream a request's body comes from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, and none at the end."""
        ...


def app(
    connector: HasReceivers, sender: str | None = None
) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """Return a WSGI application that takes deliveries at whatever path it is mounted.

    `sender`: whose deliveries (``dispatch``, ``stripe``). By default the end of each request's
    path says it, and what says nothing is Dispatch's.
    """
    check_sender(connector, sender)

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        return _respond(_answer(receiver_for(connector, sender, path), environ), start_response)

    return application


def health(
    connector: HasHealth, max_lag: float = MAX_LAG
) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """Return a WSGI application that answers ``/live``, ``/ready`` and ``/lag``.

    503 where it is not ready, or the oldest event waits longer than `max_lag` seconds.
    """

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        answer = connector.health.answer(environ["REQUEST_METHOD"], path, max_lag)
        return _respond(answer, start_response)

    return application


def _respond(answer: Answer, start_response: StartResponse) -> Iterable[bytes]:
    status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
    start_response(status, [*answer.headers, ("content-length", str(len(answer.body)))])
    return [answer.body]


def _answer(receiver: BaseReceiver, environ: Environ) -> Answer:
    read = body_of(receiver, environ, environ["wsgi.input"])
    if isinstance(read, Answer):
        return read
    return receiver.receive(environ["REQUEST_METHOD"], headers_of(environ), read)


def body_of(
    receiver: BaseReceiver,
    environ: Mapping[str, Any],
    stream: Readable,
    kept: Callable[[], bytes] = bytes,
) -> bytes | Answer:
    """Return a request's body, or the answer to a request whose body need not or cannot be read.

    `stream` is where the body comes from; `kept` gives what the framework has kept of a body that
    the application read before.
    """
    headers = headers_of(environ)
    if refusal := receiver.refusal(environ["REQUEST_METHOD"], headers):
        return refusal
    length = int(headers["CONTENT-LENGTH"]) if "CONTENT-LENGTH" in headers else None
    if length is None and "wsgi.input" in environ and not environ.get("wsgi.input_terminated"):
        # A read would wait for ever (Django's request of an ASGI server ends by itself). Without
        # chunks either, there is no body.
        return receiver.length_required() if "TRANSFER-ENCODING" in headers else b""
    wanted = receiver.max_body + 1 if length is None else length
    try:
        body = read_body(stream, wanted, receiver.max_read) or kept()
    except TimeoutError:
        return receiver.too_slow()
    except Exception:  # noqa: BLE001 - cut off or malformed; each server raises its own kinds
        return receiver.incomplete(headers, 0)
    missing = not body if length is None else len(body) < length
    return receiver.incomplete(headers, len(body)) if missing else body


def headers_of(environ: Mapping[str, Any]) -> dict[str, str]:
    """Return the request's headers, as far as a receiver reads them."""
    headers = {
        key.removeprefix("HTTP_").replace("_", "-"): value
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    if length := environ.get("CONTENT_LENGTH"):  # servers write "" for a length not given
        headers["CONTENT-LENGTH"] = length
    return headers


def read_body(stream: Readable, limit: int, seconds: float) -> bytes:
    """Return the body, or its first `limit` bytes. Raises `TimeoutError` after so many `seconds`.

    The time is looked at whenever something arrives, where the stream gives what is there
    (``read1``). Where it does not, and where nothing arrives, the server must cut it off.
    """
    body, ends = bytearray(), time.monotonic() + seconds
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    while len(body) < limit and (chunk := read(limit - len(body))):
        body += chunk
        if len(body) < limit and time.monotonic() > ends:
            raise TimeoutError("the body did not arrive in time")
    return bytes(body)
