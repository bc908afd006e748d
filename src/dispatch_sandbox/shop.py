"""A merchant's shop in the sandbox, for tests of one's own mount: pays, returns, waits, fails."""

from __future__ import annotations

import contextlib
import inspect
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Literal, get_args
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx

from dispatch_returns.client import DispatchClient, Ticket
from dispatch_returns.connector import EVENTS, Connector, Settings
from dispatch_returns.errors import InvalidArgumentError
from dispatch_returns.money import Money, stripe_rule
from dispatch_returns.returns import Step
from dispatch_sandbox.faults import ACTIONS, FaultRule
from dispatch_sandbox.server import Sandbox, serving
from dispatch_sandbox.state import WORKSPACE
from dispatch_sandbox.stripe import API_KEY as STRIPE_KEY
from dispatch_sandbox.stripe import Fault, StripeState
from dispatch_sandbox.stripe.faults import FaultKind

SECRET = "whsec_sandbox_shop"  # noqa: S105 - everybody knows it
PATH = "/webhooks/dispatch"
_WALK = (Step.CHECK, Step.APPROVED, Step.LABEL_SENT, Step.RECEIVED, Step.REFUNDED)

FaultName = Literal[
    "duplicate", "reorder", "delay", "drop",
    "api_status", "api_slow",
    "lost_response", "stored_500", "refused", "conflict_409", "rate_limit_429", "slow",
    "fail_later", "pending_then_succeed",
]  # fmt: skip
"""What can go wrong: with a delivery, with a call to Dispatch, with a call to Stripe."""


