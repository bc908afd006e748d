"""A demo shop with a portal, to return something by hand: its mails are printed, its parcels come.

The customer is whoever opens the page. The rest of the shop is here: a mail server that prints, and
a warehouse in which each parcel arrives a while after its label was made.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Mount
from stripe import StripeClient

from dispatch_returns import returns
from dispatch_returns.client import DispatchClient
from dispatch_returns.connector import EVENTS, Connector, Settings
from dispatch_returns.money import Money
from dispatch_returns.portal import ReturnsPortal
from dispatch_returns.refunds import PaymentRef
from dispatch_returns.returns import Step, Workflow, labels
from dispatch_returns.returns.notifications import Notification, Templates, TicketComments
from dispatch_returns.returns.orders import Order, OrderLine
from dispatch_returns.returns.policy import PolicyBook, ReturnPolicy
from dispatch_returns.webhooks import asgi
from dispatch_sandbox.server import running, serving
from dispatch_sandbox.state import API_KEY, WORKSPACE
from dispatch_sandbox.stripe import API_KEY as STRIPE_KEY

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket

ORDER, EMAIL = "1234", "jane@example.com"
TRANSIT = timedelta(seconds=30)
"""How long a parcel takes."""
_POLICY = ReturnPolicy.of(
    version="demo-portal",
    window_days=30,
    conditions=["good"],
    return_shipping="4.90 EUR",
    final_sale=["OUTLET-*"],
    rules=[
        {
            "name": "faulty",
            "reasons": ["defective"],
            "outcome": "review",
            "why": "Ask for a photo.",
            "waive": ["final_sale"],
            "return_shipping": "0",
        }
    ],
)


@dataclass(frozen=True, slots=True)
class DemoPortal:
    """What is running: where the portal, one order and the shop's tickets are."""

    url: str
    link: str
    tickets: str


class PrintedMails:
    """A notifier whose mails are passed on as text."""

    name = "smtp"

    def __init__(self, print_mail: Callable[[str, str], None]) -> None:
        self._templates = Templates(shop="Demo Shop")
        self._print = print_mail

    def send(self, notification: Notification, *, again: bool = False) -> None:
        """Pass on the subject and the text, once."""
        if not again:
            mail = self._templates.render(notification)
            self._print(mail.subject, mail.text)

    def close(self) -> None:
        """Do nothing."""


class _Orders:
    name = "demo"

    def __init__(self, payment: PaymentRef) -> None:
        self._payment = payment

    def order(self, order_id: str, ticket: Ticket) -> Order | None:  # noqa: ARG002 - the protocol's
        """Return the shop's only order."""
        if order_id != ORDER:
            return None
        delivered = datetime.now(UTC) - timedelta(days=3)
        articles = (
            ("JUMPER-M", "Wool jumper, navy", 8900, 1),
            ("BELT", "Leather belt", 2500, 2),
            ("OUTLET-7", "Socks, last season", 900, 1),
        )
        nothing = _eur(0)
        return Order(
            id=ORDER,
            currency="EUR",
            lines=tuple(
                OrderLine(sku, sku, count, _eur(price), nothing, nothing, title=title)
                for sku, title, price, count in articles
            ),
            placed_at=delivered - timedelta(days=4),
            shipping=nothing,
            delivered_at=delivered,
            customer_email=EMAIL,
            payment=self._payment,
        )


@contextlib.contextmanager
def open_portal(
    folder: Path, print_mail: Callable[[str, str], None], *, transit: timedelta = TRANSIT
) -> Generator[DemoPortal]:
    """Run the shop while the block lasts. `print_mail` gets each mail's subject and text."""
    with contextlib.ExitStack() as stack:
        box = stack.enter_context(running())
        client = stack.enter_context(DispatchClient(API_KEY, WORKSPACE, base_url=box.api_url))
        for step in returns.STEPS:
            client.statuses.create(key=step, name=step.replace("_", " ").capitalize())
        stripe = StripeClient(STRIPE_KEY, base_addresses={"api": box.url})
        intent = stripe.v1.payment_intents.create(
            {
                "amount": 8900 + 2 * 2500 + 900,
                "currency": "eur",
                "confirm": True,
                "payment_method": "pm_card_visa",
                "metadata": {"order_id": ORDER},
            }
        )
        secret, port = secrets.token_hex(), _free_port()
        url = f"http://localhost:{port}/returns"
        settings = Settings(
            api_key=SecretStr(API_KEY),
            workspace=WORKSPACE,
            webhook_secrets=(SecretStr(secret),),
            base_url=box.api_url,
            database_url=f"sqlite:///{folder}/demo.db",
            adapter_options={
                "stripe": {
                    "api_key": STRIPE_KEY,
                    "base_url": box.url,
                    "webhook_secret": secret,
                }
            },
            shop="Demo Shop",
            portal_url=url,
        )
        workflow = Workflow(
            book=PolicyBook([_POLICY]),
            orders=_Orders(PaymentRef("payment_intent", intent.id)),
            labels=labels.load("printable", {}),
            recipient=labels.Address("Demo Shop", "Dock 3", "Springfield", "12345", "US"),
            notifier=TicketComments(client, Templates(shop="Demo Shop")),
            mailer=PrintedMails(print_mail),
        )
        connector = stack.enter_context(Connector(settings, workflow=workflow))
        portal = ReturnsPortal(connector)
        app = Starlette(
            routes=[
                Mount("/webhooks", asgi.app(connector)),
                Mount("/returns", asgi.portal(portal)),
            ]
        )
        server = stack.enter_context(serving(app, port=port))
        box.state.stripe.events.listen(f"{server}/webhooks/stripe", secret)
        client.webhooks.create(url=f"{server}/webhooks/dispatch", events=EVENTS, secret=secret)
        connector.start()
        stack.enter_context(_warehouse(connector, client, transit))
        yield DemoPortal(f"{url}/", portal.link(ORDER), box.url)


@contextlib.contextmanager
def _warehouse(connector: Connector, client: DispatchClient, transit: timedelta) -> Generator[None]:
    """Receive each parcel a while after its label was made."""
    closing, ready = threading.Event(), dict[str, datetime]()

    def work() -> None:
        while not closing.wait(0.5):
            now = datetime.now(UTC)
            for ticket in client.tickets.list(status=str(Step.LABEL_SENT)):
                if now - ready.setdefault(ticket.id, now) >= transit:
                    connector.returns.receive(
                        ticket.id, condition="good", who="the demo", key=ticket.id
                    )

    thread = threading.Thread(target=work, name="demo-warehouse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join()


def _eur(minor: int) -> Money:
    return Money(minor, "EUR", 2)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
