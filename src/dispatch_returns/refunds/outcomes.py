"""What follows from an adapter's answer: pure, and a table where possible.

The rule behind it: a refund becomes `held`, or gets a new idempotency key, only when the processor
itself says that it refused. Silence, and everything that may be silence, is `unknown`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.adapter import RefundResult
from dispatch_returns.refunds.guard import Hold, Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.transitions import State


class NextStep(enum.Enum):
    """What the service does next."""

    AGAIN = enum.auto()
    """It was not carried out: use the same key again, later."""
    LATER = enum.auto()
    """The processor refuses it until the payment is settled: use a new key, later."""
    UNKNOWN = enum.auto()
    """It may have been carried out: look it up, then use the same key again, later."""
    REFUSED = enum.auto()
    """The processor refused: a person must look, unless an earlier call went through."""
    LOOK = enum.auto()
    """A refund exists: ask the processor whether it is ours."""


_VERDICTS: Mapping[ErrorKind, NextStep] = {
    ErrorKind.NOT_SENT: NextStep.AGAIN,
    ErrorKind.RATE_LIMITED: NextStep.AGAIN,
    ErrorKind.AUTH: NextStep.AGAIN,
    ErrorKind.NOT_SETTLED: NextStep.LATER,
    ErrorKind.UNKNOWN_OUTCOME: NextStep.UNKNOWN,
    ErrorKind.IN_PROGRESS: NextStep.UNKNOWN,
    ErrorKind.UNREADABLE_REFUND: NextStep.UNKNOWN,
    ErrorKind.ALREADY_REFUNDED: NextStep.LOOK,
    ErrorKind.KEY_CONFLICT: NextStep.LOOK,
    ErrorKind.EXCEEDS_REMAINING: NextStep.REFUSED,
    ErrorKind.DISPUTED: NextStep.REFUSED,
    ErrorKind.INSUFFICIENT_BALANCE: NextStep.REFUSED,
    ErrorKind.NOT_REFUNDABLE: NextStep.REFUSED,
    ErrorKind.NOT_FOUND: NextStep.REFUSED,
    ErrorKind.CONFIG: NextStep.REFUSED,
}

_AFTER_ANOTHER: Mapping[NextStep, NextStep] = {
    NextStep.AGAIN: NextStep.UNKNOWN,
    NextStep.LATER: NextStep.UNKNOWN,
    NextStep.REFUSED: NextStep.LOOK,
}
"""What follows where an earlier call with the key may have been carried out."""

_REASONS: Mapping[ErrorKind, Reason] = {
    ErrorKind.ALREADY_REFUNDED: Reason.ALREADY_REFUNDED,
    ErrorKind.EXCEEDS_REMAINING: Reason.EXCEEDS_REMAINING,
    ErrorKind.DISPUTED: Reason.DISPUTED,
    ErrorKind.INSUFFICIENT_BALANCE: Reason.INSUFFICIENT_BALANCE,
    ErrorKind.NOT_REFUNDABLE: Reason.NOT_REFUNDABLE,
    ErrorKind.NOT_FOUND: Reason.NOT_FOUND,
    ErrorKind.CONFIG: Reason.REJECTED,
    ErrorKind.UNREADABLE_REFUND: Reason.REFUND_UNREADABLE,
}


def verdict(kind: ErrorKind, *, uncertain: bool) -> NextStep:
    """Return what follows from `kind`.

    `uncertain`: an earlier call with this key may have been carried out. Then "not carried out"
    describes the last call only, and a refusal may be the echo of our own success.
    """
    found = _VERDICTS[kind]
    if not uncertain:
        return found
    return _AFTER_ANOTHER.get(found, found)


def refusal(error: AdapterError) -> Hold:
    """Return why a person must look at a refund that was refused: each refusal has its reason."""
    hold = hold_for(error)
    assert hold is not None
    return hold


def hold_for(error: AdapterError) -> Hold | None:
    """Return why a person must look, for the kinds that mean a processor's refusal."""
    reason = _REASONS.get(error.kind)
    return None if reason is None else Hold(reason, error.message)


def standing(refund: Refund, result: RefundResult) -> tuple[State, Hold | None]:
    """Return the state that `result` means, and why a person must look at it, if so."""
    if result.ours and result.amount != refund.amount:
        detail = f"The processor has a refund of {result.amount} instead of {refund.amount}."
        return State.UNKNOWN, Hold(Reason.AMOUNT_DIFFERS, detail)
    state = State(result.status)
    if state is State.FAILED:
        detail = f"The processor says: {result.failure_reason or 'no reason given'}."
        return state, Hold(Reason.REFUND_FAILED, detail)
    if state is State.CANCELED:
        detail = "The refund was canceled at the processor."
        return state, Hold(Reason.REFUND_CANCELED, detail)
    return state, None
