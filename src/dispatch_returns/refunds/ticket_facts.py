"""What a ticket says about a refund, and which payment it names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import Payment, PaymentKind, PaymentRef
from dispatch_returns.refunds.details import NO_DETAILS, RefundDetails
from dispatch_returns.refunds.order_ids import plain_id
from dispatch_returns.refunds.orders import NOT_ASKED, OrderRecord

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket

OrderLookup = Callable[[str], PaymentRef | None]
"""The merchant's own function, or a processor's search: order id -> payment."""

OrderOf = Callable[["TicketFacts"], OrderRecord]
"""Asks the shop's own system for a ticket's order. Raises `AdapterError` if it can't answer now."""


def no_order_source(_facts: TicketFacts) -> OrderRecord:
    """Return `NOT_ASKED`: no order source is configured."""
    return NOT_ASKED


_PAYMENT_FIELDS: tuple[tuple[str, PaymentKind], ...] = (
    ("payment_intent", "payment_intent"),
    ("charge_id", "charge"),
    ("payment_reference", "reference"),
)
_ADAPTER_FIELD = "payment_adapter"
ORDER_ID_LIMIT = 200
"""Characters. A longer text is not an order's id: no system is asked, and nothing is paid."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,255}|gid://shopify/Order/[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class Parcel:
    """Which parcel of a return is refunded. It comes from our store, never from a ticket.

    ``returnless``: nothing is sent back, so there is no receipt to show. ``granted`` is what the
    policy granted for it: the ticket's amount is in its currency, unless the ticket names another.
    ``automatic``: no person has decided, so the ticket may ask for less than was granted, but not
    for more. ``accounted`` is what the shop reported as refunded on the order at the time of the
    grant. ``without_order``: a person decided on it who knew that its order was not found.
    ``amount`` replaces the ticket's amount, which is for a later parcel. ``claimed`` are digests,
    by name, of the fields on the ticket when its request was recorded: a customer may have written
    them, so they are no evidence. ``details`` say what the refund is for.
    """

    ordinal: int = 1
    returnless: bool = False
    granted: Money | None = None
    automatic: bool = False
    accounted: Money | None = None
    without_order: bool = False
    amount: Money | None = None
    claimed: Mapping[str, str] = field(default_factory=dict[str, str])
    details: RefundDetails = NO_DETAILS


def digest_of(value: Any) -> str:
    """Return a digest that stands for a field's value, and does not reveal it."""
    return hashlib.sha256(str(value).encode(errors="replace")).hexdigest()


@dataclass(frozen=True, slots=True)
class TicketFacts:
    """What the ticket says now, read through the API and never from an event.

    ``amount`` is in major units, None where the ticket has none, and the raw text where it is not a
    number. ``currency`` is what the ticket names. ``fields`` are the ticket's custom fields,
    ``status`` its status. ``removed`` says in words how the ticket was removed: it is in the bin,
    spam, or merged into another one. ``requested_at`` is when the customer asked. ``ticket`` is for
    order sources, which read it themselves.
    """

    workspace_id: str
    ticket_id: str
    order_id: str | None
    amount: Decimal | str | None
    currency: str | None
    fields: Mapping[str, Any] = field(repr=False)
    email: str | None = field(repr=False)
    ticket: Ticket = field(repr=False, compare=False)
    parcel: Parcel = field(default_factory=Parcel)
    removed: str | None = None
    status: str | None = None
    requested_at: datetime | None = None

    @classmethod
    def of(
        cls,
        ticket: Ticket,
        workspace_id: str,
        parcel: Parcel | None = None,
        requested_at: datetime | None = None,
    ) -> TicketFacts:
        """Return what `ticket` says about `parcel`.

        `requested_at` is when the customer asked; by default, when the ticket was opened.
        """
        fields = ticket.custom_fields
        return cls(
            workspace_id=workspace_id,
            ticket_id=ticket.id,
            order_id=_text(fields.get("order_id")),
            amount=_amount(fields.get("refund_amount")),
            currency=_currency(fields.get("currency")),
            fields=fields,
            email=ticket.customer_email,
            ticket=ticket,
            parcel=parcel or Parcel(),
            removed=removal_of(ticket),
            status=ticket.status,
            requested_at=requested_at or ticket.created_at,
        )


