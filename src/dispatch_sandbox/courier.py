"""Sends the deliveries: real, signed HTTP POSTs, each a task of its own on one event loop."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from itertools import count

import httpx

from dispatch_returns.webhooks import sign
from dispatch_sandbox.deliveries import Attempt, Deliveries, Outcome
from dispatch_sandbox.faults import FaultRule

_KEPT_TEXT = 1000
_LONGEST_HOLD = 5.0


class Courier:
    """Works between ``start`` and ``stop``, on the event loop that calls them.

    A receiver that is slow keeps only its own webhook waiting.
    """

    def __init__(self, deliveries: Deliveries, *, verify_tls: bool) -> None:
        self._deliveries = deliveries
        self._verify_tls = verify_tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._places: defaultdict[str, asyncio.Semaphore]
        self._held: defaultdict[str, dict[int, asyncio.Event]]
        self._turns = count()
        self._loop: asyncio.AbstractEventLoop
        self._http: httpx.AsyncClient

    def start(self) -> None:
        """Start, with the deliveries that are unsettled. The caller holds the state's lock."""
        policy = self._deliveries.policy
        self._loop = asyncio.get_running_loop()
        self._places = defaultdict(lambda: asyncio.Semaphore(policy.parallel))
        self._held = defaultdict(dict)
        self._http = httpx.AsyncClient(
            verify=self._verify_tls,
            # The environment's proxy must not see what is meant for this machine.
            trust_env=False,
            # One connection each: a reused one may be closing just then, and would cause a
            # failed attempt that no test asked for.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            timeout=policy.timeout,
            headers={"accept-encoding": "identity", "user-agent": "dispatch-returns-sandbox"},
        )
        self._deliveries.on_new = self._post
        for delivery_id, webhook_id in self._deliveries.unsettled():
            self._spawn(delivery_id, webhook_id, None)

    async def stop(self) -> None:
        """Cancel the attempts under way; the next start makes them again."""
        self._deliveries.on_new = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.aclose()

    def _post(self, delivery_id: str, webhook_id: str, fault: FaultRule | None) -> None:
        # Objects may be made from any thread, tasks only on the loop.
        self._loop.call_soon_threadsafe(self._spawn, delivery_id, webhook_id, fault)

    def _spawn(self, delivery_id: str, webhook_id: str, fault: FaultRule | None) -> None:
        task = self._loop.create_task(self._carry(delivery_id, webhook_id, fault))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, delivery_id: str, webhook_id: str, fault: FaultRule | None) -> None:
        turn = next(self._turns)
        if fault is not None:
            if fault.action == "delay":
                await asyncio.sleep(fault.seconds)
            elif fault.action == "reorder":
                overtaken = self._held[webhook_id][turn] = asyncio.Event()
                with suppress(TimeoutError):
                    await asyncio.wait_for(overtaken.wait(), fault.seconds or _LONGEST_HOLD)
                del self._held[webhook_id][turn]
        drop = fault is not None and fault.action == "drop"
        again, number = True, 0
        while again:
            if number:
                await asyncio.sleep(self._deliveries.policy.wait(number))
            async with self._places[webhook_id]:
                attempt = self._deliveries.next_attempt(delivery_id)
                if attempt is None:
                    return
                outcome = _DROPPED if drop else await self._send(attempt)
            again = self._deliveries.report(delivery_id, outcome)
            drop, number = False, attempt.number
            for held, overtaken in self._held[webhook_id].items():
                if held < turn:
                    overtaken.set()

    async def _send(self, attempt: Attempt) -> Outcome:
        headers = {
            "content-type": "application/json",
            "x-dispatch-signature": sign(attempt.body, attempt.secret),
        }
        try:
            async with (
                asyncio.timeout(self._deliveries.policy.timeout),
                self._http.stream(
                    "POST", attempt.url, content=attempt.body, headers=headers
                ) as response,
            ):
                kept = b""
                async for chunk in response.aiter_raw():
                    kept += chunk
                    if len(kept) >= _KEPT_TEXT:
                        break
                return Outcome(response.status_code, kept[:_KEPT_TEXT].decode(errors="replace"))
        except TimeoutError:
            return Outcome(error="no answer in time")
        # A host that cannot be looked up, or no address: ValueError and OSError, not httpx's own.
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return Outcome(error=f"{type(error).__name__}: {error}")


_DROPPED = Outcome(error="not sent: dropped by a fault rule")
