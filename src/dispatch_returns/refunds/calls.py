"""The request that a row makes, and how long its key keeps a repeat the same. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from dispatch_returns.errors import AdapterError, ErrorKind, UnsupportedFeatureError
from dispatch_returns.refunds.adapter import PaymentRef, RefundRequest
from dispatch_returns.refunds.capabilities import Capabilities
from dispatch_returns.refunds.details import RefundDetails
from dispatch_returns.refunds.ledger import Refund

_CLOCKS_DIFFER = timedelta(minutes=5)
_MARGIN = timedelta(hours=1)
"""A key this close to the end of its life may be gone when the request arrives."""


def request_of(refund: Refund) -> RefundRequest:
    """Return the request of this row: the same row always gives the same request."""
    assert refund.amount is not None
    return RefundRequest(
        refund_id=refund.id,
        idempotency_key=refund.idempotency_key,
        payment=payment_of(refund),
        amount=refund.amount,
        workspace_id=refund.workspace_id,
        ticket_id=refund.ticket_id,
        order_id=refund.order_id,
        details=RefundDetails.from_json(refund.details),
        instructions_email=refund.instructions_email,
    )


def payment_of(refund: Refund) -> PaymentRef:
    """Return the payment of this row, which must have one. The row says whose payment it is."""
    assert refund.payment is not None
    return replace(PaymentRef(**refund.payment), adapter=refund.adapter)


def check_key(request: RefundRequest, can: Capabilities) -> None:
    """Raise `UnsupportedFeatureError` for a key that is longer than the processor's keys are."""
    if len(request.idempotency_key) > can.longest_key:
        raise UnsupportedFeatureError(
            f"the processor's idempotency keys have at most {can.longest_key} characters"
        )


def not_shown_yet(refund: Refund, can: Capabilities, now: datetime) -> AdapterError | None:
    """Return the error for a refund that the processor's look-up may still miss, if it may."""
    # Not since `updated_at`, which each look moves. A second call needs a key that is alive.
    rest = (refund.first_sent_at or refund.entered_at) + can.lookup_after - now
    if not can.lookup or rest <= timedelta():
        return None
    return AdapterError(
        ErrorKind.UNKNOWN_OUTCOME,
        "The processor shows no refund, and may not show it yet.",
        retry_after=rest.total_seconds(),
    )


def key_is_alive(refund: Refund, can: Capabilities, now: datetime) -> bool:
    """Whether the processor certainly remembers the row's key, which an earlier call used."""
    if refund.first_sent_at is None:
        # Never sent, as far as this store shows; but the store may be an old backup.
        return can.lookup
    return can.key_lifetime is not None and _is_remembered(refund.first_sent_at, can, now)


def key_was_kept(refund: Refund, can: Capabilities, lease: timedelta, now: datetime) -> bool:
    """Whether the processor still knows the row's key, had a call used it since the row's entry.

    A person confirms what a person pays by hand. A processor without keys is trusted for as long as
    a worker may hold the row: the `lease`.
    """
    if can.manual:
        return True
    if can.key_lifetime is None:
        kept = now < refund.entered_at + lease
    else:
        kept = _is_remembered(refund.entered_at, can, now)
    return not refund.uncertain and kept


def _is_remembered(since: datetime, can: Capabilities, now: datetime) -> bool:
    """Whether a key that was first used at `since` is certainly remembered now.

    Where the processor has no look-up, only the clock can tell, and it may be wrong: trust half of
    the lifetime, and none of it where the clock is before the first use.
    """
    assert can.key_lifetime is not None
    if can.lookup:
        return now < since + can.key_lifetime - _MARGIN
    return since - _CLOCKS_DIFFER <= now < since + can.key_lifetime / 2
