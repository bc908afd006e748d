"""Sends the double's events, and makes the changes that fall due between calls."""

from __future__ import annotations

import asyncio
import contextlib
import time

import httpx

from dispatch_sandbox.stripe.events import Delivery
from dispatch_sandbox.stripe.state import StripeState

_LOOK_EVERY = 0.05
_ATTEMPTS = 5
_FIRST_RETRY = 0.2
"""Seconds, doubled each time. Stripe tries for three days, too long for a test."""
_TIMEOUT = 10.0


class StripeCourier:
    """Works between ``start`` and ``stop``, on the event loop that calls them."""

    def __init__(self, state: StripeState) -> None:
        self._state = state
        self._deliveries: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None]
        self._http: httpx.AsyncClient

    def start(self) -> None:
        """Start."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._http = httpx.AsyncClient(trust_env=False, limits=limits, timeout=_TIMEOUT)
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Cancel the deliveries under way."""
        tasks = [self._loop, *self._deliveries]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.aclose()

    async def _run(self) -> None:
        while True:
            if self._state.events.endpoints:
                with self._state.lock:
                    self._state.settle()
                for delivery in self._state.events.take():
                    task = asyncio.create_task(self._carry(delivery))
                    self._deliveries.add(task)
                    task.add_done_callback(self._deliveries.discard)
            await asyncio.sleep(_LOOK_EVERY)

    async def _carry(self, delivery: Delivery) -> None:
        try:
            for attempt in range(_ATTEMPTS):
                headers = delivery.headers(int(time.time()))
                url = delivery.endpoint.url
                with contextlib.suppress(httpx.HTTPError, OSError):
                    answer = await self._http.post(url, content=delivery.body, headers=headers)
                    if answer.is_success:
                        return
                await asyncio.sleep(_FIRST_RETRY * 2**attempt)
        finally:
            self._state.events.settle()
