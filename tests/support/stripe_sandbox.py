"""The Stripe stand-in on a real port, and clients for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import httpx
import stripe
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from dispatch_sandbox.stripe import API_KEY, StripeState, routes

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams, RefundCreateParams

NOW = 1_760_000_000.0
"""The clock of a stand-in under test: it moves only when it is told to."""


class Stage:
    """An application whose content can be exchanged, so that one server serves many tests."""

    def __init__(self) -> None:
        self.app: ASGIApp = Starlette()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on to the application of the moment."""
        await self.app(scope, receive, send)


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Run an application on a free port of the loopback interface; give its address."""
    # With the protocol named, asyncio knows that it is TCP and turns Nagle's delay of 40 ms off.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 10
        while not server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


@dataclass
class Sandbox:
    """A stand-in under test, with the SDK and a plain HTTP client pointed at it."""

    state: StripeState
    url: str
    sdk: stripe.StripeClient
    http: httpx.Client

    def pay(self, amount: int = 10_000, **more: Any) -> stripe.PaymentIntent:
        """Return a PaymentIntent that is paid, unless ``more`` says otherwise."""
        params = {
            "amount": amount,
            "currency": "usd",
            "payment_method": "pm_card_visa",
            "confirm": True,
        }
        return self.sdk.v1.payment_intents.create(
            params=cast("PaymentIntentCreateParams", {**params, **more})
        )

    def refund(self, intent: stripe.PaymentIntent, key: str = "", **more: Any) -> stripe.Refund:
        """Refund a PaymentIntent, with ``key`` if it is given."""
        return self.sdk.v1.refunds.create(
            params=cast("RefundCreateParams", {"payment_intent": intent.id, **more}),
            options={"idempotency_key": key} if key else {},
        )

    def post(self, path: str, data: dict[str, Any], **headers: str) -> httpx.Response:
        """Send a form by hand, ``headers`` with underscores for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(path, data=data, headers=named)


def error_body(error: stripe.StripeError) -> dict[str, Any]:
    """Return the error object as it was on the wire."""
    return cast("dict[str, dict[str, Any]]", error.json_body)["error"]


@contextmanager
def sandbox_on(url: str, stage: Stage, state: StripeState | None = None) -> Iterator[Sandbox]:
    """Put a fresh stand-in on the stage."""
    state = state or StripeState(clock=lambda: NOW)
    stage.app = Starlette(routes=routes(state))
    transport = stripe.RequestsClient()
    sdk = stripe.StripeClient(
        API_KEY, base_addresses={"api": url}, http_client=transport, max_network_retries=0
    )
    headers = {"authorization": f"Bearer {API_KEY}"}
    with httpx.Client(base_url=url, headers=headers, timeout=10, verify=False) as http:
        try:
            yield Sandbox(state, url, sdk, http)
        finally:
            transport.close()  # type: ignore[no-untyped-call]