@dataclass(frozen=True, slots=True)
class NamedPayment:
    """Which payment to refund: the ticket's where it names one, else what the sources say.

    ``expected`` is what a source of payments says, None where no source knows.
    """

    ref: PaymentRef | None
    expected: PaymentRef | None = None

    def differs_from(self, payment: Payment) -> bool:
        """Whether the ticket's `payment`, as its processor knows it, is not the expected one."""
        if self.ref is None or self.expected is None:
            return False
        return self.expected.id not in payment.names | {self.ref.id}


@dataclass(frozen=True, slots=True)
class PaymentResolver:
    """Finds the payment of a ticket: from the order's own record, else from a lookup.

    A ticket's field counts by itself only where neither knows the payment. `lookups` are tried in
    their order.
    """

    lookups: tuple[OrderLookup, ...] = ()

    def resolve(self, facts: TicketFacts, order: OrderRecord = NOT_ASKED) -> NamedPayment:
        """Return the payment. Raises `AdapterError` where a search cannot answer now."""
        named = payment_on_ticket(facts)
        expected = order.payment or self._look_up(facts, order)
        if named is None or expected is None or named.id == expected.id:
            return NamedPayment(expected or named, expected)
        # Only the processor can say whether it is the same payment under another id.
        return NamedPayment(replace(expected, kind=named.kind, id=named.id), expected)

    def _look_up(self, facts: TicketFacts, order: OrderRecord) -> PaymentRef | None:
        if facts.order_id is None or len(facts.order_id) > ORDER_ID_LIMIT:
            return None
        names = dict.fromkeys((facts.order_id, plain_id(facts.order_id), *order.names))
        found = (lookup(name) for lookup in self.lookups for name in names)
        return next((ref for ref in found if ref is not None), None)


def removal_of(ticket: Ticket) -> str | None:
    """Return in words how a ticket was removed, or None where it was not."""
    if ticket.deleted_at is not None:
        return "is in the bin"
    if ticket.is_spam:
        return "is marked as spam"
    return None if ticket.merged_into_id is None else "was merged into another ticket"


def payment_on_ticket(facts: TicketFacts) -> PaymentRef | None:
    """Return the payment that the ticket's own fields name, or None where they name none."""
    for name, kind in _PAYMENT_FIELDS:
        value = _text(facts.fields.get(name))
        if value is not None and _ID.fullmatch(value):
            return PaymentRef(kind_of(value, kind), value)
    return None


def adapter_on_ticket(facts: TicketFacts) -> str | None:
    """Return the configured name of the adapter that the ticket names, None where it names none."""
    return _text(facts.fields.get(_ADAPTER_FIELD))


_PREFIXES: Mapping[str, PaymentKind] = {
    "pi_": "payment_intent",
    "ch_": "charge",
    "py_": "charge",
    "cs_": "checkout_session",
    "in_": "invoice",
}
RESOLVED: Final = frozenset[PaymentKind]({"checkout_session", "invoice"})
"""The kinds that are not refunded themselves: the adapter resolves them to their payment."""


def kind_of(value: str, named: PaymentKind = "reference") -> PaymentKind:
    """Return what a payment's id is: its prefix tells, where it is visibly one of Stripe's."""
    found = _PREFIXES.get(value[:3], named)
    return found if named == "reference" or found in RESOLVED else named


def _text(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # an order number typed into a number field
    return value.strip() or None if isinstance(value, str) else None


def _currency(value: Any) -> str | None:
    """Return the currency; an unreadable one matches no payment's, and is not ignored."""
    return None if value is None else str(value).strip() or None


def _amount(value: Any) -> Decimal | str | None:
    """Return the amount: `Decimal` or int for numbers and digits in a text field, else the text."""
    if value is None or value == "":
        return None
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        return Decimal(value)
    text = str(value).strip()
    return Decimal(text) if _NUMBER.fullmatch(text) else text
