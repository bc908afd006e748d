"""The blocking client. Each method is an operation of `api.operations`, carried out."""

from __future__ import annotations

import random as randomness
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar

import httpx

from dispatch_returns.api import protocol
from dispatch_returns.api.core import BASE_URL, TIMEOUT, Core, time_limit, utc_now
from dispatch_returns.api.hooks import Hooks
from dispatch_returns.api.operation import Operation, Page, Walk
from dispatch_returns.api.protocol import Clock, Request
from dispatch_returns.api.retry import Failed, Strategy, announce
from dispatch_returns.api.scope import Scope, Style
from dispatch_returns.errors import APIError

T = TypeVar("T")


class DispatchClient:
    """The Dispatch API of one workspace. Safe to share between threads.

    `style` is how the API is spoken to; both are understood. `timeout` is in seconds, of each
    attempt; 30 by default, or what `http_client` has. `max_retries` counts the attempts after
    the first, for lost connections, timeouts, 408, 429 and 5xx. An `http_client` given here
    is used as it is and stays open. `sleep`, `random` and `clock` are for tests.

    Raises `InvalidArgumentError`, naming the argument, for one that cannot be right.

    Example::

        with DispatchClient(api_key="sk_live_...", workspace="ws_xxx") as dispatch:
            ticket = dispatch.tickets.get("tkt_xxx")
    """

    def __init__(
        self,
        api_key: str,
        workspace: str,
        *,
        base_url: str = BASE_URL,
        style: Style = "workspaces",
        timeout: float | None = None,
        max_retries: int = 3,
        http_client: httpx.Client | None = None,
        hooks: Hooks | None = None,
        sleep: Callable[[float], None] | None = None,
        random: Callable[[], float] = randomness.random,
        clock: Clock = utc_now,
    ) -> None:
        # Here, so that importing this module does not import pydantic.
        from dispatch_returns.api import resources

        self._core = Core(
            api_key=api_key,
            workspace=workspace,
            base_url=base_url,
            style=style,
            hooks=hooks,
            clock=clock,
        )
        self._strategy = Strategy(self._core.hooks, max_retries, random)
        self._sleep = sleep
        self._options = time_limit(timeout)
        headers = protocol.common_headers(api_key)
        # What is the httpx client's own costs less than what each request brings along.
        self._headers = {} if http_client is None else headers
        self._owns_http = http_client is None
        self._http = http_client or httpx.Client(timeout=TIMEOUT, headers=headers)
        self.tickets = resources.Tickets(self)
        self.comments = resources.Comments(self)
        self.webhooks = resources.Webhooks(self)
        self.statuses = resources.Statuses(self)
        self.fields = resources.Fields(self)
        self.customers = resources.Customers(self)
        self.workspaces = resources.Workspaces(self)

    @property
    def scope(self) -> Scope:
        """The workspace, and the style in which it is spoken of."""
        return self._core.scope

    def call(self, operation: Operation[T]) -> T:
        """Carry out `operation`, with retries."""
        request = self._core.request(operation)
        announce(self._core.hooks, request, attempt=1)
        try:
            return self._send(operation, request)
        except APIError as error:
            failed = Failed(error)
        retrying = self._strategy.blocking(self._sleep)
        answer: T = retrying(self._again, failed, operation, request)
        return answer

    def walk(self, first: Operation[Page[T]]) -> Iterator[T]:
        """Return all that is on the page of `first` and on those after it, one by one."""
        walk = Walk(first)
        while walk.operation:
            yield from walk.take(self.call(walk.operation))

    def close(self) -> None:
        """Close the connections, unless they are of an `http_client` that was given."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._core})"

    def _again(self, failed: Failed, operation: Operation[T], request: Request) -> T:
        failed.raise_once()
        return self._send(operation, request)

    def _send(self, operation: Operation[T], request: Request) -> T:
        try:
            response = self._http.request(
                request.method,
                request.url,
                headers={**self._headers, **request.headers},
                content=request.content,
                **self._options,
            )
        except httpx.RequestError as cause:
            error = protocol.transport_error(request, cause)
        else:
            return self._core.value(operation, response)
        # Raised out here, for the cause could show the headers it was sent with.
        raise error
