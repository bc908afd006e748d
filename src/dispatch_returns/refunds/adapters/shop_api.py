"""One call to a shop system's API, and what its failure means for the money."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from dispatch_returns.client.connections import Connections, quiet
from dispatch_returns.client.exact_json import loads
from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    EventError,
    InvalidArgumentError,
    SignatureError,
)

M = TypeVar("M", bound=BaseModel)

_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_LONGEST_WAIT = 3600.0


def checked_url(argument: str, url: str) -> str:
    """Return `url` without its last slash. Raises `InvalidArgumentError` with the `argument`."""
    split = urlsplit(url)
    if split.scheme not in {"http", "https"} or not split.hostname or split.username:
        raise InvalidArgumentError(
            argument, "write the complete address, such as https://shop.example.com"
        )
    if split.query or split.fragment:
        raise InvalidArgumentError(argument, "write the address without ? and #")
    if split.scheme == "http" and split.hostname not in _LOCAL:
        raise InvalidArgumentError(argument, "use https, as the key is sent to it")
    return url.rstrip("/")


def is_local(url: str) -> bool:
    """Whether a shop is on this machine, as a test double is."""
    return urlsplit(url).hostname in _LOCAL


@dataclass(frozen=True, slots=True)
class ShopAnswer:
    """An answer with a status below 500: its JSON, None where it has none."""

    status: int
    data: Any = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


class ShopCalls:
    """Calls one shop, and never repeats a call. No error shows more than the status.

    After a fork a child opens its own connections, so that no process reads another's answer.
    ``remedy`` is what a person should do if the key is refused. ``timeout`` is in seconds, for each
    step of a call.
    """

    def __init__(
        self,
        shop: str,
        base_url: str,
        *,
        remedy: str,
        timeout: float,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        if not timeout > 0:
            raise InvalidArgumentError("timeout", "must be more than 0 seconds")
        self.shop = shop
        self._base_url = base_url
        self._remedy = remedy
        self._headers = dict(headers or {})
        self._auth = auth
        self._connections = Connections(http_client, timeout)

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        may_have_paid: bool = False,
    ) -> ShopAnswer:
        """Return the answer, also a refusal below 500 that is the endpoint's own to explain.

        Raises `AdapterError` for the rest. `may_have_paid`: the shop may answer the call with any
        error after its gateway has paid, so only the caller can tell a refusal.
        """
        http = self._connections.open()
        request = http.build_request(
            method, f"{self._base_url}{path}", params=params, json=json, headers=self._headers
        )
        try:
            answer = http.send(quiet(request), auth=self._auth, follow_redirects=False)
        except _NOT_SENT as error:
            raise self.error(
                ErrorKind.NOT_SENT,
                f"cannot be reached, and nothing was sent ({type(error).__name__})",
            ) from None
        except httpx.HTTPError as error:
            raise self.unknown(type(error).__name__) from None
        status = answer.status_code
        if may_have_paid and status != 429 and 300 <= status < 500:
            return ShopAnswer(status, _json_or_none(answer.content), answer.headers)
        if status in {401, 403}:
            raise self.refused(str(status))
        if status == 429:
            raise self.error(
                ErrorKind.RATE_LIMITED,
                "takes no more requests at the moment (429)",
                retry_after=_seconds(answer.headers.get("retry-after")),
            )
        if status >= 500 or status == 408:
            raise self.unknown(str(status))
        if 300 <= status < 400:
            raise self.error(ErrorKind.CONFIG, f"answered {status}: check its address")
        data = _json_or_none(answer.content)
        if data is None and status < 400:
            raise self.unknown("no JSON")
        return ShopAnswer(status, data, answer.headers)

    def read(self, model: type[M], value: Any) -> M:
        """Return `value` as the shop documents it. Raises `AdapterError` if it differs."""
        try:
            return model.model_validate(value)
        except ValidationError as error:
            where = ".".join(str(step) for step in error.errors(include_input=False)[0]["loc"])
            raise self.unknown(f"an undocumented answer: {where}") from None

    def error(
        self,
        kind: ErrorKind,
        problem: str,
        *,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> AdapterError:
        """Return the error that this shop caused; `problem` continues "Shopify ..."."""
        return AdapterError(kind, f"{self.shop} {problem}.", code=code, retry_after=retry_after)

    def refused(self, code: str) -> AdapterError:
        """Return the error for a refused key."""
        problem = f"does not accept the key ({code}): {self._remedy}"
        return self.error(ErrorKind.AUTH, problem, code=code)

    def unknown(self, why: str) -> AdapterError:
        """Return the error for a call that may have been carried out."""
        problem = f"did not say what became of it ({why}): it may have been carried out"
        return self.error(ErrorKind.UNKNOWN_OUTCOME, problem, code=why)

    def close(self) -> None:
        """Close the connections, unless the HTTP client is the caller's own."""
        self._connections.close()


def checked_secrets(secrets: str | Sequence[str]) -> list[str]:
    """Return the webhook's secrets. Raises `InvalidArgumentError` for an empty one."""
    found = [secrets] if isinstance(secrets, str) else list(secrets)
    if not all(found):
        raise InvalidArgumentError("webhook_secrets", "a secret is empty")
    return found


def _json_or_none(content: bytes) -> Any:
    try:
        return loads(content)
    except ValueError:
        return None


def as_object(value: Any) -> dict[str, Any]:
    """Return a JSON object, an empty one for any other value."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def event_object(body: bytes) -> dict[str, Any]:
    """Return what is in an event's body. Raises `EventError` if it is not JSON."""
    try:
        return as_object(loads(body))
    except ValueError:
        raise EventError("the event is not JSON") from None


def verify_signature(request: WebhookRequest, header: str, secrets: Sequence[str]) -> None:
    """Check the base64 HMAC-SHA256 of the raw body in `header`. Raises `SignatureError`."""
    given = request.header(header) or ""
    if not secrets or not given.isascii():
        raise SignatureError("the webhook's secret is not set, or the signature is missing")
    made = (
        b64encode(hmac.digest(secret.encode(), request.body, "sha256")).decode()
        for secret in secrets
    )
    # Not any(): each secret is compared, so the time says nothing about which one fits.
    if True not in [hmac.compare_digest(given, it) for it in made]:
        raise SignatureError(f"{header} does not fit the body")


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return min(seconds, _LONGEST_WAIT) if seconds >= 0 else None
