"""What a payment processor must be able to do, and the types that describe it.

An adapter translates. It makes one call, reports the result and decides nothing: retries, look-ups
after an unknown outcome and the meaning of an error belong to the refund service. What its
processor can do is in `Capabilities`; what it cannot do is `UnsupportedFeatureError`, and never
imitated.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.money import CurrencyRule, Money
from dispatch_returns.refunds.capabilities import Capabilities
from dispatch_returns.refunds.details import NO_DETAILS, RefundDetails

PaymentKind = Literal["payment_intent", "charge", "checkout_session", "invoice", "reference"]


@dataclass(frozen=True, slots=True)
class PaymentRef:
    """Which payment to refund.

    ``kind`` is Stripe's word where Stripe is the processor, and ``reference`` for any other
    processor's own id. A Checkout Session or an invoice is not what is refunded: `Payment.ref` is.
    ``account`` is a connected account (Stripe Connect, direct charges); ``reverse_transfer`` and
    ``refund_application_fee`` belong to destination charges.

    ``adapter`` is the configured name of the adapter that the payment was made through; None where
    the source of the payment does not say. Adapters need not set it.
    """

    kind: PaymentKind
    id: str
    account: str | None = None
    reverse_transfer: bool = False
    refund_application_fee: bool = False
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as the processor describes it now.

    ``charged`` and ``refunded`` are None where the processor cannot tell. ``rule`` is how it counts
    the currency; ``currency`` is upper case. Both are None where it cannot tell that either: then
    the order names the currency, else the ticket. ``order_id`` is the merchant's own order id where
    the payment carries one (Stripe: ``metadata["order_id"]``). ``names`` are all ids of the payment
    (Stripe: the PaymentIntent's and the charge's). ``email`` is the payer's address, where the
    processor has one. ``paid_at`` is in UTC, None where the processor does not tell.

    ``ref`` is the payment that must be refunded, if it is another than the one that was asked for
    (Stripe: the PaymentIntent of a Checkout Session). The ledger stores it.
    """

    currency: str | None
    rule: CurrencyRule | None
    charged: Money | None = None
    refunded: Money | None = None
    disputed: bool = False
    order_id: str | None = None
    email: str | None = field(default=None, repr=False)
    names: frozenset[str] = frozenset()
    ref: PaymentRef | None = None
    paid_at: datetime | None = None

    @property
    def remaining(self) -> Money | None:
        """What can still be refunded, or None where the processor cannot tell."""
        if self.charged is None or self.refunded is None:
            return None
        return self.charged - self.refunded


class RefundStatus(enum.StrEnum):
    """Where a refund stands: Stripe's five words, and one for a payment that was voided."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    VOIDED = "voided"
    """Nothing of the payment was settled yet, so it was voided as a whole, and nothing is taken."""
    FAILED = "failed"
    CANCELED = "canceled"


NO_MONEY_MOVED = frozenset({RefundStatus.FAILED, RefundStatus.CANCELED})
"""In these statuses the merchant keeps the money, or has it back."""


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """One intent to refund. The same row always gives the same request, key included.

    ``refund_id`` is the ledger's own id: adapters store it with the processor (in metadata), so
    that `RefundAdapter.find` can find the refund again. ``instructions_email`` is where the
    processor writes to a customer who must act. ``details`` say what the refund is for, as far as
    that is known: a processor that needs more than is there raises `UnsupportedFeatureError`.
    """

    refund_id: str
    idempotency_key: str
    payment: PaymentRef
    amount: Money
    workspace_id: str
    ticket_id: str
    order_id: str | None = None
    details: RefundDetails = NO_DETAILS
    instructions_email: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RefundResult:
    """A refund that exists at the processor.

    ``ours`` is False for a refund made elsewhere (in the dashboard, say), which does not carry our
    ``refund_id``. ``arn`` is the bank's tracing number, which arrives late.
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
    """A refund as the processor has it, wherever it was made.

    ``refund_id`` and the fields after it are ours, where the refund carries them: a row of a ledger
    made it, though perhaps not of this one. ``payments`` are all ids of its payment (Stripe: the
    PaymentIntent and the charge). ``created_at`` is in UTC.
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

    ``problem`` names the field that is wrong, never its value. ``processor_id`` is None if that is
    the wrong field.
    """

    processor_id: str | None
    problem: str

    def __str__(self) -> str:
        return f"refund {self.processor_id or 'without an id'}: {self.problem}"


@dataclass(frozen=True, slots=True)
class EventHead:
    """What the inbox needs to know about a processor's event. ``occurred_at`` is in UTC.

    ``body`` is the event's own part of a delivery that carries several; by default the event is the
    whole body. ``hint_of`` is the payment's id where the delivery is unsigned: it proves nothing,
    and only makes the service ask the processor about that payment, if the ledger has it.
    """

    event_id: str
    type: str
    occurred_at: datetime | None = None
    ticket_id: str | None = None
    body: bytes | None = field(default=None, repr=False)
    hint_of: str | None = None


