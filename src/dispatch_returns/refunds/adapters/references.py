"""Our reference on a refund, for processors that keep a short text and no metadata."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from dispatch_returns.refunds.adapter import (
    KnownRefund,
    PaymentRef,
    RefundRequest,
    RefundResult,
)

_REFERENCE = re.compile(
    r"(?P<key>(?P<refund>rfd_[0-9a-f]{32})-g[0-9]{1,6})"
    r"(?:\.(?P<workspace>[A-Za-z0-9_-]+)\.(?P<ticket>[A-Za-z0-9_-]+))?",
    re.ASCII,
)
_WORD = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ours:
    """What our reference on a refund says; the last two are missing where they were too long."""

    refund_id: str
    idempotency_key: str
    workspace_id: str | None
    ticket_id: str | None


def reference_of(request: RefundRequest, longest: int) -> str:
    """Return the reference of a refund: its key, and whose it is if that fits into `longest`."""
    ids = (request.workspace_id, request.ticket_id)
    whole = ".".join((request.idempotency_key, *ids))
    fits = len(whole) <= longest and all(_WORD.fullmatch(it) for it in ids)
    return whole if fits else request.idempotency_key


def ours_in(reference: object) -> Ours | None:
    """Return what our reference says, or None where someone else made the refund."""
    found = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
    if found is None:
        return None
    return Ours(found["refund"], found["key"], found["workspace"], found["ticket"])


def known_refund(
    result: RefundResult,
    payments: tuple[PaymentRef, ...],
    created_at: datetime,
    ours: Ours | None,
) -> KnownRefund:
    """Return a refund with what it says of us; without `ours`, someone else made it."""
    if ours is None:
        return KnownRefund(replace(result, ours=False), payments, created_at)
    return KnownRefund(
        result,
        payments,
        created_at,
        ours.refund_id,
        ours.idempotency_key,
        ours.workspace_id,
        ours.ticket_id,
    )
