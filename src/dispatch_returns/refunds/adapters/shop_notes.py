"""How a refund in a shop system says that it is ours: in its note, as it has no other field.

People see the note in the shop, and some gateways show it to the customer, so it says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dispatch_returns.errors import AdapterError, ErrorKind, UnsupportedFeatureError
from dispatch_returns.refunds.adapter import (
    NO_MONEY_MOVED,
    KnownRefund,
    PaymentRef,
    RefundRequest,
    RefundResult,
)

_MARK = re.compile(
    r"\[dispatch-returns (?P<key>(?P<refund>rfd_[0-9a-f]{32})-g[0-9]+)"
    r" (?P<workspace>[\w.:-]+) (?P<ticket>[\w.:-]+)\]",
    re.ASCII,
)
_WORD = re.compile(r"[\w.:-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mark:
    """What a note says: our refund, the key of the call that made it, and its ticket."""

    refund_id: str
    idempotency_key: str
    workspace_id: str
    ticket_id: str


def note_of(request: RefundRequest) -> str:
    """Return the note of a refund. Raises `UnsupportedFeatureError` for an id that does not fit."""
    words = (request.idempotency_key, request.workspace_id, request.ticket_id)
    if not all(_WORD.fullmatch(word) for word in words):
        raise UnsupportedFeatureError("an id has characters that do not fit into the shop's note")
    reference = request.details.reference
    return f"{f'Return {reference} ' if reference else ''}[dispatch-returns {' '.join(words)}]"


def mark_in(note: str | None) -> Mark | None:
    """Return what our note in a refund says, None where somebody else made the refund."""
    found = _MARK.search(note or "")
    if found is None:
        return None
    return Mark(found["refund"], found["key"], found["workspace"], found["ticket"])


def known_refund(
    result: RefundResult, order_id: str, created_at: datetime, mark: Mark | None
) -> KnownRefund:
    """Return a refund of an order, with what its note says."""
    payments = (PaymentRef("reference", order_id),)
    if mark is None:
        return KnownRefund(replace(result, ours=False), payments, created_at)
    return KnownRefund(
        result,
        payments,
        created_at,
        mark.refund_id,
        mark.idempotency_key,
        mark.workspace_id,
        mark.ticket_id,
    )


def ours_in(
    refunds: Sequence[KnownRefund], request: RefundRequest, shop: str
) -> KnownRefund | None:
    """Return the refund of this intent: the one that pays, else the one that its key made.

    Raises `AdapterError` (key_conflict) when several of them move money.
    """
    ours = [it for it in refunds if it.refund_id == request.refund_id]
    paid = [it for it in ours if it.result.status not in NO_MONEY_MOVED]
    if len(paid) > 1:
        raise AdapterError(
            ErrorKind.KEY_CONFLICT,
            f"{shop} has {len(paid)} refunds of this one: look at them in the order.",
        )
    candidates = paid or [it for it in ours if it.idempotency_key == request.idempotency_key]
    return candidates[-1] if candidates else None


def repeated(found: KnownRefund | None, request: RefundRequest, shop: str) -> KnownRefund | None:
    """Return the refund that this key made already, as a repeated call does.

    Raises `AdapterError` (key_conflict) when it has another amount.
    """
    if found is None or found.idempotency_key != request.idempotency_key:
        return None
    if found.result.amount != request.amount:
        raise AdapterError(
            ErrorKind.KEY_CONFLICT,
            f"{shop} has a refund of {found.result.amount} under this key.",
        )
    return found


def check_left(request: RefundRequest, left: int, shop: str) -> None:
    """Raise `AdapterError` where less is left of the payment, in minor units, than is asked for."""
    if left <= 0:
        raise AdapterError(
            ErrorKind.ALREADY_REFUNDED, f"Nothing is left of this payment in {shop}."
        )
    if request.amount.minor > left:
        raise AdapterError(
            ErrorKind.EXCEEDS_REMAINING, f"{shop} has less left of this payment than is asked for."
        )
