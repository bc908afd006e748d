"""The stand-in on HTTP: two conversions around `exchange.answer`, and the control routes.

Mounted as bare ASGI, because an answer that must be lost needs the connection itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from dispatch_returns.errors import InvalidArgumentError
from dispatch_sandbox.cut import cut
from dispatch_sandbox.stripe.exchange import API_KEY, StripeRequest, answer
from dispatch_sandbox.stripe.faults import Fault, Seconds
from dispatch_sandbox.stripe.objects import DisputeStatus
from dispatch_sandbox.stripe.state import StripeState

MARK = {"x-sandbox": "dispatch-returns"}
_RESOURCES = (
    "refunds",
    "payment_intents",
    "charges",
    "disputes",
    "balance",
    "account",
    "checkout",
    "invoice_payments",
)


def routes(state: StripeState) -> list[BaseRoute]:
    """Return the routes of a stand-in on ``state``: Stripe's under ``/v1``, ours beside them.

    They are to be mounted at the root: paths are read as they arrived.
    """
    stripe, control = _Stripe(state), _Control(state)
    return [
        *(Route(f"/v1/{name}{rest}", stripe) for name in _RESOURCES for rest in ("", "/{_:path}")),
        Route("/v1/{_:path}", _Unserved(stripe)),
        Route("/_sandbox/stripe/faults", control.faults, methods=["GET", "POST", "DELETE"]),
        Route("/_sandbox/stripe/disputes", control.disputes, methods=["POST"]),
        Route("/_sandbox/stripe/state", control.report),
        Route("/_sandbox/stripe/clock", control.clock, methods=["POST"]),
        Route("/_sandbox/stripe/webhooks", control.webhooks, methods=["GET", "POST", "DELETE"]),
    ]


class _Stripe:
    """The ASGI application behind every Stripe route."""

    def __init__(self, state: StripeState) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if body is None:
            return
        request = StripeRequest(
            scope["method"],
            scope["path"],
            {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            scope["query_string"],
            body,
        )
        given = await answer(self._state, request)
        if given.lost:
            await cut(receive, send)
        else:
            headers = {
                "content-type": "application/json",
                "content-length": str(len(given.body)),
                "request-id": request.request_id,
                **MARK,
                **dict(given.headers),
            }
            await send(
                {
                    "type": "http.response.start",
                    "status": given.status,
                    "headers": [
                        (name.encode(), value.encode("latin-1")) for name, value in headers.items()
                    ],
                }
            )
            await send({"type": "http.response.body", "body": given.body})


class _Unserved:
    """A path that we don't serve: Stripe's own 404 for a client of Stripe's, else a plain one.

    A client of Stripe's can't read any other error.
    """

    def __init__(self, stripe: _Stripe) -> None:
        self._stripe = stripe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _speaks_stripe(dict(scope["headers"])):
            raise HTTPException(404)
        await self._stripe(scope, receive, send)


def _speaks_stripe(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request comes from a client of Stripe's, by what only those send."""
    own = {b"stripe-version", b"stripe-account", b"x-stripe-client-user-agent"}
    key = headers.get(b"authorization", b"").decode("latin-1")
    return not own.isdisjoint(headers) or key.endswith(API_KEY) or key.startswith("Basic ")


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body, or None if the client went away before it had sent it all."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


class _Advance(BaseModel):
    model_config = ConfigDict(extra="forbid")

    advance: Seconds


class _Disputed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    payment: str
    status: DisputeStatus = "needs_response"


class _Webhook(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str
    secret: str | None = None
    enabled_events: tuple[str, ...] = ("*",)


class _Control:
    """What tests and the demo use to arm faults, move the clock and read the counts."""

    def __init__(self, state: StripeState) -> None:
        self._state = state

    async def faults(self, request: HTTPRequest) -> Response:
        """Arm one fault, list all, or forget all."""
        if request.method == "POST":
            try:
                fault = Fault.model_validate_json(await request.body())
            except ValidationError as error:
                return _refused(error)
            return _json_response(self._state.faults.add(fault).model_dump(mode="json"), 201)
        if request.method == "DELETE":
            self._state.faults.clear()
        return _json_response({"faults": self._state.faults.dump()})

    async def webhooks(self, request: HTTPRequest) -> Response:
        """Send events to an address, list the addresses, or forget all."""
        events = self._state.events
        if request.method == "POST":
            try:
                wanted = _Webhook.model_validate_json(await request.body())
                made = events.listen(wanted.url, wanted.secret, wanted.enabled_events)
            except ValidationError as error:
                return _refused(error)
            except InvalidArgumentError as error:
                problem = {"field": error.argument, "message": str(error)}
                return _json_response({"errors": [problem]}, 400)
            return _json_response(asdict(made), 201)
        if request.method == "DELETE":
            events.forget()
        return _json_response({"webhooks": events.dump()})

    async def disputes(self, request: HTTPRequest) -> Response:
        """Let a payment (``pi_...`` or ``ch_...``) be disputed, or its dispute stand so now."""
        try:
            asked = _Disputed.model_validate_json(await request.body())
            made = self._state.dispute(asked.payment, asked.status)
        except ValidationError as error:
            return _refused(error)
        except InvalidArgumentError as error:
            problem = {"field": error.argument, "message": str(error)}
            return _json_response({"errors": [problem]}, 400)
        return _json_response(made, 201)

    async def report(self, _request: HTTPRequest) -> Response:
        """Tell the counts."""
        return _json_response(self._state.report())

    async def clock(self, request: HTTPRequest) -> Response:
        """Move the stand-in's time ahead."""
        try:
            seconds = _Advance.model_validate_json(await request.body()).advance
        except ValidationError as error:
            return _refused(error)
        self._state.advance(seconds)
        return _json_response({"now": self._state.now()})


def _refused(error: ValidationError) -> Response:
    problems = [
        {"field": ".".join(map(str, problem["loc"])), "message": problem["msg"]}
        for problem in error.errors(include_url=False, include_input=False)
    ]
    return _json_response({"errors": problems}, 400)


def _json_response(content: Mapping[str, Any], status: int = 200) -> Response:
    return JSONResponse(content, status, headers=MARK)
