"""Whatever stands in a field that comes from outside: no event stops, and nothing wrong is paid."""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.adapter import UnreadableRefund
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.refunds.adapters.stripe.objects import known_refund
from dispatch_returns.refunds.guard import Hold, Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import inbox
from dispatch_returns.store.inbox import EventState
from dispatch_sandbox.wire import Record, dumps
from tests.support import stores
from tests.support.desk import usd
from tests.support.workshop import Workshop

_numbers = count(1)
EXAMPLES = {"sqlite": 40, "postgresql": 15}
_PLAIN = re.compile(r"[0-9]{1,18}(\.[0-9]{1,6})?")

NUMBERS: st.SearchStrategy[Any] = st.sampled_from(
    [
        0,
        149,
        -149,
        150,
        2**63,
        10**400,
        Decimal("149.00"),
        Decimal("149.001"),
        Decimal("0.01"),
        Decimal("-0.0"),
        Decimal("1.49E+2"),
        Decimal("1E+999999"),
        Decimal("1E-999999"),
        Decimal("9" * 5000),
        Decimal("0." + "3" * 5000),
        Decimal(340434161094015902),
    ]
)
TEXTS: st.SearchStrategy[Any] = st.sampled_from(
    [
        "",
        " ",
        "149",
        "149.00",
        " 149 ",
        "149,00",
        "1_49",
        "+149",
        "1.49e2",
        "١٤٩",
        "NaN",
        "Infinity",
        "-Infinity",
        "sNaN",
        "None",
        "usd",
        "USD",
        "EUR",
        "de",
        "2024-01-15",
        "9999-99-99",
        "0000-00-00T99:99:99Z",
        "\ud83d",
        "a\ude00b",
        "\0",
        "1234\0",
        "\u202e1234",
        "שלום",
        "\u2028\r\n",
        "=1+1",
        "<b>{{x}}</b> %s {0}",
        "'; DROP TABLE ledger; --",
        "9" * 3000,
        "é" * 3000,
        "SKU-001",
        "SKU-001 x 99999999999999999999",
        "-1",
    ]
)
SCALARS: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | NUMBERS | TEXTS | st.text(st.characters(), max_size=9)
)
"""`st.characters()` gives surrogates too."""
VALUES: st.SearchStrategy[Any] = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(
        st.sampled_from(["sku", "quantity", "condition", "\ud83d", "\0", ""]), SCALARS, max_size=3
    ),
    st.lists(
        st.dictionaries(st.sampled_from(["sku", "quantity", "condition"]), SCALARS, max_size=3),
        max_size=2,
    ),
    st.just([[[[[[[[{"a": [{}]}]]]]]]]]),
)
FIELDS = (
    "order_id",
    "refund_amount",
    "currency",
    "payment_intent",
    "charge_id",
    "payment_reference",
    "items_to_return",
    "return_reason",
    "received_date",
    "condition",
    "received_items",
    "language",
    "original_order_total",
    "order_proof",
    "refund_status",
    "refund_id",
    "return_id",
    "somebody's own",
)
OF_TICKET = ("title", "body", "ticketNumber", "tags", "links", "metadata", "source", "dueAt")
OF_CUSTOMER = ("email", "name")

SAID: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, VALUES))
"""Any of them; mostly a few, so that each one is also seen alone."""
ONE: st.SearchStrategy[Any] = st.sampled_from(FIELDS).flatmap(
    lambda name: st.fixed_dictionaries({name: VALUES})
)
CUSTOM: st.SearchStrategy[Any] = ONE | ONE | SAID
AROUND: st.SearchStrategy[Any] = st.just(dict[str, Any]()) | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(OF_TICKET, VALUES)
)
WHO: st.SearchStrategy[Any] = st.just(dict[str, Any]()) | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(OF_CUSTOMER, VALUES)
)


