"""Everything the demo runs on: sandbox, payments, receiver, connector. All on loopback."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Mount
from stripe import StripeClient

from dispatch_returns import returns
from dispatch_returns.client import DispatchClient
from dispatch_returns.connector import EVENTS, Connector, Settings
from dispatch_returns.refunds import Pace, PaymentRef
from dispatch_returns.webhooks import asgi
from dispatch_sandbox.demo import shop
from dispatch_sandbox.demo.cast import Return
from dispatch_sandbox.faults import FaultRule
from dispatch_sandbox.server import Sandbox, running, serving
from dispatch_sandbox.state import API_KEY, WORKSPACE
from dispatch_sandbox.stripe import API_KEY as STRIPE_KEY
from dispatch_sandbox.stripe import Fault

STEPS = (
    "return_requested",
    "eligibility_check",
    "approved",
    "label_sent",
    "item_received",
    "refunded",
)

DELIVERY_FAULTS = (
    FaultRule("delivery", "duplicate", times=6),
    FaultRule("delivery", "reorder", times=6, seconds=1.0),
    FaultRule("delivery", "delay", times=6, seconds=1.5),
    FaultRule("delivery", "drop", times=3),
)

# Days and minutes of real life, in seconds: the demo has to end within one.
_PACE = Pace(
    first_retry=timedelta(milliseconds=500),
    longest_retry=timedelta(seconds=2),
    first_poll=timedelta(seconds=1),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs while the demo plays."""

    sandbox: Sandbox
    client: DispatchClient
    stripe: StripeClient
    connector: Connector
    payments: dict[str, PaymentRef]
    """Order id -> payment: what a merchant's own order table knows."""
    merchant: returns.Workflow

    def later(self, clock: Callable[[], datetime]) -> Connector:
        """Return another worker on the same store, whose clock is ahead. Close it."""
        settings = self.connector.settings
        return Connector(settings, workflow=self.merchant, pace=_PACE, clock=clock)


@contextlib.contextmanager
def set_up(folder: Path, cast: list[Return]) -> Generator[Stage]:
    """Start the sandbox and the receiver, and let the customers pay."""
    with contextlib.ExitStack() as stack:
        box = stack.enter_context(running())
        client = stack.enter_context(DispatchClient(API_KEY, WORKSPACE, base_url=box.api_url))
        for step in returns.STEPS:
            client.statuses.create(key=step, name=step.replace("_", " ").capitalize())
        stripe = StripeClient(STRIPE_KEY, base_addresses={"api": box.url})
        payments = {one.order_id: _pay(stripe, one) for one in cast if one.known_order}
        secret = secrets.token_hex()
        settings = Settings(
            api_key=SecretStr(API_KEY),
            workspace=WORKSPACE,
            webhook_secrets=(SecretStr(secret),),
            base_url=box.api_url,
            database_url=f"sqlite:///{folder}/demo.db",
            adapter_options={
                "api_key": STRIPE_KEY,
                "base_url": box.url,
                "webhook_secret": secret,
            },
        )
        merchant = shop.parts(cast, payments, client)
        connector = Connector(settings, lookups=(payments.get,), workflow=merchant, pace=_PACE)
        stack.enter_context(connector)
        app = Starlette(routes=[Mount("/webhooks", asgi.app(connector))])
        url = stack.enter_context(serving(app))
        box.state.stripe.events.listen(f"{url}/webhooks/stripe", secret)
        client.webhooks.create(url=f"{url}/webhooks/dispatch", events=EVENTS, secret=secret)
        for one in cast:
            if one.fault:
                payment = payments[one.order_id].id
                box.state.stripe.faults.add(
                    Fault.model_validate(one.fault | {"payment_intent": payment})
                )
        for rule in DELIVERY_FAULTS:
            box.state.faults.add(replace(rule))
        connector.start()
        yield Stage(box, client, stripe, connector, payments, merchant)


def _pay(stripe: StripeClient, one: Return) -> PaymentRef:
    intent = stripe.v1.payment_intents.create(
        {
            "amount": one.paid.minor,
            "currency": one.paid.currency.lower(),
            "confirm": True,
            "payment_method": "pm_card_visa",
            "metadata": {"order_id": one.order_id},
        }
    )
    return PaymentRef("payment_intent", intent.id)
