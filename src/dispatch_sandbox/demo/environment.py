"""What the demo runs on: sandbox, payments, receiver and connector, all on this machine."""

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
from dispatch_returns.refunds import PaymentRef, RetrySchedule
from dispatch_returns.webhooks import asgi
from dispatch_sandbox.demo import merchant
from dispatch_sandbox.demo.scenarios import Scenario
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

# The demo ends within a minute, so these delays are seconds instead of minutes and days.
_RETRY_SCHEDULE = RetrySchedule(
    first_retry=timedelta(milliseconds=500),
    longest_retry=timedelta(seconds=2),
    first_poll=timedelta(seconds=1),
)


@dataclass(frozen=True, slots=True)
class Environment:
    """What runs during the demo."""

    sandbox: Sandbox
    client: DispatchClient
    stripe: StripeClient
    connector: Connector
    payments: dict[str, PaymentRef]
    """The payment of each order, by order id, as in the merchant's own database."""
    workflow: returns.Workflow

    def later(self, clock: Callable[[], datetime]) -> Connector:
        """Return another connector on the same store, with this clock. The caller closes it."""
        settings = self.connector.settings
        return Connector(
            settings, workflow=self.workflow, retry_schedule=_RETRY_SCHEDULE, clock=clock
        )


@contextlib.contextmanager
def running_environment(folder: Path, scenarios: list[Scenario]) -> Generator[Environment]:
    """Start the sandbox and the receiver, and make the customers' payments."""
    with contextlib.ExitStack() as stack:
        box = stack.enter_context(running())
        client = stack.enter_context(DispatchClient(API_KEY, WORKSPACE, base_url=box.api_url))
        for step in returns.STEPS:
            client.statuses.create(key=step, name=step.replace("_", " ").capitalize())
        stripe = StripeClient(STRIPE_KEY, base_addresses={"api": box.url})
        payments = {it.order_id: _pay(stripe, it) for it in scenarios if it.known_order}
        secret = secrets.token_hex()
        settings = Settings(
            api_key=SecretStr(API_KEY),
            workspace=WORKSPACE,
            webhook_secrets=(SecretStr(secret),),
            base_url=box.api_url,
            database_url=f"sqlite:///{folder}/demo.db",
            adapter_options={
                "stripe": {"api_key": STRIPE_KEY, "base_url": box.url, "webhook_secret": secret}
            },
        )
        workflow = merchant.workflow(scenarios, payments, client)
        connector = Connector(
            settings, lookups=(payments.get,), workflow=workflow, retry_schedule=_RETRY_SCHEDULE
        )
        stack.enter_context(connector)
        app = Starlette(routes=[Mount("/webhooks", asgi.app(connector))])
        url = stack.enter_context(serving(app))
        box.state.stripe.events.listen(f"{url}/webhooks/stripe", secret)
        client.webhooks.create(url=f"{url}/webhooks/dispatch", events=EVENTS, secret=secret)
        for it in scenarios:
            if it.fault:
                fault = it.fault | {"payment_intent": payments[it.order_id].id}
                box.state.stripe.faults.add(Fault.model_validate(fault))
        for rule in DELIVERY_FAULTS:
            box.state.faults.add(replace(rule))
        connector.start()
        yield Environment(box, client, stripe, connector, payments, workflow)


def _pay(stripe: StripeClient, scenario: Scenario) -> PaymentRef:
    intent = stripe.v1.payment_intents.create(
        {
            "amount": scenario.paid.minor,
            "currency": scenario.paid.currency.lower(),
            "confirm": True,
            "payment_method": "pm_card_visa",
            "metadata": {"order_id": scenario.order_id},
        }
    )
    return PaymentRef("payment_intent", intent.id)
