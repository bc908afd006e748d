"""What a payment processor must be able to do, and the words it is spoken to in.

An adapter translates. It makes one call, says what it found out, and decides nothing: retries,
look-ups after an unknown outcome and what an error means are the refund service's.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol, runtime_checkable

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.money import CurrencyRule, Money

PaymentKind = Literal["payment_intent", "charge", "reference"]


@dataclass(frozen=True, slots=True)
class PaymentRef:
    """Which payment is paid back.

    ``kind`` is Stripe's word where Stripe is the processor, and ``reference`` for any other
    processor's own id. ``account`` is a connected account (Stripe Connect, direct charges);
    ``reverse_transfer`` and ``refund_application_fee`` belong to destination charges.
    """

    kind: PaymentKind
    id: str
    account: str | None = None
    reverse_transfer: bool = False
    refund_application_fee: bool = False


@dataclass(frozen=True, slots=True)
class Payment:
    """What the processor says of a payment at this moment.

    ``charged`` and ``refunded`` are None where a processor cannot tell. ``rule`` is how it
    counts the currency; ``currency`` is upper case. ``order_id`` is the merchant's own order
    where the payment says so (Stripe: ``metadata["order_id"]``). ``names`` are the ids that it
    goes by (Stripe: the PaymentIntent's and the charge's). ``email`` is the address of who
    paid, where the processor has one.
    """

    currency: str
    rule: CurrencyRule
    charged: Money | None = None
    refunded: Money | None = None
    disputed: bool = False
    order_id: str | None = None
    email: str | None = field(default=None, repr=False)
    names: frozenset[str] = frozenset()

    @property
    def remaining(self) -> Money | None:
        """What can still be paid back, or None where the processor cannot tell."""
        if self.charged is None or self.refunded is None:
            return None
        return self.charged - self.refunded


class RefundStatus(enum.StrEnum):
    """The processor's word for where a refund stands (Stripe's five)."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


NO_MONEY_MOVED = frozenset({RefundStatus.FAILED, RefundStatus.CANCELED})
"""A refund that stands so leaves the money where it was."""


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """One intent to pay back. The same row always gives the same request, key included.

    ``refund_id`` is the ledger's own id: adapters store it with the processor (metadata), so
    that `RefundAdapter.find` can find the refund again. ``instructions_email`` is where the
    processor writes to a customer who must act.
    """

    refund_id: str
    idempotency_key: str
    payment: PaymentRef
    amount: Money
    workspace_id: str
    ticket_id: str
    order_id: str | None = None
    instructions_email: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RefundResult:
    """A refund that exists at the processor.

    ``ours`` is False for one that somebody else made (in the dashboard, say): it does not
    carry our ``refund_id``. ``arn`` is the bank's tracing number, which arrives late.
    """

    processor_id: str
    status: RefundStatus
    amount: Money
    ours: bool = True
    arn: str | None = None
    failure_reason: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class KnownRefund:
    """A refund as the processor has it, whoever made it.

    ``refund_id`` and what follows it are ours, where the refund carries them: it then was made
    from a row of a ledger, though perhaps not of this one. ``payments`` are all the names its
    payment goes by (Stripe: the PaymentIntent and the charge). ``created_at`` is in UTC.
    """

    result: RefundResult
    payments: tuple[PaymentRef, ...]
    created_at: datetime
    refund_id: str | None = None
    idempotency_key: str | None = None
    workspace_id: str | None = None
    ticket_id: str | None = None


@dataclass(frozen=True, slots=True)
class UnreadableRefund:
    """A refund in a processor's list that the adapter can't read. It may have moved money.

    ``problem`` names the field that is wrong, never its value. ``processor_id`` is None where
    that is the field.
    """

    processor_id: str | None
    problem: str

    def __str__(self) -> str:
        return f"refund {self.processor_id or 'without an id'}: {self.problem}"


@dataclass(frozen=True, slots=True)
class EventHead:
    """What the inbox must know of a processor's event. ``occurred_at`` is in UTC."""

    event_id: str
    type: str
    occurred_at: datetime | None = None
    ticket_id: str | None = None


