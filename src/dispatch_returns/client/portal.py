"""The clients of the customer's side: the same two shells, with a portal token for a key."""

from __future__ import annotations

import random as randomness
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import httpx

from dispatch_returns.client.asynchronous import AsyncCaller
from dispatch_returns.client.blocking import BlockingCaller
from dispatch_returns.client.core import BASE_URL, Core
from dispatch_returns.client.hooks import Hooks
from dispatch_returns.clock import Clock, utc_now

if TYPE_CHECKING:
    from dispatch_returns.client import resources
    from dispatch_returns.client.models import PortalToken
    from dispatch_returns.client.views import Asynchronous, Blocking


def _core(
    token: str | PortalToken,
    base_url: str,
    hooks: Hooks | None,
    clock: Clock,
    respect_rate_limit: bool,
) -> Core:
    # The token knows the workspace: no path of the portal names one.
    return Core(
        api_key=token if isinstance(token, str) else token.token,
        workspace="portal",
        base_url=base_url,
        style="brands",
        hooks=hooks,
        clock=clock,
        respect_rate_limit=respect_rate_limit,
        key_stays=False,
    )


class PortalClient(BlockingCaller):
    """The customer's side of a workspace, with a portal token: their tickets and nobody else's.

    `token` is a `PortalToken` or its text. It is never shown. The other arguments are those of
    `DispatchClient`. The portal has one wire style, the vendor's SDK's.

    Example::

        token = dispatch.portal.create_token(email="jane@example.com")
        with PortalClient(token) as portal:
            ticket = portal.tickets.create(subject="It does not fit")
    """

    def __init__(
        self,
        token: str | PortalToken,
        *,
        base_url: str = BASE_URL,
        timeout: float | None = None,
        max_retries: int = 3,
        http_client: httpx.Client | None = None,
        hooks: Hooks | None = None,
        respect_rate_limit: bool = False,
        sleep: Callable[[float], None] | None = None,
        random: Callable[[], float] = randomness.random,
        clock: Clock = utc_now,
    ) -> None:
        core = _core(token, base_url, hooks, clock, respect_rate_limit)
        super().__init__(
            core,
            timeout=timeout,
            max_retries=max_retries,
            http_client=http_client,
            sleep=sleep,
            random=random,
        )

    def _attach(self) -> None:
        from dispatch_returns.client import resources
        from dispatch_returns.client.views import Blocking

        view, scope = Blocking(self), self.scope
        self._session: resources.PortalSession[Blocking] = resources.PortalSession(view, scope)
        self.tickets: resources.PortalTickets[Blocking] = resources.PortalTickets(view, scope)
        self.attachments: resources.PortalAttachments[Blocking] = resources.PortalAttachments(
            view, scope
        )

    @classmethod
    def verify(
        cls,
        link_token: str,
        *,
        base_url: str = BASE_URL,
        http_client: httpx.Client | None = None,
    ) -> PortalToken:
        """Exchange the ``token`` of a magic link for a portal token."""
        with cls(link_token, base_url=base_url, http_client=http_client) as portal:
            portal._core.headers.pop("Authorization")
            return portal._session.verify(token=link_token)

    def refresh(self) -> PortalToken:
        """Get a new token, use it from now on (this client and those made of it), and return it."""
        renewed = self._session.refresh()
        self._core.use_key(renewed.token)
        return renewed

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._core.base_url!r})"


class AsyncPortalClient(AsyncCaller):
    """The customer's side of a workspace, with a portal token: their tickets and nobody else's.

    `token` is a `PortalToken` or its text. It is never shown. The other arguments are those of
    `AsyncDispatchClient`. The portal has one wire style, the vendor's SDK's.

    Example::

        token = await dispatch.portal.create_token(email="jane@example.com")
        async with AsyncPortalClient(token) as portal:
            ticket = await portal.tickets.create(subject="It does not fit")
    """

    def __init__(
        self,
        token: str | PortalToken,
        *,
        base_url: str = BASE_URL,
        timeout: float | None = None,
        max_retries: int = 3,
        http_client: httpx.AsyncClient | None = None,
        hooks: Hooks | None = None,
        respect_rate_limit: bool = False,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        random: Callable[[], float] = randomness.random,
        clock: Clock = utc_now,
    ) -> None:
        core = _core(token, base_url, hooks, clock, respect_rate_limit)
        super().__init__(
            core,
            timeout=timeout,
            max_retries=max_retries,
            http_client=http_client,
            sleep=sleep,
            random=random,
        )

    def _attach(self) -> None:
        from dispatch_returns.client import resources
        from dispatch_returns.client.views import Asynchronous

        view, scope = Asynchronous(self), self.scope
        self._session: resources.PortalSession[Asynchronous] = resources.PortalSession(view, scope)
        self.tickets: resources.PortalTickets[Asynchronous] = resources.PortalTickets(view, scope)
        self.attachments: resources.PortalAttachments[Asynchronous] = resources.PortalAttachments(
            view, scope
        )

    @classmethod
    async def verify(
        cls,
        link_token: str,
        *,
        base_url: str = BASE_URL,
        http_client: httpx.AsyncClient | None = None,
    ) -> PortalToken:
        """Exchange the ``token`` of a magic link for a portal token."""
        async with cls(link_token, base_url=base_url, http_client=http_client) as portal:
            portal._core.headers.pop("Authorization")
            return await portal._session.verify(token=link_token)

    async def refresh(self) -> PortalToken:
        """Get a new token, use it from now on (this client and those made of it), and return it."""
        renewed = await self._session.refresh()
        self._core.use_key(renewed.token)
        return renewed

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._core.base_url!r})"
