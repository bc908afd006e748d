"""The sandbox as an ASGI application. Every answer has a mark that says so."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from dispatch_sandbox import control, files, openapi, page, stripe
from dispatch_sandbox.answers import Refusal
from dispatch_sandbox.api import AccountApi, DispatchApi, PortalApi, Request
from dispatch_sandbox.courier import Courier
from dispatch_sandbox.local import objection
from dispatch_sandbox.naming import BRANDS, WORKSPACES
from dispatch_sandbox.processors.server import ProcessorCourier, app_of
from dispatch_sandbox.shops import shopify_routes, woocommerce_routes
from dispatch_sandbox.state import SandboxState
from dispatch_sandbox.stripe.courier import StripeCourier

MAX_BODY = 1_048_576
"""The most bytes that a request may have."""
_SAVE_EVERY = 0.5
_MARK = (b"x-sandbox", b"dispatch-returns")
_NEEDS_NO_KEY = ("/_sandbox", f"{page.PREFIX}/")
_ABOUT = {
    "sandbox": "dispatch-returns",
    "about": "A test double for the Dispatch Tickets API and for Stripe. It is neither of them, "
    "and moves no money.",
    "api": "/v1",
    "openapi": "/openapi.json",
    "page": "/",
    "control": "/_sandbox",
}


class _Anything(PathConvertor):
    regex = "(?s:.*)"
    """Starlette's own `path` stops at a line break."""


register_url_convertor("anything", _Anything())


def create_app(state: SandboxState) -> Starlette:
    """Make the ASGI application of a sandbox; webhooks are delivered while its lifespan lasts."""
    routes = [
        *_dispatch_routes(WORKSPACES.word, DispatchApi(state, WORKSPACES)),
        *_dispatch_routes(BRANDS.word, DispatchApi(state, BRANDS)),
        *_dispatch_routes("accounts", AccountApi(state, BRANDS)),
        *_dispatch_routes("portal", PortalApi(state, BRANDS)),
        *files.routes(state),
        *stripe.routes(state.stripe),
        *shopify_routes(state.shopify),
        *woocommerce_routes(state.woocommerce),
        *(Mount(f"/processors/{it.name}", app_of(it)) for it in state.processors),
        *control.routes(state),
        *page.routes(state, _ABOUT),
        Route("/openapi.json", _openapi),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(_Mark)],
        exception_handlers={HTTPException: _http_error},
        lifespan=_lifespan(state),
    )
    app.router.redirect_slashes = False
    return app


class DispatchEndpoint:
    """The ASGI shell of one part of the API."""

    def __init__(self, api: DispatchApi) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        try:
            body = await read_body(receive)
        except Refusal as refusal:
            answer = self._api.refuse(refusal)
        else:
            if body is None:
                return
            authorization = key = host = ""
            for name, value in scope["headers"]:
                if name == b"authorization":
                    authorization = value.decode("latin-1")
                elif name == b"x-idempotency-key":
                    key = value.decode("latin-1")
                elif name == b"host":
                    host = value.decode("latin-1")
            if not host:
                name, port = scope.get("server") or ("localhost", None)
                host = name if port is None else f"{name}:{port}"
            answer = self._api.answer(
                Request(
                    method=scope["method"],
                    path=scope["path"],
                    below=scope["path_params"].get("below", ""),
                    query=scope["query_string"].decode("latin-1"),
                    authorization=authorization,
                    idempotency_key=key,
                    body=body,
                    origin=f"{scope['scheme']}://{host}",
                )
            )
        if answer.delay:
            await asyncio.sleep(answer.delay)
        headers: list[tuple[bytes, bytes]] = list(answer.headers)
        if answer.status != 204:
            headers.append((b"content-type", b"application/json"))
            headers.append((b"content-length", b"%d" % len(answer.body)))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


async def read_body(receive: Receive) -> bytes | None:
    """Return a request's body, or None if the caller hung up. Raises a 413 if it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise Refusal(413, "too_large", f"A body has at most {MAX_BODY} bytes")
        if not message.get("more_body", False):
            return bytes(body)


def _dispatch_routes(word: str, api: DispatchApi) -> list[Route]:
    endpoint = DispatchEndpoint(api)
    return [Route(f"/v1/{word}", endpoint), Route(f"/v1/{word}/{{below:anything}}", endpoint)]


class _Mark:
    """Puts ``x-sandbox`` and ``x-request-id`` on every answer.

    It also protects what needs no key: only this machine reaches it, and no other web page does.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = (b"x-request-id", b"req_" + secrets.token_hex(8).encode())

        async def send_marked(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                others = [pair for pair in message["headers"] if pair[0] != _MARK[0]]
                message["headers"] = [*others, _MARK, request_id]
            await send(message)

        if scope["path"].startswith(_NEEDS_NO_KEY) and (problem := objection(scope)):
            refused = JSONResponse({"message": problem}, 403)
            await refused(scope, receive, send_marked)
        else:
            await self._app(scope, receive, send_marked)


async def _openapi(request: HTTPRequest) -> JSONResponse:
    return JSONResponse(openapi.document(f"{request.url.scheme}://{request.url.netloc}"))


async def _http_error(_: HTTPRequest, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = "not_found" if error.status_code == 404 else "method_not_allowed"
    refusal = Refusal(error.status_code, code, error.detail)
    return JSONResponse(refusal.body(BRANDS), error.status_code, headers=error.headers)


def _lifespan(state: SandboxState) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        courier = Courier(state.deliveries, verify_tls=state.allow_remote)
        with state.lock:
            courier.start()
        stripe_courier = StripeCourier(state.stripe)
        stripe_courier.start()
        couriers = [ProcessorCourier(it) for it in state.processors]
        for it in couriers:
            it.start()
        saving = asyncio.create_task(_keep_stripe(state))
        try:
            yield
        finally:
            saving.cancel()
            await courier.stop()
            await stripe_courier.stop()
            for it in couriers:
                await it.stop()
            state.save_stripe()

    return lifespan


async def _keep_stripe(state: SandboxState) -> None:
    """Save the Stripe state, which can only be saved as a whole, soon after a call."""
    saved = None
    while True:
        await asyncio.sleep(_SAVE_EVERY)
        log = state.stripe.log
        if log and log[-1] is not saved:
            saved = log[-1]
            state.save_stripe()