class SandboxShop:
    """A live shop: the workflow's statuses, a Stripe account, a customer who returns things.

    ``environment`` are the variables with which a `Connector` belongs to it; ``client`` is a client
    of the workspace, ``processor`` what Stripe's double knows.
    """

    def __init__(self, box: Sandbox, folder: Path) -> None:
        self.box = box
        self.client = DispatchClient(box.state.api_key, WORKSPACE, base_url=box.api_url)
        self.environment: Mapping[str, str] = {
            "DISPATCH_API_KEY": box.state.api_key,
            "DISPATCH_WORKSPACE": WORKSPACE,
            "DISPATCH_BASE_URL": box.api_url,
            "DISPATCH_WEBHOOK_SECRET": SECRET,
            "STRIPE_API_KEY": STRIPE_KEY,
            "STRIPE_BASE_URL": box.url,
            "DISPATCH_RETURNS_DATABASE_URL": f"sqlite:///{folder}/dispatch-returns.db",
        }
        for status in Step:
            if status not in {Step.ELSEWHERE, Step.GONE}:  # not statuses of a ticket
                self.client.statuses.create(key=status.value, name=status.value)
        # Go live now, before there is a ticket: what is refunded before that is never paid.
        with Connector(Settings.from_env(self.environment)) as connector:
            connector.work_off()

    @property
    def processor(self) -> StripeState:
        """Return Stripe's double: its faults, its clock, what it was asked."""
        return self.box.state.stripe

    def pay(self, amount: str | Money = "149.00 USD", *, order_id: str = "1234") -> str:
        """Have the customer pay an order by card; return the PaymentIntent's id."""
        paid = _money(amount)
        answer = self._stripe(
            "POST",
            "payment_intents",
            amount=str(paid.minor),
            currency=paid.currency.lower(),
            payment_method="pm_card_visa",
            confirm="true",
            **{"metadata[order_id]": order_id},
        )
        return str(answer["id"])

    def make_return(
        self,
        amount: str | Money = "149.00 USD",
        *,
        until: Step | str = Step.REFUNDED,
        order_id: str = "1234",
        customer_email: str = "jane@example.com",
        **fields: Any,
    ) -> str:
        """Pay an order and open its return; return the ticket's id.

        People walk it to the status `until`; with a policy of your own, `until="return_requested"`
        leaves that to your application. `fields` are added to the ticket's custom fields.
        """
        paid = _money(amount)
        ticket = self.client.tickets.create(
            subject=f"Return Request - Order #{order_id}",
            customer_email=customer_email,
            status=Step.REQUESTED,
            custom_fields={
                "order_id": order_id,
                "original_order_total": paid.major,
                "payment_intent": self.pay(paid, order_id=order_id),
                "currency": paid.currency,
                "order_lines": [{"sku": "SKU-001", "price": paid.major}],
                "items_to_return": ["SKU-001"],
                "return_reason": "wrong_size",
                "delivered_date": datetime.now(UTC).date().isoformat(),
                **fields,
            },
        )
        if until == Step.REQUESTED:
            return ticket.id
        for step in _WALK:
            received = {"received_date": "2026-01-15", "condition": "good"}
            more: dict[str, Any] = {"refund_amount": paid.major, **received}
            custom = more | fields if step is Step.RECEIVED else {}
            self.client.tickets.update(ticket.id, status=step, custom_fields=custom)
            if step == until:
                return ticket.id
        raise InvalidArgumentError("until", f"must be one of {', '.join((Step.REQUESTED, *_WALK))}")

    def ticket(self, ticket_id: str) -> Ticket:
        """Read a ticket, as an agent sees it now."""
        return self.client.tickets.get(ticket_id)

    def refunded(self, ticket_id: str) -> str | None:
        """Return what Stripe's own list says was refunded of the ticket's payment: "149.00 USD".

        None if nothing was. Failed and canceled refunds don't count.
        """
        payment = self.ticket(ticket_id).custom_fields["payment_intent"]
        found = self._stripe("GET", "refunds", payment_intent=payment, limit="100")["data"]
        counted = [it for it in found if it["status"] not in {"failed", "canceled"}]
        if not counted:
            return None
        currency = counted[0]["currency"].upper()
        total = sum(it["amount"] for it in counted)
        return str(Money(total, currency, stripe_rule(currency).decimals))

    def fault(self, name: FaultName, *, times: int = 1, **options: Any) -> None:
        """Let something go wrong, `times` times; `options` are `FaultRule`'s or `stripe.Fault`'s.

        Raises `InvalidArgumentError` for a name that is not one.
        """
        if name in ACTIONS["delivery"]:
            self.box.state.faults.add(FaultRule("delivery", name, times=times, **options))
        elif name in {"api_status", "api_slow"}:
            action = name.removeprefix("api_")
            self.box.state.faults.add(FaultRule("api", action, times=times, **options))
        elif name in get_args(FaultKind):
            self.processor.faults.add(
                Fault.model_validate({"kind": name, "times": times, **options})
            )
        else:
            raise InvalidArgumentError("name", f"must be one of {', '.join(get_args(FaultName))}")

    def wait_until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        """Return as soon as `condition` is true.

        Raises `AssertionError` after `seconds`, with the deliveries and the refunds so far.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s. {self._so_far()}")
            time.sleep(0.01)

    @contextlib.contextmanager
    def serving(self, app: Any, *, path: str = PATH) -> Generator[str]:
        """Serve your ASGI or WSGI application during the block; yield its URL.

        Dispatch delivers to `path` in it. Make the application inside the fixture, because
        ``Connector.from_env()`` reads the environment.
        """
        serve = serving if _is_asgi(app) else _serving_wsgi
        with serve(app) as url:
            hook = self.client.webhooks.create(url=f"{url}{path}", events=EVENTS, secret=SECRET)
            try:
                yield url
            finally:
                self.client.webhooks.delete(hook.id)

    def close(self) -> None:
        """Close the client."""
        self.client.close()

    def _stripe(self, method: str, resource: str, **values: str) -> Any:
        answer = httpx.request(
            method,
            f"{self.box.api_url}/{resource}",
            headers={"Authorization": f"Bearer {STRIPE_KEY}"},
            **{"data" if method == "POST" else "params": values},  # type: ignore[arg-type]
        )
        answer.raise_for_status()
        return answer.json()

    def _so_far(self) -> str:
        deliveries = [
            f"{it.event} {it.status} {it.response_code or ''}".strip()
            for hook in self.client.webhooks.list()
            for it in self.client.webhooks.deliveries(hook.id)
        ]
        refunds = [
            f"{it['amount']} {it['currency']} {it['status']}"
            for it in self._stripe("GET", "refunds", limit="10")["data"]
        ]
        return f"Deliveries: {_listed(deliveries)}. Refunds: {_listed(refunds)}"


class ShiftedClock:
    """The time, as far ahead as a test has moved it. Call it to read it."""

    def __init__(self, processor: StripeState) -> None:
        self._processor = processor
        self._ahead = 0.0

    def __call__(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.fromtimestamp(time.time() + self._ahead, UTC)

    def advance(self, *, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move this clock and the processor's."""
        ahead = hours * 3600 + minutes * 60 + seconds
        self._ahead += ahead
        self._processor.advance(ahead)


def _money(amount: str | Money) -> Money:
    if isinstance(amount, Money):
        return amount
    number, _, currency = amount.partition(" ")
    return Money.from_decimal(Decimal(number), currency)


def _listed(lines: Iterable[str]) -> str:
    return ", ".join(lines) or "none"


def _is_asgi(app: Any) -> bool:
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(
        getattr(app, "__call__", None)  # noqa: B004 - whether calling it gives a coroutine
    )


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called
        """Log nothing."""


@contextlib.contextmanager
def _serving_wsgi(app: Any) -> Generator[str]:
    server = make_server("127.0.0.1", 0, app, _ThreadingServer, _Quiet)
    thread = threading.Thread(target=server.serve_forever, name="dispatch-sandbox-wsgi")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
