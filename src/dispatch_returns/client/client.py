"""The four clients: an agent's and a customer's side of the API, each blocking and async.

Each method is a function of `client.operations`, carried out. The resources are bound once, for
all drivers; what is written out twice here are the arguments, for ``help`` and for editors.
"""

from __future__ import annotations

import random as randomness
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, cast

import httpx

from dispatch_returns import environment
from dispatch_returns.client.core import BASE_URL, Core, Options
from dispatch_returns.client.drivers import AsyncDriver, BlockingDriver
from dispatch_returns.client.hooks import Hooks
from dispatch_returns.client.operation import Scope, Style
from dispatch_returns.client.views import Asynchronous, Blocking, V
from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.errors import InvalidArgumentError

if TYPE_CHECKING:
    from dispatch_returns.client.models import PortalToken


def _given(argument: str, value: str | None, variable: str) -> str:
    if value is None:
        value = environment.variable(variable)
    if value is None:
        raise InvalidArgumentError(argument, f"not given, and {variable} is not set")
    return value


def _base_url(value: str | None) -> str:
    return value if value is not None else environment.variable(environment.BASE_URL) or BASE_URL


def _style(value: Style | None) -> Style:
    if value is not None:
        return value
    # Checked, like one that is given, where the scope is made.
    return cast("Style", environment.variable(environment.STYLE) or "workspaces")


class _Workspace(Generic[V]):
    """The resources of a workspace, seen as `V` sees them."""

    def _bind(self, view: V, scope: Scope) -> None:
        # Here, so that importing a client costs no more than httpx: the models bring pydantic.
        from dispatch_returns.client import resources

        self.accounts = resources.Accounts[V](view, scope)
        self.api_keys = resources.ApiKeys[V](view, scope)
        self.workspaces = resources.Workspaces[V](view, scope)
        self.tickets = resources.Tickets[V](view, scope)
        self.comments = resources.Comments[V](view, scope)
        self.attachments = resources.Attachments[V](view, scope)
        self.webhooks = resources.Webhooks[V](view, scope)
        self.statuses = resources.Statuses[V](view, scope)
        self.fields = resources.Fields[V](view, scope)
        self.customers = resources.Customers[V](view, scope)
        self.contacts = resources.Customers[V](view, replace(scope, people="contacts"))
        self.categories = resources.Categories[V](view, scope)
        self.tags = resources.Tags[V](view, scope)
        self.portal = resources.Portal[V](view, scope)


class DispatchClient(_Workspace[Blocking], BlockingDriver):
    """The Dispatch API of one workspace. Safe to share between threads.

    What is not given comes from the environment: `api_key` from ``DISPATCH_API_KEY``, `workspace`
    from ``DISPATCH_WORKSPACE``, `base_url` from ``DISPATCH_BASE_URL`` (else Dispatch's own), and
    `style` from ``DISPATCH_STYLE`` (else ``workspaces``).

    `style` is the wire style that is sent; both are understood. `timeout` is in seconds, of each
    attempt; 30 by default, or what `http_client` has. `max_retries` counts the attempts after
    the first, for lost connections, timeouts, 408, 429 and 5xx; a PATCH that may have been
    carried out is not repeated (`OutcomeUnknownError`). An `http_client` given here is used as it
    is and stays open; use it to choose a proxy or a transport. With `respect_rate_limit` a call
    waits, a minute at most, when the last answers say that no more are allowed now. `sleep`,
    `random` and `clock` are for tests.

    Raises `InvalidArgumentError`, naming the argument, for one that cannot be right.

    Example::

        with DispatchClient(api_key="sk_live_...", workspace="ws_xxx") as dispatch:
            ticket = dispatch.tickets.get("tkt_xxx")
    """

    def __init__(
        self,
        api_key: str | None = None,
        workspace: str | None = None,
        *,
        base_url: str | None = None,
        style: Style | None = None,
        timeout: float | None = None,
        max_retries: int = 3,
        http_client: httpx.Client | None = None,
        hooks: Hooks | None = None,
        respect_rate_limit: bool = False,
        sleep: Callable[[float], None] | None = None,
        random: Callable[[], float] = randomness.random,
        clock: Clock = utc_now,
    ) -> None:
        core = Core(
            api_key=_given("api_key", api_key, environment.API_KEY),
            workspace=_given("workspace", workspace, environment.WORKSPACE),
            base_url=_base_url(base_url),
            style=_style(style),
            hooks=hooks,
            random=random,
            clock=clock,
            respect_rate_limit=respect_rate_limit,
        )
        super().__init__(core, Options(timeout, max_retries), http_client, sleep)

    def _attach(self) -> None:
        self._bind(Blocking(self), self.scope)