@dataclass(frozen=True, slots=True)
class RefundNews:
    """What a processor's event is about: a payment's refunds.

    ``refunds`` are those that the event shows, as they stood when it was made: it may be late.
    """

    payments: tuple[PaymentRef, ...]
    refunds: tuple[KnownRefund, ...]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the processor can do.

    ``key_lifetime``: how long it certainly remembers an idempotency key; None if it ignores
    keys. ``lookup``: `find` is consistent right after a refund was made. ``asynchronous``: an
    outcome may come later than the answer. ``manual``: a person pays and confirms.
    """

    partial: bool = True
    key_lifetime: timedelta | None = None
    lookup: bool = False
    asynchronous: bool = False
    manual: bool = False


@runtime_checkable
class RefundAdapter(Protocol):
    """A payment processor. Each method makes at most one attempt and never retries.

    They raise `AdapterError` with its kind; a request the processor has no words for raises
    `UnsupportedFeatureError`, before anything is sent. What only some processors can do has
    protocols of its own: `SupportsWebhooks`, `SupportsListing`, `SupportsAccount`.
    """

    @property
    def name(self) -> str:
        """The name it is configured by, such as ``stripe``."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this processor can do; constant for the adapter's life."""
        ...

    def payment(self, ref: PaymentRef) -> Payment:
        """Return what the processor says of the payment now."""
        ...

    def refund(self, request: RefundRequest) -> RefundResult:
        """Ask for the refund with ``request.idempotency_key``; return what exists then."""
        ...

    def find(self, request: RefundRequest) -> RefundResult | None:
        """Return the refund that carries ``request.refund_id``, None if there is none."""
        ...

    def close(self) -> None:
        """Release connections. May be called twice."""
        ...


@runtime_checkable
class SupportsWebhooks(Protocol):
    """An adapter whose processor sends events: they are received at ``/webhooks/<its name>``.

    An event says only that something happened. What is the case, the processor is asked.
    """

    @property
    def name(self) -> str:
        """The adapter's name."""
        ...

    @property
    def webhook_events(self) -> tuple[str, ...]:
        """The kinds of events that the processor is to be asked for; constant for the class."""
        ...

    def verify_event(self, body: bytes, headers: Mapping[str, str]) -> EventHead:
        """Return what an authentic event is. It must be cheap: the sender waits.

        Raises `SignatureError` when it is not authentic, `ReplayError` when all that is wrong is
        the time it was signed at; `EventError` for what is authentic and not understood.
        """
        ...

    def parse_event(self, body: bytes) -> RefundNews | None:
        """Return what an event that was verified tells of refunds, None if nothing.

        Raises `EventError` for what is not understood.
        """
        ...


@runtime_checkable
class SupportsListing(Protocol):
    """An adapter that can tell which refunds exist. Both raise `AdapterError`.

    A refund that the adapter can't read is an `UnreadableRefund` and hides no other refund.
    """

    def refunds_of(self, ref: PaymentRef) -> Sequence[KnownRefund | UnreadableRefund]:
        """Return all refunds of a payment as they stand now, in any order."""
        ...

    def refunds_between(
        self, since: datetime | None, until: datetime | None
    ) -> Iterator[KnownRefund | UnreadableRefund]:
        """Give all refunds made from `since` until before `until` (UTC), in any order.

        It holds one page of them at a time.
        """
        ...


def readable_refunds(
    listed: Iterable[KnownRefund | UnreadableRefund],
    unreadable: Callable[[UnreadableRefund], None],
) -> Iterator[KnownRefund]:
    """Give the refunds that were read; hand each of the others to `unreadable`."""
    for refund in listed:
        if isinstance(refund, UnreadableRefund):
            unreadable(refund)
        else:
            yield refund


def unreadable_refunds(found: Sequence[UnreadableRefund]) -> AdapterError:
    """Return the error for a payment of whose refunds some can't be read. It names them."""
    named = "; ".join(map(str, found))
    return AdapterError(
        ErrorKind.UNREADABLE_REFUND,
        f"What was refunded of this payment is not known, as it can't be read in full: {named}.",
    )


@runtime_checkable
class SupportsAccount(Protocol):
    """An adapter whose processor has accounts: a database belongs to one of them.

    It is asked once, when the workers start.
    """

    @property
    def mode(self) -> str | None:
        """What the key itself says: ``live``, ``test`` or ``sandbox``; None if nothing."""
        ...

    def account(self) -> str | None:
        """Return the id of the account the key is of, None where the key may not read it.

        Raises `AdapterError` when the processor cannot say now.
        """
        ...
