"""No secret and no customer's data, in anything that anybody logs, raises or shows.

A complete run at DEBUG, every logger of every library included: paid, held, refused, repeated,
lost answers, a database that is gone.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
import stripe

import dispatch_sandbox
from dispatch_returns import AsyncDispatchClient, DispatchClient, webhooks
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.errors import ConfigurationError, DispatchReturnsError
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.ticket_facts import TicketFacts
from dispatch_returns.store import Store
from tests.support import postgres

EMAIL = "jane.customer+returns@example.com"
PRIVATE = "Rosenallee 77"
SECRET = "whsec_kept_to_ourselves"
STRIPE_SECRET = "whsec_of_the_processor"
LIBRARIES = (
    "httpx", "httpcore", "sqlalchemy", "sqlalchemy.engine", "sqlalchemy.pool", "stripe", "asyncio",
    "psycopg", "alembic", "dispatch_returns",
)  # fmt: skip
FORMAT = "%(name)s %(levelname)s %(message)s"


def spellings(text: str) -> set[str]:
    """How a text may stand in a URL, in a form, in JSON, in a repr, or partly."""
    return {text, quote(text), quote_plus(text), json.dumps(text)[1:-1], text.upper()}


class Log:
    """Everything that is logged, as it would be written."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        self.handler = logging.StreamHandler(self._text)
        self.handler.setFormatter(logging.Formatter(FORMAT))
        self.secrets: dict[str, str] = {
            "customer's e-mail": EMAIL,
            "customer's name in it": "jane.customer",
            "customer's address": PRIVATE,
            "API key": dispatch_sandbox.API_KEY,
            "Stripe key": dispatch_sandbox.stripe.API_KEY,
            "webhook secret": SECRET,
            "Stripe's webhook secret": STRIPE_SECRET,
        }

    @property
    def text(self) -> str:
        return self._text.getvalue()

    def found(self) -> list[str]:
        """What must not be there, with the line it is in."""
        return [
            f"{what}: {line[:200]}"
            for what, secret in self.secrets.items()
            for spelling in spellings(secret)
            for line in self.text.splitlines()
            if spelling in line
        ]


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    root = logging.getLogger()
    before, changed = root.level, []
    root.addHandler(log.handler)
    root.setLevel(logging.DEBUG)
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        changed.append((logger, logger.level))
        logger.setLevel(logging.DEBUG)
    yield log
    root.removeHandler(log.handler)
    root.setLevel(before)
    for logger, level in changed:
        logger.setLevel(level)


@pytest.fixture(scope="module")
def box() -> Iterator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running() as box:
        with DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client:
            for key in ("item_received", "refunded", "needs_review"):
                client.statuses.create(key=key, name=key)
        yield box


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/returns.db"
        return
    with postgres.new_database() as url:
        yield url


def settings(box: dispatch_sandbox.Sandbox, database: str, **changes: Any) -> Settings:
    given: dict[str, Any] = {
        "api_key": dispatch_sandbox.API_KEY,
        "workspace": dispatch_sandbox.WORKSPACE,
        "webhook_secrets": SECRET,
        "base_url": box.api_url,
        "database_url": database,
        "adapter_options": {
            "stripe": {
                "api_key": dispatch_sandbox.stripe.API_KEY,
                "base_url": box.url,
                "webhook_secret": STRIPE_SECRET,
            }
        },
    }
    return Settings(**(given | changes))


class Run:
    """A shop in which everything happens once."""

    def __init__(self, box: dispatch_sandbox.Sandbox, connector: Connector, log: Log) -> None:
        self.box = box
        self.connector = connector
        connector.go_live.complete()
        self.log = log

    def ticket(self, **fields: Any) -> str:
        paid = httpx.post(
            f"{self.box.url}/v1/payment_intents",
            auth=(dispatch_sandbox.stripe.API_KEY, ""),
            data={"amount": "14900", "currency": "usd", "confirm": "true",
                  "payment_method": "pm_card_visa"},
        )  # fmt: skip
        given = {
            "order_id": "1234",
            "payment_intent": paid.json()["id"],
            "received_date": "2026-01-15",
            "refund_amount": Decimal("149.00"),
            "address": PRIVATE,
            **fields,
        }
        ticket = self.connector.client.tickets.create(
            subject="Return", customer_email=EMAIL, status="refunded", custom_fields=given
        )
        return ticket.id

    def deliver(self, ticket: str, event_id: str, **changes: Any) -> None:
        envelope = {
            "id": event_id,
            "event": "ticket.updated",
            "brand_id": dispatch_sandbox.WORKSPACE,
            "data": {"id": ticket, "title": PRIVATE, "customerEmail": EMAIL},
            "timestamp": datetime.now(UTC).isoformat(),
        } | changes
        body = json.dumps(envelope).encode()
        signature = webhooks.sign(body, SECRET)
        self.log.secrets[f"signature of {event_id}"] = signature.removeprefix("sha256=")
        receiver = self.connector.receivers["dispatch"]
        for given in (signature, signature, signature[:-1], f"{signature} {EMAIL}"):
            receiver.receive("POST", {"X-Dispatch-Signature": given, "X-From": EMAIL}, body)
        receiver.receive("POST", {"Content-Length": EMAIL}, body)


