"""Faults on demand: what can go wrong between a client and Stripe, and exactly when."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from dispatch_sandbox.stripe.book import Book
from dispatch_sandbox.stripe.forms import Node
from dispatch_sandbox.stripe.names import EndpointName
from dispatch_sandbox.stripe.problems import Refusal

Seconds: TypeAlias = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
FaultKind: TypeAlias = Literal[
    "lost_response",
    "stored_500",
    "refused",
    "conflict_409",
    "rate_limit_429",
    "slow",
    "fail_later",
    "pending_then_succeed",
]
FailureReason: TypeAlias = Literal[
    "charge_for_pending_refund_disputed",
    "declined",
    "expired_or_canceled_card",
    "insufficient_funds",
    "lost_or_stolen_card",
    "merchant_request",
    "unknown",
]


class Fault(BaseModel):
    """One fault, for the next ``times`` requests that match.

    - ``lost_response``: the work is done and its answer kept, then the connection is cut.
    - ``stored_500``: a 500, kept under the idempotency key; with ``acted`` the work was done.
    - ``refused``: a 400, one of the ``refusal``s that real answers carry; nothing is done.
    - ``conflict_409``: ``idempotency_key_in_use``, for a request that has a key.
    - ``rate_limit_429``: with a ``Retry-After`` of ``retry_after`` seconds if given.
    - ``slow``: waits ``seconds`` (real time), ``when``: before or after the work is done.
    - ``fail_later``: a new refund fails with ``failure_reason`` after ``seconds`` (our clock).
    - ``pending_then_succeed``: a new refund is pending for ``seconds`` (our clock).

    It fits a request to ``endpoint`` (such as ``POST /v1/payment_intents/:id/capture``; None is
    any) about this ``payment_intent`` or ``charge``, whose metadata, or its payment's, contains
    ``metadata``.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    kind: FaultKind
    endpoint: EndpointName | None = "POST /v1/refunds"
    payment_intent: str | None = None
    charge: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    times: PositiveInt = 1
    fired: NonNegativeInt = 0
    acted: bool = True
    seconds: Seconds = 1.0
    when: Literal["before", "after"] = "before"
    retry_after: Seconds | None = None
    failure_reason: FailureReason = "unknown"
    refusal: Refusal = "insufficient_balance"

    @property
    def spent(self) -> bool:
        """Whether it is used up."""
        return self.fired >= self.times

    def fits(self, subject: Subject) -> bool:
        """Whether the fault applies to a request."""
        return (
            self.endpoint in {None, subject.endpoint}
            and self.payment_intent in {None, subject.payment_intent}
            and self.charge in {None, subject.charge}
            and self.metadata.items() <= subject.metadata.items()
        )


@dataclass(frozen=True, slots=True)
class Subject:
    """What a fault can match in a request."""

    endpoint: EndpointName
    payment_intent: str | None
    charge: str | None
    metadata: Mapping[str, str]

    @classmethod
    def of(
        cls, book: Book, endpoint: EndpointName, form: Mapping[str, Node], object_id: str
    ) -> Subject:
        """Find the payment behind a request, whichever of its ids the request names."""
        refund = book.refunds.get(object_id)
        charge = book.charges.get(
            _named(form, "charge") or (refund["charge"] if refund else object_id)
        )
        intent = book.payment_intents.get(
            _named(form, "payment_intent")
            or (charge["payment_intent"] if charge else object_id)
            or ""
        )
        if charge is None and intent is not None:
            charge = book.charges.get(intent["latest_charge"] or "")
        metadata: dict[str, str] = {}
        for known in (intent, charge, refund):
            metadata |= known["metadata"] if known else {}
        sent = form.get("metadata")
        if isinstance(sent, dict):
            metadata |= {key: value for key, value in sent.items() if isinstance(value, str)}
        return cls(
            endpoint, intent["id"] if intent else None, charge["id"] if charge else None, metadata
        )


def _named(form: Mapping[str, Node], field: str) -> str:
    value = form.get(field)
    return value if isinstance(value, str) else ""


class StripeFaults:
    """The armed faults and the used ones. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[Fault] = []
        self.armed = False

    def add(self, fault: Fault) -> Fault:
        """Arm a fault; ``fault.fired`` counts how often it was used."""
        with self._lock:
            self._all.append(fault)
            self.armed = True
        return fault

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._all.clear()
            self.armed = False

    def take(self, subject: Subject, *kinds: FaultKind) -> Fault | None:
        """Return the first armed fault of these kinds that applies, and count its use."""
        with self._lock:
            for fault in self._all:
                if fault.kind in kinds and not fault.spent and fault.fits(subject):
                    fault.fired += 1
                    self.armed = any(not other.spent for other in self._all)
                    return fault
        return None

    def dump(self) -> list[dict[str, Any]]:
        """Return all faults, as JSON."""
        with self._lock:
            return [fault.model_dump(mode="json") for fault in self._all]

    def load(self, data: list[dict[str, Any]]) -> None:
        """Replace all faults by those that `dump` described."""
        with self._lock:
            self._all = [Fault.model_validate(entry) for entry in data]
            self.armed = any(not fault.spent for fault in self._all)