def opened_ticket(
    shop: Workshop, status: str, custom: Record, around: Record, who: Record
) -> Ticket:
    """Open a ticket that is good but for what is put over it, past all the API's checks."""
    number = next(_numbers)
    payment = f"pi_any_{number}"
    shop.fake.add_payment(payment, usd("149.00"))
    record = dispatch_sandbox.add_ticket(
        shop.box.state, title="Return", status=status, customerEmail=f"jane{number}@example.com"
    )
    ticket = shop.client.tickets.get(record["id"])
    good = {
        "order_id": "1234",
        "payment_intent": payment,
        "received_date": "2024-01-15",
        "refund_amount": Decimal("149.00"),
    }
    workspace = shop.box.state.workspaces[dispatch_sandbox.WORKSPACE]
    workspace.tickets[ticket.id] |= {"customFields": good | custom} | around
    workspace.customers[record["customerId"]] |= who
    return ticket


def works(shop: Workshop, ticket: Ticket) -> None:
    """Let an event arrive and all follow; nothing may come back for ever."""
    shop.event(ticket.id)
    settles(shop)


def settles(shop: Workshop) -> None:
    """Work until each event and message is dealt with, two days ahead at most."""
    for hours in (0, 13, 13, 13, 2, 1):
        shop.work(hours=hours)
        with shop.store.read() as conn:
            events = conn.exec_driver_sql("SELECT state, error FROM inbox").all()
            waiting = conn.exec_driver_sql(
                "SELECT kind, error FROM outbox WHERE state = 'waiting'"
            ).all()
            strangers = inbox.strangers(conn)
        accepted = [state for state, _ in events if state == EventState.ACCEPTED]
        if not waiting and len(accepted) == strangers:
            break
    assert waiting == []
    assert len(accepted) == strangers, "an event waits for ever"
    for state, error in events:
        if state not in {EventState.DONE, EventState.ACCEPTED}:
            assert state in {EventState.UNREADABLE, EventState.NOT_SHOWN}
            assert error


@contextmanager
def opened(kind: str, box: dispatch_sandbox.Sandbox) -> Generator[Workshop]:
    """Give a shop with an empty store."""
    with tempfile.TemporaryDirectory() as folder, stores.opened(kind, Path(folder)) as store:
        shop = Workshop(box, Path(folder), store=store, reconcile_every=0)
        try:
            yield shop
        finally:
            shop.close()


class _Escaped(logging.Handler):
    """Keeps what the queues say of work that raised, and of work that cannot be claimed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def nothing_escapes() -> Generator[None]:
    """Fail where a queue had to catch what its work raised."""
    queues, escaped = logging.getLogger("dispatch_returns.connector.workers"), _Escaped()
    queues.addHandler(escaped)
    try:
        yield
    finally:
        queues.removeHandler(escaped)
    assert escaped.said == []


def said_of(value: Any) -> Decimal | None:
    """The amount that a field says as a plain number, None where it says none."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    if isinstance(value, str):
        return Decimal(value.strip()) if _PLAIN.fullmatch(value.strip()) else None
    return Decimal(value)


def is_right(refund: Refund | None, amount: Any) -> None:
    """Check that nothing was paid, and a reason is there, or just what the field said."""
    if refund is None:
        return
    if refund.state is State.HELD:
        assert refund.reason is not None
        assert Hold(Reason(refund.reason), "").remedy
        return
    assert refund.state is State.SUCCEEDED
    said = said_of(amount)
    assert said is not None
    assert refund.amount is not None
    assert refund.amount.minor == said * 100


@pytest.mark.parametrize("kind", stores.KINDS)
def test_a_ticket_that_is_refunded_is_paid_what_it_says_plainly_or_a_person_is_told(
    kind: str, box: dispatch_sandbox.Sandbox
) -> None:
    @given(CUSTOM, AROUND, WHO)
    @settings(max_examples=EXAMPLES[kind])
    def holds(custom: Record, around: Record, who: Record) -> None:
        with nothing_escapes(), opened(kind, box) as shop:
            ticket = opened_ticket(shop, "refunded", custom, around, who)
            works(shop, ticket)
            is_right(shop.refund(ticket), custom.get("refund_amount", 149))

    holds()


