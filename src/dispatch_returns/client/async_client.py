"""The async client. Each method is an operation of `api.operations`, carried out."""

from __future__ import annotations

import random as randomness
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from dispatch_returns.client.asynchronous import AsyncCaller
from dispatch_returns.client.core import BASE_URL, Core
from dispatch_returns.client.hooks import Hooks
from dispatch_returns.client.scope import Style
from dispatch_returns.clock import Clock, utc_now

if TYPE_CHECKING:
    from dispatch_returns.client import resources
    from dispatch_returns.client.views import Asynchronous


class AsyncDispatchClient(AsyncCaller):
    """The Dispatch API of one workspace. Safe to share between tasks of one loop.

    `style` is how the API is spoken to; both are understood. `timeout` is in seconds, of each
    attempt; 30 by default, or what `http_client` has. `max_retries` counts the attempts after
    the first, for lost connections, timeouts, 408, 429 and 5xx; a PATCH that may have been
    carried out is not repeated (`OutcomeUnknownError`). An `http_client` given here
    is used as it is and stays open; it is how a proxy or a transport is chosen. With
    `respect_rate_limit` a call waits, a minute at the most, when the last answers say that no
    more are allowed now. `sleep`, `random` and `clock` are for tests.

    Raises `InvalidArgumentError`, naming the argument, for one that cannot be right.

    Example::

        async with AsyncDispatchClient(api_key="sk_live_...", workspace="ws_xxx") as dispatch:
            ticket = await dispatch.tickets.get("tkt_xxx")
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
        http_client: httpx.AsyncClient | None = None,
        hooks: Hooks | None = None,
        respect_rate_limit: bool = False,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        random: Callable[[], float] = randomness.random,
        clock: Clock = utc_now,
    ) -> None:
        core = Core(
            api_key=api_key,
            workspace=workspace,
            base_url=base_url,
            style=style,
            hooks=hooks,
            clock=clock,
            respect_rate_limit=respect_rate_limit,
        )
        super().__init__(
            core,
            timeout=timeout,
            max_retries=max_retries,
            http_client=http_client,
            sleep=sleep,
            random=random,
        )

    def _attach(self) -> None:
        # Here, so that importing this module does not import pydantic.
        from dispatch_returns.client import resources
        from dispatch_returns.client.views import Asynchronous

        view, scope = Asynchronous(self), self.scope
        contacts = replace(scope, people="contacts")
        self.accounts: resources.Accounts[Asynchronous] = resources.Accounts(view, scope)
        self.api_keys: resources.ApiKeys[Asynchronous] = resources.ApiKeys(view, scope)
        self.workspaces: resources.Workspaces[Asynchronous] = resources.Workspaces(view, scope)
        self.tickets: resources.Tickets[Asynchronous] = resources.Tickets(view, scope)
        self.comments: resources.Comments[Asynchronous] = resources.Comments(view, scope)
        self.attachments: resources.Attachments[Asynchronous] = resources.Attachments(view, scope)
        self.webhooks: resources.Webhooks[Asynchronous] = resources.Webhooks(view, scope)
        self.statuses: resources.Statuses[Asynchronous] = resources.Statuses(view, scope)
        self.fields: resources.Fields[Asynchronous] = resources.Fields(view, scope)
        self.customers: resources.Customers[Asynchronous] = resources.Customers(view, scope)
        self.contacts: resources.Customers[Asynchronous] = resources.Customers(view, contacts)
        self.categories: resources.Categories[Asynchronous] = resources.Categories(view, scope)
        self.tags: resources.Tags[Asynchronous] = resources.Tags(view, scope)
        self.portal: resources.Portal[Asynchronous] = resources.Portal(view, scope)
