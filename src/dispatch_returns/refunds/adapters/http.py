"""Calls to a processor over httpx: each once, and each failure as an `AdapterError`.

Only what a processor itself says was refused counts as refused: an answer that can't be understood,
a 5xx and a broken connection are unknown outcomes. No message repeats what the processor wrote,
which may hold a key or a customer's data.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import httpx

from dispatch_returns.client.connections import Connections, quiet
from dispatch_returns.errors import AdapterError, ErrorKind, InvalidArgumentError

JsonObject = Mapping[str, Any]
NOTHING: JsonObject = {}

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""Errors after which the server certainly received nothing."""
_LONGEST_CONNECT = 10.0
_LARGEST_FILE = 65_536
"""Bytes."""
_PLAIN = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


class Meaning(NamedTuple):
    """What an error of a processor means, and what a person should do about it."""

    kind: ErrorKind
    text: str


@dataclass(frozen=True, slots=True)
class ProcessorAnswer:
    """An answer as it arrived. ``data`` is its JSON object, empty if it has none.

    ``items`` is its JSON array, None if it is none.
    """

    status: int
    data: JsonObject = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    items: list[object] | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the processor carried the request out."""
        return 200 <= self.status < 300


class ProcessorHTTP:
    """One processor's API. Safe to use from many threads.

    ``processor`` is its name for people, ``base_url`` its server, ``timeout`` the seconds for each
    step of a call (connecting takes at most 10 of them). ``http_client``: your own; it is not
    closed here. Nothing is retried, and redirects are not followed.
    """

    def __init__(
        self,
        processor: str,
        base_url: str,
        *,
        timeout: float,
        http_client: httpx.Client | None = None,
    ) -> None:
        if not timeout > 0:
            raise InvalidArgumentError("timeout", "must be more than 0 seconds")
        self._processor = processor
        self._base_url = base_url
        self._timeout = httpx.Timeout(timeout, connect=min(timeout, _LONGEST_CONNECT))
        self._connections = Connections(http_client, timeout)

    def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json_body: JsonObject | None = None,
        form: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> ProcessorAnswer:
        """Make one request; return its answer, whatever its status.

        Raises `AdapterError`: not_sent where the server was not reached, else unknown_outcome.
        """
        try:
            client = self._connections.open()
            request = client.build_request(
                method,
                f"{self._base_url}{path}",
                headers=headers,
                params=params,
                content=None if json_body is None else json.dumps(json_body).encode(),
                data=form,
                timeout=self._timeout,
            )
            if json_body is not None:
                request.headers["content-type"] = "application/json"
            answer = client.send(
                quiet(request),
                follow_redirects=False,
                auth=httpx.BasicAuth(*auth) if auth else httpx.USE_CLIENT_DEFAULT,
            )
        except NOT_SENT as error:
            raise self.not_sent(type(error).__name__) from None
        except Exception as error:  # noqa: BLE001 - whatever broke, the money may have moved
            raise self.unknown(type(error).__name__) from None
        content = _decoded(answer.content)
        data = mapping(content)
        items = cast("list[object]", content) if isinstance(content, list) else None
        return ProcessorAnswer(answer.status_code, data, answer.headers, items)

    def fetch(self, url: str) -> bytes:
        """Return a small public file, such as a certificate, without a credential.

        Raises `AdapterError` for any answer but 200, and for a file of more than 64 kB.
        """
        try:
            answer = self._connections.open().get(
                url, timeout=self._timeout, follow_redirects=False
            )
        except Exception as error:  # noqa: BLE001 - a certificate is simply asked for again
            raise self.not_sent(type(error).__name__) from None
        if answer.status_code != 200 or len(answer.content) > _LARGEST_FILE:
            raise self.not_sent(f"HTTP {answer.status_code}")
        return answer.content

    def not_sent(self, why: str) -> AdapterError:
        """Return the error for a request that the processor certainly did not receive."""
        return AdapterError(
            ErrorKind.NOT_SENT,
            f"{self._processor} cannot be reached, and nothing was sent: check the network and"
            f" {self._processor}'s status page ({why})",
        )

    def unknown(self, why: str, request_id: str | None = None) -> AdapterError:
        """Return the error for an answer that cannot be relied on."""
        return AdapterError(
            ErrorKind.UNKNOWN_OUTCOME,
            f"{self._processor} gave no answer that can be relied on: it may have been carried out"
            f" ({why})",
            request_id=request_id,
        )

    def refused(
        self,
        meaning: Meaning,
        answer: ProcessorAnswer,
        *,
        code: str | None = None,
        request_id: str | None = None,
    ) -> AdapterError:
        """Return the error for an answer that means `meaning`, with what support needs to find it.

        `code` is the processor's own word; what is no plain word is left out.
        """
        code, request_id = plain(code), plain(request_id)
        said = ", ".join(filter(None, (f"HTTP {answer.status}", code, request_id)))
        waits = meaning.kind in {ErrorKind.RATE_LIMITED, ErrorKind.NOT_SETTLED}
        return AdapterError(
            meaning.kind,
            f"{meaning.text} ({self._processor}: {said})",
            code=code,
            request_id=request_id,
            retry_after=retry_after(answer.headers) if waits else None,
        )

    def close(self) -> None:
        """Close the connections, unless the caller supplied the HTTP client."""
        self._connections.close()


def plain(value: object) -> str | None:
    """Return `value` if it is a short plain word, as ids and codes are."""
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else None


def mapping(value: object) -> JsonObject:
    """Return `value` if it is a JSON object, else an empty one."""
    return cast("JsonObject", value) if isinstance(value, Mapping) else NOTHING


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that an answer asks to wait, None if it does not say."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def checked_server(base_url: str, *, plain_http: bool) -> str:
    """Return the address of a server without its last slash. Raises `InvalidArgumentError`.

    `plain_http`: whether it may be without TLS. A test double may be in a folder of its server.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise InvalidArgumentError("base_url", "not a plain http or https address")
    if parts.query or parts.fragment or (parts.path.rstrip("/") and not plain_http):
        raise InvalidArgumentError("base_url", "only the server: the path is added to it")
    if parts.scheme == "http" and not plain_http:
        raise InvalidArgumentError("base_url", "only a server on this machine goes without https")
    return base_url.rstrip("/")


def _decoded(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