STRIPES: st.SearchStrategy[Any] = st.sampled_from(
    (
        *("id", "object", "amount", "currency", "status", "metadata", "payment_intent", "charge"),
        *("created", "failure_reason", "destination_details"),
    )
)
REFUND: Record = {
    "id": "re_1",
    "object": "refund",
    "amount": 14900,
    "currency": "usd",
    "status": "failed",
    "metadata": {"dispatch_refund_id": "rfd_1", "dispatch_ticket_id": "tkt_1"},
    "payment_intent": "pi_1",
    "charge": "ch_1",
    "created": 1,
}
NOTES: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from(["dispatch_refund_id", "dispatch_ticket_id", "dispatch_workspace_id"]), VALUES
).map(lambda notes: {"metadata": notes})
REFUNDS: st.SearchStrategy[Any] = (st.dictionaries(STRIPES, VALUES, max_size=3) | NOTES).map(
    lambda it: REFUND | it
)


def _python_reads(refund: Record) -> bool:
    """Whether Stripe's SDK can parse it: Python reads no integer of more than 4300 digits."""
    try:
        json.loads(dumps(refund))
    except ValueError:
        return False
    return True


# Not `filter`: for its statistics, Hypothesis prints the whole strategy and warns of the length.
LISTED: st.SearchStrategy[Any] = REFUNDS.map(lambda it: it if _python_reads(it) else REFUND)


@given(st.lists(LISTED, max_size=2))
@settings(max_examples=60)
def test_a_refund_in_stripes_list_is_read_or_is_named(refunds: list[Record]) -> None:
    page = dumps({"object": "list", "data": refunds, "has_more": False})
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=page))
    with httpx.Client(transport=transport) as http:
        adapter = StripeAdapter("sk_test_1", http_client=http)
        for known in adapter.refunds_between(None, None):
            if isinstance(known, UnreadableRefund):
                assert (known.processor_id or "").isprintable()
                assert known.problem.startswith("its ")
                continue
            assert known.result.processor_id.isprintable()
            assert (known.result.failure_reason or "").isprintable()
            assert (known.result.arn or "").isprintable()


@pytest.mark.parametrize(
    "refund",
    [dumps(REFUND | {"amount": Decimal("9" * 5000)}), b"[" * 100_000 + b"]" * 100_000],
    ids=["5000 digits", "nested too deep"],
)
def test_a_page_that_python_cannot_parse_is_an_error_and_never_an_empty_list(refund: bytes) -> None:
    page = b'{"object": "list", "has_more": false, "data": [' + refund + b"]}"
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=page))
    with httpx.Client(transport=transport) as http:
        adapter = StripeAdapter("sk_test_1", http_client=http)
        with pytest.raises(AdapterError, match="no answer that can be relied on") as caught:
            list(adapter.refunds_between(None, None))
    assert caught.value.kind is ErrorKind.UNKNOWN_OUTCOME


@pytest.mark.parametrize("created", [10**15, 10**30, -(10**18)])
def test_a_refund_made_at_no_time_is_named(created: int) -> None:
    page = dumps({"object": "list", "data": [REFUND | {"created": created}], "has_more": False})
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=page))
    with httpx.Client(transport=transport) as http:
        adapter = StripeAdapter("sk_test_1", http_client=http)
        (found,) = adapter.refunds_between(None, None)
        assert found == UnreadableRefund("re_1", "its created cannot be read")


def test_what_no_database_holds_of_a_stripe_refund_is_left_out_or_refused() -> None:
    with pytest.raises(ValueError, match="not printable"):
        known_refund(REFUND | {"id": "re_\0"}, None)
    said = known_refund(REFUND | {"failure_reason": ["\0"]}, None).result
    assert said.failure_reason is None