@dataclass(frozen=True, slots=True)
class RefundUpdate:
    """What a processor's event is about: the refunds of a payment.

    ``refunds`` are those that the event shows, as they were when it was created; the event may be
    late.
    """

    payments: tuple[PaymentRef, ...]
    refunds: tuple[KnownRefund, ...]


@runtime_checkable
class RefundAdapter(Protocol):
    """A payment processor. Each method makes at most one attempt and never retries.

    The methods raise `AdapterError` with its kind. A request that the processor has no way to
    express raises `UnsupportedFeatureError` before anything is sent. Features that only some
    processors have are protocols of their own: `SupportsWebhooks`, `SupportsChallenge`,
    `SupportsListing`, `SupportsAccount`, `SupportsRecognition`.
    """

    @property
    def name(self) -> str:
        """The name that selects it in the configuration, such as ``stripe``."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this processor can do; constant for the adapter's life."""
        ...

    def payment(self, ref: PaymentRef) -> Payment:
        """Return the payment as the processor describes it now."""
        ...

    def refund(self, request: RefundRequest) -> RefundResult:
        """Request the refund with ``request.idempotency_key``; return the one that exists then."""
        ...

    def find(self, request: RefundRequest, processor_id: str | None = None) -> RefundResult | None:
        """Return the refund that carries ``request.refund_id``, or None if there is none.

        `processor_id` is the processor's own id of the refund, where the ledger knows it.
        """
        ...

    def close(self) -> None:
        """Release connections. May be called twice."""
        ...


@runtime_checkable
class SupportsWebhooks(Protocol):
    """An adapter whose processor sends events, received at ``/webhooks/<its name>``.

    An event only says that something happened. The service then asks the processor how
    the refunds stand.
    """

    @property
    def name(self) -> str:
        """The adapter's name."""
        ...

    @property
    def webhook_events(self) -> tuple[str, ...]:
        """The event types to request from the processor; constant for the class."""
        ...

    def verify_webhook(self, request: WebhookRequest) -> Sequence[EventHead]:
        """Return the heads of an authentic delivery's events: each of them is authentic.

        It must be fast and call no other system, because the sender waits. Raises `SignatureError`
        when any event is not authentic, `ReplayError` when only the signing time is wrong,
        `EventError` when the delivery is authentic but cannot be understood, and
        `NotVerifiableYetError` when what it takes to verify it is still being fetched: the sender
        is asked to retry.
        """
        ...

    def parse_event(self, body: bytes) -> RefundUpdate | None:
        """Return what a verified event says about refunds, or None if it says nothing.

        `body` is the event's own: see `EventHead`.

        Raises `EventError` when the event cannot be understood.
        """
        ...


@runtime_checkable
class SupportsChallenge(Protocol):
    """An adapter whose processor checks the webhook's URL with a GET before it sends events."""

    def answer_challenge(self, request: WebhookRequest) -> bytes:
        """Return the text to answer with. Raises `SignatureError` for any other request."""
        ...


@runtime_checkable
class SupportsListing(Protocol):
    """An adapter that can list the refunds that exist. Both methods raise `AdapterError`.

    A refund that the adapter can't read becomes an `UnreadableRefund` and hides no other refund.
    """

    def refunds_of(self, ref: PaymentRef) -> Sequence[KnownRefund | UnreadableRefund]:
        """Return all refunds of a payment as they stand now, in any order."""
        ...

    def refunds_between(
        self, since: datetime | None, until: datetime | None
    ) -> Iterator[KnownRefund | UnreadableRefund]:
        """Yield all refunds made from `since` until before `until` (UTC), in any order.

        It holds one page of them at a time.
        """
        ...


def readable_refunds(
    listed: Iterable[KnownRefund | UnreadableRefund],
    unreadable: Callable[[UnreadableRefund], None],
) -> Iterator[KnownRefund]:
    """Yield the refunds that were read; pass each of the others to `unreadable`."""
    for refund in listed:
        if isinstance(refund, UnreadableRefund):
            unreadable(refund)
        else:
            yield refund


def unreadable_refunds(found: Sequence[UnreadableRefund]) -> AdapterError:
    """Return the error for a payment with refunds that can't be read. It names them."""
    named = "; ".join(map(str, found))
    return AdapterError(
        ErrorKind.UNREADABLE_REFUND,
        f"What was refunded of this payment is not known, as it can't be read in full: {named}.",
    )


@runtime_checkable
class SupportsAccount(Protocol):
    """An adapter whose processor has accounts; a database belongs to one account.

    The workers call it once, when they start.
    """

    @property
    def mode(self) -> str | None:
        """The mode that the key itself shows: ``live``, ``test`` or ``sandbox``; None if none."""
        ...

    def account(self) -> str | None:
        """Return the id of the key's account, or None where the key may not read it.

        Raises `AdapterError` when the processor cannot answer now.
        """
        ...


@runtime_checkable
class SupportsRecognition(Protocol):
    """An adapter whose processor's payment ids can be told from those of other processors."""

    def recognizes(self, payment_id: str) -> bool:
        """Return whether `payment_id` has the form of this processor's ids. It asks nobody."""
        ...
