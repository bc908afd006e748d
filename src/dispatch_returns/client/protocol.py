"""From an operation to a request, and from an answer to a value or an error. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

import httpx

from dispatch_returns import errors
from dispatch_returns.client import arguments
from dispatch_returns.client.exact_json import loads
from dispatch_returns.client.operation import Operation, UnreadableError
from dispatch_returns.client.transfer import Download, Upload
from dispatch_returns.clock import Clock

T = TypeVar("T")


_STATUS_ERRORS: Mapping[int, type[errors.APIStatusError]] = {
    400: errors.ValidationError,
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    422: errors.ValidationError,
    429: errors.RateLimitError,
}
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""Each of these happens before a byte of the request is sent."""
_LONGEST_MESSAGE = 300
_MOST_PROBLEMS = 20
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """What goes on the wire. Its ``repr`` shows no query, no header and no body."""

    method: str
    path: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def idempotency_key(self) -> str | None:
        """The key by which the server knows a repeated call."""
        return self.headers.get("X-Idempotency-Key")


def common_headers(api_key: str) -> dict[str, str]:
    """Return the headers that every request carries."""
    return {
        "Authorization": f"Bearer {api_key}",
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": "dispatch-returns",
    }


def request(
    operation: Operation[Any], base_url: str, common: Mapping[str, str], new_key: str | None
) -> ApiRequest:
    """Return `operation` as a request with the `common` headers.

    A POST without an idempotency key gets `new_key`.
    """
    key = operation.idempotency_key or new_key
    query = f"?{urlencode(operation.query)}" if operation.query else ""
    return ApiRequest(
        operation.method,
        operation.path,
        f"{base_url}{operation.path}{query}",
        common if key is None else {**common, "X-Idempotency-Key": key},
        operation.content,
    )


def presigned(transfer: Upload | Download) -> ApiRequest:
    """Return a transfer as a request to its presigned address, without any of our headers."""
    arguments.web_address("presigned address", transfer.url.partition("?")[0])
    if isinstance(transfer, Download):
        return ApiRequest("GET", transfer.path, transfer.url, {}, None)
    headers = {"Content-Type": transfer.content_type, "Content-Length": str(transfer.size)}
    return ApiRequest("PUT", transfer.path, transfer.url, headers, None)


def read(operation: Operation[T], response: httpx.Response, secret: str, now: Clock) -> T:
    """Return what `operation` asked for, from a `response` that is wholly here.

    Raises the `APIStatusError` of a bad status (`OutcomeUnknownError` for one that leaves open
    whether a PATCH was carried out), and `APIResponseError` if a good answer cannot be
    understood. `secret` is taken out of whatever the server says; `now` tells the time,
    for a ``Retry-After`` that is a date.
    """
    status = response.status_code
    if 200 <= status < 300:
        try:
            return operation.answer(response.content)
        except UnreadableError as unreadable:
            raises, problem = unreadable.raises, unreadable.problem
        # Raised out here, for the cause would show the values that were refused.
        message = f"{operation}: the answer cannot be understood: {problem}"
        raise raises(message, request_id=request_id(response))
    if status >= 400:
        error = status_error(str(operation), response, secret, now)
        if operation.method == "PATCH" and (status == 408 or status >= 500):
            raise errors.OutcomeUnknownError(
                error.message, status_code=status, request_id=error.request_id
            )
        raise error
    message = f"{operation} answered {status}, which is no answer: check base_url"
    raise errors.APIResponseError(message, request_id=request_id(response))


def request_id(response: httpx.Response) -> str | None:
    """Return what the server calls this request."""
    return response.headers.get("x-request-id", "")[:100] or None


def status_error(
    call: str, response: httpx.Response, secret: str, now: Clock
) -> errors.APIStatusError:
    """Return the error for an answer with a status of 400 or more."""
    status = response.status_code
    try:
        read = loads(response.content)
    except ValueError:
        read = None
    body = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
    fallback = errors.ServerError if status >= 500 else errors.APIStatusError
    said = _shown(body.get("message") or body.get("error"), secret)
    listed = body.get("errors")
    entries = cast("list[object]", listed) if isinstance(listed, list) else []
    found = [cast("dict[str, object]", entry) for entry in entries if isinstance(entry, dict)]
    return _STATUS_ERRORS.get(status, fallback)(
        f"{call} answered {status}: {said or 'no message'}",
        status_code=status,
        code=_shown(body.get("code"), secret) or None,
        errors=[
            errors.FieldProblem(_shown(it.get("field"), secret), _shown(it.get("message"), secret))
            for it in found[:_MOST_PROBLEMS]
        ],
        request_id=request_id(response),
        retryable=status in {408, 429} or status >= 500,
        retry_after=retry_after(response.headers.get("retry-after"), now),
    )


def transport_error(sent: ApiRequest, cause: httpx.RequestError) -> errors.APIError:
    """Return the error for a request that got no whole answer.

    The cause's own text is shown only where it can hold neither a header nor an answer.
    """
    call = str(sent)
    kind = type(cause).__name__
    lost = httpx.TimeoutException | httpx.NetworkError | httpx.RemoteProtocolError
    if sent.method == "PATCH" and isinstance(cause, lost) and not isinstance(cause, _NOT_SENT):
        # Sent again, it could undo what a person has set since.
        return errors.OutcomeUnknownError(f"{call}: no answer ({kind})")
    if isinstance(cause, httpx.TimeoutException):
        return errors.APITimeoutError(f"{call}: no answer in time ({kind})", retryable=True)
    if isinstance(cause, httpx.ConnectError):
        return errors.APIConnectionError(f"{call}: no connection: {cause}", retryable=True)
    if isinstance(cause, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return errors.APIConnectionError(f"{call}: the request cannot be sent ({kind})")
    if isinstance(cause, httpx.TransportError):
        return errors.APIConnectionError(f"{call}: the connection broke ({kind})", retryable=True)
    return errors.APIResponseError(f"{call}: the answer cannot be understood ({kind})")


def retry_after(header: str | None, now: Clock) -> float | None:
    """Return the seconds a ``Retry-After`` of seconds or of an HTTP date asks for.

    None if there is none or it is neither; a date that has passed asks for 0 seconds.
    Source: RFC 9110, section 10.2.3.
    """
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now()).total_seconds())


def _shown(said: object, secret: str) -> str:
    """Return what a server said as one short line, without the key and without an e-mail."""
    parts = cast("list[object]", said) if isinstance(said, list) else [said]
    whole = "; ".join(str(part) for part in parts[:_MOST_PROBLEMS] if isinstance(part, str | int))
    line = " ".join(whole.replace(secret, "***").split())[: 4 * _LONGEST_MESSAGE]
    return _EMAIL.sub("(e-mail)", line)[:_LONGEST_MESSAGE]
