"""The receivers as a plain WSGI application, for any WSGI server or framework."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from dispatch_returns.health import MAX_LAG, HasHealth
from dispatch_returns.webhooks.receiver import (
    BROKEN_OFF,
    Answer,
    BaseReceiver,
    HasReceivers,
    check_sender,
    receiver_for,
)

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
    method, headers = environ["REQUEST_METHOD"], headers_of(environ)
    if refusal := receiver.refusal(method, headers):
        return refusal
    try:
        length = _length(environ, receiver.max_body + 1)
        body = read_body(environ["wsgi.input"], length, receiver.max_read)
    except TimeoutError:
        return receiver.too_slow()
    except OSError:  # the client is gone; servers raise their own kinds of it
        return BROKEN_OFF
    return receiver.receive(method, headers, body)


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


def _length(environ: Mapping[str, Any], limit: int) -> int:
    """Return how many bytes may be read: beyond the body a read would wait for ever."""
    if length := environ.get("CONTENT_LENGTH"):
        return min(int(length), limit)
    return limit if environ.get("wsgi.input_terminated") else 0


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
