"""A stand-in on HTTP, its control routes, and the courier that sends its events."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dispatch_returns.errors import InvalidArgumentError
from dispatch_sandbox.cut import cut
from dispatch_sandbox.local import objection
from dispatch_sandbox.processors.base import (
    OutgoingEvent,
    ProcessorFault,
    ProcessorReply,
    ProcessorRequest,
    StandIn,
)

MARK = {"x-sandbox": "dispatch-returns"}
_LOOK_EVERY = 0.05
_ATTEMPTS = 8
_FIRST_RETRY = 0.1
"""Seconds, doubled each time: processors try for days, and nobody waits for that in a test."""


def app_of(stand_in: StandIn) -> Starlette:
    """Return the stand-in's application: the processor's own paths, and ours under ``/_sandbox``.

    The control routes are for this machine: see `dispatch_sandbox.local`.
    """
    control = _Control(stand_in)
    routes = [
        Route("/_sandbox/payments", control.pay, methods=["POST"]),
        Route("/_sandbox/faults", control.fail, methods=["POST"]),
        Route("/_sandbox/webhooks", control.listen, methods=["POST"]),
        Route("/_sandbox/clock", control.advance, methods=["POST"]),
        Route("/_sandbox/refunded/{payment}", control.refunded),
        Route("/{_:path}", _Processor(stand_in)),
    ]
    return Starlette(routes=routes)


class _Processor:
    """The processor's own paths, as bare ASGI: an answer that is lost needs the connection."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        asked = ProcessorRequest(
            request.method,
            scope["path"].removeprefix(scope.get("root_path", "")),
            request.url.query,
            dict(request.headers),
            await request.body(),
        )
        with self._stand_in.lock:
            self._stand_in.settle()
            self._stand_in.log.append(asked)
            reply = self._stand_in.answer(asked)
        if reply.lost:
            await cut(receive, send)
        else:
            await _response(reply)(scope, receive, send)


def _response(reply: ProcessorReply) -> Response:
    kind = "text/plain" if isinstance(reply.content, bytes) else "application/json"
    return Response(reply.body, reply.status, {**reply.headers, **MARK}, media_type=kind)


class _Payment(BaseModel):
    model_config = ConfigDict(extra="forbid")

    value: str = Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,3})?$")
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$")


class _Listener(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str


class _Advance(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(ge=0, le=1e9, allow_inf_nan=False)


class _Control:
    """What tests and people use to have a payment, arm faults and move the clock."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in

    async def pay(self, request: Request) -> Response:
        """Have a customer pay; return the payment's id."""
        asked = await _read(request, _Payment)
        if isinstance(asked, Response):
            return asked
        with self._stand_in.lock:
            return _json({"id": self._stand_in.pay(asked.value, asked.currency)}, 201)

    async def fail(self, request: Request) -> Response:
        """Arm a fault."""
        asked = await _read(request, ProcessorFault)
        if isinstance(asked, Response):
            return asked
        with self._stand_in.lock:
            self._stand_in.faults.append(asked)
        return _json(asked.model_dump(mode="json"), 201)

    async def listen(self, request: Request) -> Response:
        """Send events to an address of this machine."""
        asked = await _read(request, _Listener)
        if isinstance(asked, Response):
            return asked
        try:
            self._stand_in.listen(asked.url)
        except InvalidArgumentError as error:
            return _json({"message": f"{error}"}, 400)
        return _json({"url": asked.url}, 201)

    async def advance(self, request: Request) -> Response:
        """Move the stand-in's time ahead."""
        asked = await _read(request, _Advance)
        if isinstance(asked, Response):
            return asked
        self._stand_in.advance(asked.seconds)
        return _json({"now": self._stand_in.now()})

    async def refunded(self, request: Request) -> Response:
        """Tell what the refunds of a payment have moved, in minor units."""
        if problem := objection(request.scope):
            return _json({"message": problem}, 403)
        with self._stand_in.lock:
            return _json({"refunded": self._stand_in.refunded(request.path_params["payment"])})


async def _read(request: Request, model: type[Any]) -> Any:
    if problem := objection(request.scope):
        return _json({"message": problem}, 403)
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        return _json({"errors": [f"{it['loc']}: {it['msg']}" for it in problems]}, 400)


def _json(content: Any, status: int = 200) -> Response:
    return JSONResponse(content, status, headers=MARK)


class ProcessorCourier:
    """Sends a stand-in's events between ``start`` and ``stop``, on the loop that calls them."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._deliveries: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None]
        self._http: httpx.AsyncClient

    def start(self) -> None:
        """Begin."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._http = httpx.AsyncClient(trust_env=False, limits=limits, timeout=10)
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Cancel what is under way: it is not sent any more."""
        tasks = [self._loop, *self._deliveries]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.aclose()

    async def _run(self) -> None:
        while True:
            if self._stand_in.listeners:
                for event in self._stand_in.outgoing():
                    task = asyncio.create_task(self._carry(event))
                    self._deliveries.add(task)
                    task.add_done_callback(self._deliveries.discard)
            await asyncio.sleep(_LOOK_EVERY)

    async def _carry(self, event: OutgoingEvent) -> None:
        for attempt in range(_ATTEMPTS):
            with contextlib.suppress(httpx.HTTPError, OSError):
                answer = await self._http.post(
                    event.url, content=event.body, headers=dict(event.headers)
                )
                if answer.is_success:
                    return
            await asyncio.sleep(_FIRST_RETRY * 2**attempt)