def test_a_complete_run_at_debug_logs_nothing_private(
    box: dispatch_sandbox.Sandbox, database: str, log: Log
) -> None:
    # What a handler of the merchant's raises is in its words: this is the run that keeps it out.
    with Connector(settings(box, database, handler_tracebacks=False)) as connector:
        run = Run(box, connector, log)

        @connector.on("ticket.updated")
        def careless(event: Any, context: Any) -> None:
            raise ValueError(f"{EMAIL} {PRIVATE}")

        paid, held = run.ticket(), run.ticket(received_date=None)
        odd = run.ticket(refund_amount=PRIVATE)
        for number, ticket in enumerate((paid, held, odd, "tkt_none", "tkt no id")):
            run.deliver(ticket, f"evt_{number}")
        run.deliver(paid, "evt_old", timestamp="2001-01-01T00:00:00Z")
        run.deliver(paid, f"{EMAIL}\n", data=[PRIVATE])
        box.state.faults.add(dispatch_sandbox.FaultRule("api", "status", times=1, status=500))
        connector.work_off()
        box.state.faults.clear()
        with connector.store.read() as conn:
            states = {it.ticket_id: it.state for it in ledger.newest(conn, limit=9)}
        assert states == {paid: "succeeded", held: "held", odd: "held"}
        assert (
            connector.receivers["stripe"]
            .receive("POST", {"Stripe-Signature": f"t=1,v1={EMAIL}"}, EMAIL.encode())
            .status
            == 401
        )
        connector.store.close()
        run.deliver(paid, "evt_late")
    assert "USD succeeded" in log.text, "the run must be logged for this test to mean anything"
    for name in ("httpx", "sqlalchemy.engine", "stripe", "dispatch_returns.webhooks"):
        assert re.search(rf"^{name}", log.text, re.MULTILINE), f"{name} said nothing"
    assert log.found() == []


def test_stripes_own_words_are_kept_where_the_merchant_makes_the_call(
    box: dispatch_sandbox.Sandbox, log: Log, tmp_path: Path
) -> None:
    with Connector(settings(box, f"sqlite:///{tmp_path}/returns.db")):
        client = stripe.StripeClient(
            dispatch_sandbox.stripe.API_KEY, base_addresses={"api": box.url}
        )
        client.raw_request("get", "/v1/refunds")
    assert "stripe DEBUG" in log.text


def shown(box: dispatch_sandbox.Sandbox, folder: Path) -> Iterator[object]:
    """Everything that a program may print, and that knows a secret or a customer."""
    found = settings(box, f"sqlite:///{folder}/returns.db")
    yield found
    yield settings(box, f"postgresql://shop:{PRIVATE.replace(' ', '')}@127.0.0.1/returns")
    with Connector(found) as connector:
        run = Run(box, connector, Log())
        ticket_id = run.ticket()
        ticket = connector.client.tickets.get(ticket_id)
        facts = TicketFacts.of(ticket, "ws_1")
        yield from (
            connector,
            connector.client,
            connector.store,
            *connector.adapters.values(),
            facts,
        )
        yield from connector.receivers.values()
        yield connector.refunds.intake.evaluate(facts)
        yield connector.refund(ticket_id)
        run.deliver(ticket_id, "evt_1")
        with connector.store.read() as conn:
            from dispatch_returns.store import inbox, outbox

            yield from inbox.newest(conn, limit=9)
            yield from outbox.of_refund(conn, ledger.newest(conn, limit=1)[0].id)
    yield AsyncDispatchClient(dispatch_sandbox.API_KEY, "ws_1")


def test_nothing_that_is_printed_shows_it(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> None:
    secrets = {*Log().secrets.values(), PRIVATE.replace(" ", "")}
    for thing in shown(box, tmp_path):
        for text in (repr(thing), str(thing)):
            assert not [secret for secret in secrets if secret in text], type(thing).__name__


def wrong(box: dispatch_sandbox.Sandbox, folder: Path) -> Iterator[Any]:
    """Calls that fail for what was given to them."""
    key = "sk_live_wrong"
    url = f"sqlite:///{folder}/returns.db"
    with (
        DispatchClient(key, "ws_1", base_url=box.api_url) as stranger,
        DispatchClient(key, "ws_1", base_url="http://127.0.0.1:1", max_retries=0) as unreachable,
        DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client,
    ):
        yield lambda: stranger.tickets.get("tkt_1")
        yield lambda: unreachable.tickets.get("tkt_1")
        yield lambda: client.tickets.get(f"tkt {EMAIL}")
        yield lambda: client.tickets.create(subject="x", customer_email=EMAIL, status=PRIVATE)
    yield lambda: webhooks.verify(EMAIL.encode(), f"sha256={EMAIL}", SECRET)
    yield lambda: webhooks.parse(json.dumps({"id": EMAIL, "event": PRIVATE}).encode())
    yield lambda: Store.open(f"postgresql://shop:{key}@127.0.0.1:1/{PRIVATE}")
    yield lambda: Store.open(f"mysql://shop:{key}@127.0.0.1/returns")
    yield lambda: Settings.from_env({"DISPATCH_API_KEY": key, "DISPATCH_RETURNS_WORKERS": key})
    yield lambda: Connector(
        settings(box, url, adapter_options={"stripe": {"api_key": key, "timeout": key}})
    )


def test_no_error_names_what_it_was_given(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> None:
    for call in wrong(box, tmp_path):
        with pytest.raises((DispatchReturnsError, ConfigurationError)) as caught:
            call()
        chain: BaseException | None = caught.value
        while chain is not None:
            for text in (str(chain), repr(chain)):
                for secret in (EMAIL, "sk_live_wrong", SECRET, dispatch_sandbox.API_KEY):
                    assert secret not in text, f"{type(chain).__name__}: {text}"
            chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
