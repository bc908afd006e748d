"""The blocking client. Each method is an operation of `api.operations`, carried out."""

from __future__ import annotations

import random as randomness
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from dispatch_returns.client.blocking import BlockingCaller
from dispatch_returns.client.core import BASE_URL, Core
from dispatch_returns.client.hooks import Hooks
from dispatch_returns.client.scope import Style
from dispatch_returns.clock import Clock, utc_now

if TYPE_CHECKING:
    from dispatch_returns.client import resources
    from dispatch_returns.client.views import Blocking


class DispatchClient(BlockingCaller):
    """The Dispatch API of one workspace. Safe to share between threads.

    `style` is how the API is spoken to; both are understood. `timeout` is in seconds, of each
    attempt; 30 by default, or what `http_client` has. `max_retries` counts the attempts after
    the first, for lost connections, timeouts, 408, 429 and 5xx; a PATCH that may have been
    carried out is not repeated (`OutcomeUnknownError`). An `http_client` given here
    is used as it is and stays open; it is how a proxy or a transport is chosen. With
    `respect_rate_limit` a call waits, a minute at the most, when the last answers say that no
    more are allowed now. `sleep`, `random` and `clock` are for tests.

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
        respect_rate_limit: bool = False,
        sleep: Callable[[float], None] | None = None,
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
        from dispatch_returns.client.views import Blocking

        view, scope = Blocking(self), self.scope
        contacts = replace(scope, people="contacts")
        self.accounts: resources.Accounts[Blocking] = resources.Accounts(view, scope)
        self.api_keys: resources.ApiKeys[Blocking] = resources.ApiKeys(view, scope)
        self.workspaces: resources.Workspaces[Blocking] = resources.Workspaces(view, scope)
        self.tickets: resources.Tickets[Blocking] = resources.Tickets(view, scope)
        self.comments: resources.Comments[Blocking] = resources.Comments(view, scope)
        self.attachments: resources.Attachments[Blocking] = resources.Attachments(view, scope)
        self.webhooks: resources.Webhooks[Blocking] = resources.Webhooks(view, scope)
        self.statuses: resources.Statuses[Blocking] = resources.Statuses(view, scope)
        self.fields: resources.Fields[Blocking] = resources.Fields(view, scope)
        self.customers: resources.Customers[Blocking] = resources.Customers(view, scope)
        self.contacts: resources.Customers[Blocking] = resources.Customers(view, contacts)
        self.categories: resources.Categories[Blocking] = resources.Categories(view, scope)
        self.tags: resources.Tags[Blocking] = resources.Tags(view, scope)
        self.portal: resources.Portal[Blocking] = resources.Portal(view, scope)
