"""Which of a payment's refunds is ours, and what that allows: for processors that list them."""

from __future__ import annotations

from collections.abc import Sequence

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import (
    NO_MONEY_MOVED,
    KnownRefund,
    RefundRequest,
    UnreadableRefund,
    unreadable_refunds,
)


def find_own(
    refunds: Sequence[KnownRefund | UnreadableRefund], request: RefundRequest, processor: str
) -> KnownRefund | None:
    """Return the refund of this intent, None if there is none.

    A refund that moves money matches, whichever key made it: adopting it keeps the customer from
    being paid twice. A failed one matches only under the request's own key, because an earlier
    generation's failure says nothing about this one. `processor` is its name for people.

    Raises `AdapterError`: key_conflict when several move money, unreadable_refund when none
    matches and one that can't be read may be it.
    """
    ours = [
        it for it in refunds if isinstance(it, KnownRefund) and it.refund_id == request.refund_id
    ]
    moving = [it for it in ours if it.result.status not in NO_MONEY_MOVED]
    if len(moving) > 1:
        named = ", ".join(it.result.processor_id for it in moving)
        raise AdapterError(
            ErrorKind.KEY_CONFLICT,
            f"This was refunded more than once: compare the refunds {named} in {processor}.",
        )
    under_this_key = [it for it in ours if it.idempotency_key == request.idempotency_key]
    found = next(iter(moving or under_this_key), None)
    unreadable = [it for it in refunds if isinstance(it, UnreadableRefund)]
    if found is None and unreadable:
        raise unreadable_refunds(unreadable)
    return found


def repeated(
    found: KnownRefund | None, request: RefundRequest, processor: str
) -> KnownRefund | None:
    """Return the refund that this key made already, as a repeated call does.

    Raises `AdapterError` (key_conflict) when it has another amount, or when an earlier key made it.
    """
    if found is None:
        return None
    if found.idempotency_key != request.idempotency_key:
        raise AdapterError(
            ErrorKind.KEY_CONFLICT,
            f"{processor} has this refund already, from an earlier call:"
            f" {found.result.processor_id}.",
        )
    if found.result.amount != request.amount:
        raise AdapterError(
            ErrorKind.KEY_CONFLICT,
            f"{processor} has a refund of {found.result.amount} under this key.",
        )
    return found


def check_left(request: RefundRequest, left: Money, processor: str) -> None:
    """Raise `AdapterError` where less is left of the payment than is asked for.

    Its kind is config where the payment is in another currency than the request.
    """
    asked = request.amount
    if (asked.currency, asked.decimals) != (left.currency, left.decimals):
        raise AdapterError(
            ErrorKind.CONFIG,
            f"{processor} has the payment in {left.currency}, and the refund is in"
            f" {asked.currency}: correct the amount on the ticket.",
        )
    if left.minor <= 0:
        raise AdapterError(
            ErrorKind.ALREADY_REFUNDED, f"Nothing is left of this payment in {processor}."
        )
    if asked.minor > left.minor:
        raise AdapterError(
            ErrorKind.EXCEEDS_REMAINING,
            f"{processor} has less left of this payment than is asked for.",
        )
