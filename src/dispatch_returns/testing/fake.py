"""A processor in memory, which keeps idempotency keys as Stripe documents it."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    EventError,
    SignatureError,
    UnsupportedFeatureError,
)
from dispatch_returns.money import Money, stripe_rule
from dispatch_returns.refunds.adapter import (
    NO_MONEY_MOVED,
    EventHead,
    KnownRefund,
    Payment,
    PaymentRef,
    RefundRequest,
    RefundResult,
    RefundStatus,
    RefundUpdate,
)
from dispatch_returns.refunds.capabilities import Capabilities
from dispatch_returns.refunds.details import NO_DETAILS

Fault = BaseException | Literal["lost_response", "stored_500", "stored_500_but_paid"]
"""What `FakeAdapter.fail_next` takes.

An exception is raised and nothing is carried out. ``lost_response``: the refund is made, and the
answer never arrives. ``stored_500``: the key gives an unknown outcome forever, and no refund was
made; ``stored_500_but_paid``: the same, though the refund was made.
"""

Call = Literal["payment", "refund", "find", "refunds_of"]

_SIGNATURE = "fake-signature"
_ERROR_500 = AdapterError(ErrorKind.UNKNOWN_OUTCOME, "the processor answered 500")


@dataclass(frozen=True, slots=True)
class _Made:
    """A refund as the processor keeps it; without a request, it was made elsewhere."""

    result: RefundResult
    payment_id: str
    created_at: datetime
    request: RefundRequest | None = None

    @property
    def known(self) -> KnownRefund:
        ours = self.request
        return KnownRefund(
            self.result,
            (ours.payment if ours else PaymentRef("payment_intent", self.payment_id),),
            self.created_at,
            refund_id=ours.refund_id if ours else None,
            idempotency_key=ours.idempotency_key if ours else None,
            workspace_id=ours.workspace_id if ours else None,
            ticket_id=ours.ticket_id if ours else None,
        )

    @property
    def paid(self) -> bool:
        return self.result.status not in NO_MONEY_MOVED


@dataclass(frozen=True, slots=True)
class _Answer:
    """The first answer to a key."""

    request: RefundRequest
    outcome: RefundResult | AdapterError
    at: datetime


@dataclass(slots=True)
class _Account:
    charged: Money
    paid_at: datetime
    disputed: bool = False


class FakeAdapter:
    """A `RefundAdapter` without a network, for tests of the code that uses one.

    ``payments`` maps a payment's id to what was charged. ``key_lifetime``: how long the adapter
    remembers a key, by ``clock`` (UTC); None ignores keys, as some processors do. With
    ``lookup=False`` it cannot look refunds up: `find` is unsupported. ``first_status`` is the
    status of a new refund.

    >>> adapter = FakeAdapter({"pi_1": Money(14900, "USD")})
    >>> adapter.fail_next("lost_response")
    """

    name = "fake"
    webhook_events = ("refund.updated",)

    def __init__(
        self,
        payments: Mapping[str, Money],
        *,
        key_lifetime: timedelta | None = timedelta(hours=24),
        lookup: bool = True,
        first_status: RefundStatus = RefundStatus.SUCCEEDED,
        clock: Clock = utc_now,
    ) -> None:
        self.capabilities = Capabilities(
            key_lifetime=key_lifetime, lookup=lookup, asynchronous=True
        )
        self.first_status = first_status
        self.requests: list[RefundRequest] = []
        """Every call of `refund`, in order, whatever its result."""
        self._accounts = {
            payment_id: _Account(money, clock()) for payment_id, money in payments.items()
        }
        self._made: dict[str, _Made] = {}
        self._answers: dict[str, _Answer] = {}
        self._faults: dict[Call, deque[Fault]] = {
            "payment": deque(),
            "refund": deque(),
            "find": deque(),
            "refunds_of": deque(),
        }
        self._told: dict[bytes, KnownRefund] = {}
        self._clock = clock
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"FakeAdapter({len(self._accounts)} payments, {len(self._made)} refunds)"

    @property
    def refunds(self) -> list[RefundResult]:
        """Every refund that exists, oldest first, including those made elsewhere."""
        with self._lock:
            return [made.result for made in self._made.values()]

    # What a test does to the processor.

    def add_payment(self, payment_id: str, charged: Money) -> None:
        """Add a payment that can be refunded."""
        with self._lock:
            self._accounts[payment_id] = _Account(charged, self._clock())

    def fail_next(self, fault: Fault, *, call: Call = "refund") -> None:
        """Make the next such call fail; several faults apply in order."""
        with self._lock:
            self._faults[call].append(fault)

    def refund_externally(self, payment_id: str, amount: Money) -> RefundResult:
        """Make a refund elsewhere, as a person does in the processor's dashboard."""
        with self._lock:
            return self._make(payment_id, amount, None)

    def dispute(self, payment_id: str) -> None:
        """Have the customer's bank dispute the payment: it can no longer be refunded."""
        with self._lock:
            self._accounts[payment_id].disputed = True

    def set_status(
        self,
        processor_id: str,
        status: RefundStatus,
        *,
        failure_reason: str | None = None,
        arn: str | None = None,
    ) -> RefundResult:
        """Change the status of a refund, as the bank's answer does later."""
        with self._lock:
            made = self._made[processor_id]
            result = replace(made.result, status=status, failure_reason=failure_reason, arn=arn)
            self._made[processor_id] = replace(made, result=result)
            return result

    def event(
        self,
        processor_id: str,
        type: str = "refund.updated",  # noqa: A002 - the envelope's word
    ) -> tuple[bytes, dict[str, str]]:
        """Return the body and headers of a webhook that says where a refund stands now."""
        with self._lock:
            event = {"id": f"evt_{len(self._told) + 1}", "type": type, "refund": processor_id}
            body = json.dumps(event).encode()
            if processor_id in self._made:
                self._told[body] = self._made[processor_id].known
        return body, {_SIGNATURE: _sign(body)}

    # The methods of the protocol.

    def payment(self, ref: PaymentRef) -> Payment:
        """Return what was charged and refunded so far."""
        with self._lock:
            if self._take_fault("payment"):
                raise _unanswered()
            account = self._account(ref.id)
            charged = account.charged
            return Payment(
                currency=charged.currency,
                paid_at=account.paid_at,
                rule=replace(stripe_rule(charged.currency), decimals=charged.decimals),
                charged=account.charged,
                refunded=self._refunded(ref.id),
                disputed=account.disputed,
            )

    def refund(self, request: RefundRequest) -> RefundResult:
        """Make the refund, or repeat the key's earlier answer."""
        if len(request.idempotency_key) > self.capabilities.longest_key:
            raise UnsupportedFeatureError("the key is too long for this processor")
        with self._lock:
            self.requests.append(request)
            fault = self._take_fault("refund")
            outcome = self._answer(request, fault)
        if fault == "lost_response":
            raise _unanswered()
        if isinstance(outcome, AdapterError):
            raise AdapterError(outcome.kind, outcome.message)  # the kept one gathers no traceback
        return outcome

    def find(self, request: RefundRequest, processor_id: str | None = None) -> RefundResult | None:
        """Return our refund, None if there is none."""
        with self._lock:
            if self._take_fault("find"):
                raise _unanswered()
            if not self.capabilities.lookup:
                if not self.capabilities.lookup_by_id or processor_id is None:
                    raise UnsupportedFeatureError("this processor cannot look a refund up")
                return self._made[processor_id].result
            self._account(request.payment.id)
            here = [m for m in self._made.values() if m.payment_id == request.payment.id]
            ours = [m for m in here if m.request and m.request.refund_id == request.refund_id]
            paid = [m for m in ours if m.paid]
            if len(paid) > 1:
                raise AdapterError(ErrorKind.KEY_CONFLICT, "this was paid back more than once")
            # The one that pays, else one that this very key made.
            key = request.idempotency_key
            found = paid or [m for m in ours if m.request and m.request.idempotency_key == key]
            return found[-1].result if found else None

    def verify_webhook(self, request: WebhookRequest) -> Sequence[EventHead]:
        """Verify an event that `event` made. Raises `SignatureError`."""
        given = request.header(_SIGNATURE) or ""
        if not hmac.compare_digest(given.encode(), _sign(request.body).encode()):
            raise SignatureError("the event does not carry the fake's signature")
        envelope: dict[str, str] = json.loads(request.body)
        return (EventHead(envelope["id"], envelope["type"]),)

    def parse_event(self, body: bytes) -> RefundUpdate | None:
        """Return the refund as it was when `event` was called. Raises `EventError`."""
        with self._lock:
            known = self._told.get(body)
        if known is None:
            raise EventError("the event is about a refund that does not exist")
        return RefundUpdate(known.payments, (known,))

    def refunds_of(self, ref: PaymentRef) -> list[KnownRefund]:
        """Return all refunds of a payment, newest first."""
        with self._lock:
            if self._take_fault("refunds_of"):
                raise _unanswered()
            self._account(ref.id)
            return [made.known for made in self._newest_first() if made.payment_id == ref.id]

    def refunds_between(
        self, since: datetime | None, until: datetime | None
    ) -> Iterator[KnownRefund]:
        """Yield all refunds, newest first."""
        with self._lock:
            known = [made.known for made in self._newest_first()]
        for refund in known:
            late = since is None or refund.created_at >= since
            if late and (until is None or refund.created_at < until):
                yield refund

    def _newest_first(self) -> list[_Made]:
        return list(self._made.values())[::-1]

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def _take_fault(self, call: Call) -> Fault | None:
        fault = self._faults[call].popleft() if self._faults[call] else None
        if isinstance(fault, BaseException):
            raise fault
        return fault

    def _answer(self, request: RefundRequest, fault: Fault | None) -> RefundResult | AdapterError:
        """Repeat the key's earlier answer, or carry the request out and remember the answer."""
        lifetime = self.capabilities.key_lifetime
        known = self._answers.get(request.idempotency_key)
        if lifetime is not None and known and self._clock() - known.at < lifetime:
            # What a refund is for is not sent, as with Stripe.
            if replace(known.request, details=NO_DETAILS) == replace(request, details=NO_DETAILS):
                return known.outcome
            why = "the key was used before with another content"
            return AdapterError(ErrorKind.KEY_CONFLICT, why)
        try:
            self._account(request.payment.id)
        except AdapterError as error:  # refused before execution, so the key stays unused
            return error
        outcome = _ERROR_500 if fault == "stored_500" else self._execute(request)
        if fault == "stored_500_but_paid":
            outcome = _ERROR_500
        self._answers[request.idempotency_key] = _Answer(request, outcome, self._clock())
        return outcome

    def _execute(self, request: RefundRequest) -> RefundResult | AdapterError:
        account = self._accounts[request.payment.id]
        left = account.charged - self._refunded(request.payment.id)
        if account.disputed:
            return AdapterError(ErrorKind.DISPUTED, "the payment is disputed")
        if not left.minor:
            return AdapterError(ErrorKind.ALREADY_REFUNDED, "nothing is left on the payment")
        if request.amount > left:
            return AdapterError(ErrorKind.EXCEEDS_REMAINING, f"only {left} is left")
        return self._make(request.payment.id, request.amount, request)

    def _make(self, payment_id: str, amount: Money, request: RefundRequest | None) -> RefundResult:
        result = RefundResult(
            processor_id=f"fake_{len(self._made) + 1}",
            status=self.first_status,
            amount=amount,
            ours=request is not None,
        )
        self._made[result.processor_id] = _Made(result, payment_id, self._clock(), request)
        return result

    def _account(self, payment_id: str) -> _Account:
        try:
            return self._accounts[payment_id]
        except KeyError:
            raise AdapterError(ErrorKind.NOT_FOUND, f"there is no payment {payment_id}") from None

    def _refunded(self, payment_id: str) -> Money:
        charged = self._accounts[payment_id].charged
        paid = (m for m in self._made.values() if m.payment_id == payment_id and m.paid)
        return sum((made.result.amount for made in paid), start=replace(charged, minor=0))


def _unanswered() -> AdapterError:
    return AdapterError(ErrorKind.UNKNOWN_OUTCOME, "the answer did not arrive")


def _sign(body: bytes) -> str:
    return hmac.new(b"fake", body, hashlib.sha256).hexdigest()