class AsyncDispatchClient(_Workspace[Asynchronous], AsyncDriver):
    """Like `DispatchClient`, awaited. Safe to share between tasks of one loop.

    Example::

        async with AsyncDispatchClient(api_key="sk_live_...", workspace="ws_xxx") as dispatch:
            ticket = await dispatch.tickets.get("tkt_xxx")
    """

    def __init__(
        self,
        api_key: str | None = None,
        workspace: str | None = None,
        *,
        base_url: str | None = None,
        style: Style | None = None,
        timeout: float | None = None,
        max_retries: int = 3,
        http_client: httpx.AsyncClient | None = None,
        hooks: Hooks | None = None,
        respect_rate_limit: bool = False,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        random: Callable[[], float] = randomness.random,
        clock: Clock = utc_now,
    ) -> None:
        core = Core(
            api_key=_given("api_key", api_key, environment.API_KEY),
            workspace=_given("workspace", workspace, environment.WORKSPACE),
            base_url=_base_url(base_url),
            style=_style(style),
            hooks=hooks,
            random=random,
            clock=clock,
            respect_rate_limit=respect_rate_limit,
        )
        super().__init__(core, Options(timeout, max_retries), http_client, sleep)

    def _attach(self) -> None:
        self._bind(Asynchronous(self), self.scope)


class _CustomerSide(Generic[V]):
    """The resources that a portal token opens, seen as `V` sees them."""

    _core: Core

    def _bind(self, view: V, scope: Scope) -> None:
        from dispatch_returns.client import resources

        self._session = resources.PortalSession[V](view, scope)
        self.tickets = resources.PortalTickets[V](view, scope)
        self.attachments = resources.PortalAttachments[V](view, scope)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._core.base_url!r})"


def _portal_core(
    token: str | PortalToken,
    *,
    base_url: str | None,
    hooks: Hooks | None,
    random: Callable[[], float],
    clock: Clock,
    respect_rate_limit: bool,
) -> Core:
    return Core(
        api_key=token if isinstance(token, str) else token.token,
        workspace="portal",  # in no path: the token knows the workspace
        base_url=_base_url(base_url),
        style="brands",
        hooks=hooks,
        random=random,
        clock=clock,
        respect_rate_limit=respect_rate_limit,
        key_is_token=True,
    )


class PortalClient(_CustomerSide[Blocking], BlockingDriver):
    """The customer's side of a workspace, with a portal token: that customer's tickets alone.

    `token` is a `PortalToken` or its text. It is never shown. The other arguments are those of
    `DispatchClient`. The portal has one wire style, the vendor SDK's.

    Example::

        token = dispatch.portal.create_token(email="jane@example.com")
        with PortalClient(token) as portal:
            ticket = portal.tickets.create(subject="It does not fit")
    """

    def __init__(
        self,
        token: str | PortalToken,
        *,
        base_url: str | None = None,
        timeout: float | None = None,
        max_retries: int = 3,
        http_client: httpx.Client | None = None,
        hooks: Hooks | None = None,
        respect_rate_limit: bool = False,
        sleep: Callable[[float], None] | None = None,
        random: Callable[[], float] = randomness.random,
        clock: Clock = utc_now,
    ) -> None:
        core = _portal_core(
            token,
            base_url=base_url,
            hooks=hooks,
            random=random,
            clock=clock,
            respect_rate_limit=respect_rate_limit,
        )
        super().__init__(core, Options(timeout, max_retries), http_client, sleep)

    def _attach(self) -> None:
        self._bind(Blocking(self), self.scope)

    @classmethod
    def verify(
        cls,
        link_token: str,
        *,
        base_url: str | None = None,
        http_client: httpx.Client | None = None,
    ) -> PortalToken:
        """Exchange the ``token`` of a magic link for a portal token."""
        with cls(link_token, base_url=base_url, http_client=http_client) as portal:
            portal._core.use_no_key()
            return portal._session.verify(token=link_token)

    def refresh(self) -> PortalToken:
        """Get a new token, use it from now on (in copies of this client too), and return it."""
        renewed = self._session.refresh()
        self._core.use_key(renewed.token)
        return renewed


class AsyncPortalClient(_CustomerSide[Asynchronous], AsyncDriver):
    """Like `PortalClient`, awaited.

    Example::

        token = await dispatch.portal.create_token(email="jane@example.com")
        async with AsyncPortalClient(token) as portal:
            ticket = await portal.tickets.create(subject="It does not fit")
    """

    def __init__(
        self,
        token: str | PortalToken,
        *,
        base_url: str | None = None,
        timeout: float | None = None,
        max_retries: int = 3,
        http_client: httpx.AsyncClient | None = None,
        hooks: Hooks | None = None,
        respect_rate_limit: bool = False,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        random: Callable[[], float] = randomness.random,
        clock: Clock = utc_now,
    ) -> None:
        core = _portal_core(
            token,
            base_url=base_url,
            hooks=hooks,
            random=random,
            clock=clock,
            respect_rate_limit=respect_rate_limit,
        )
        super().__init__(core, Options(timeout, max_retries), http_client, sleep)

    def _attach(self) -> None:
        self._bind(Asynchronous(self), self.scope)

    @classmethod
    async def verify(
        cls,
        link_token: str,
        *,
        base_url: str | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> PortalToken:
        """Exchange the ``token`` of a magic link for a portal token."""
        async with cls(link_token, base_url=base_url, http_client=http_client) as portal:
            portal._core.use_no_key()
            return await portal._session.verify(token=link_token)

    async def refresh(self) -> PortalToken:
        """Get a new token, use it from now on (in copies of this client too), and return it."""
        renewed = await self._session.refresh()
        self._core.use_key(renewed.token)
        return renewed
