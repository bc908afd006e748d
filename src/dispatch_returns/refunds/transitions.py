"""The states of a refund, and every move that it may make. No other move happens.

`ledger.create` and `ledger.move` write a state, and check it here first. The diagram and the table
in ``docs/refunds.md`` are made from `TRANSITIONS`.
"""

from __future__ import annotations

import enum
from typing import Final

from dispatch_returns.store.transitions import NEW, Transition, Transitions


class State(enum.StrEnum):
    """The state of a refund. ``unknown`` is a state of its own, and not a failure."""

    REQUESTED = "requested"
    SENDING = "sending"
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    VOIDED = "voided"
    """The payment was voided before anything of it was taken: the customer keeps the money."""
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"
    HELD = "held"
    """Nothing was paid and nothing is under way: a person must look."""


class RefundAction(enum.StrEnum):
    """What moves a refund."""

    ENTER = "entered"
    """A ticket asks for it. It is checked and written to the ledger."""
    CHECK = "checked again"
    """Its ticket was changed or set to `refunded` again, or a person approved or retried it."""
    CALL = "called"
    """The ledger records that the processor is called now."""
    ANSWER = "answered"
    """The processor's answer to that call."""
    FIND = "looked up"
    """We asked the processor for its state, or for an external refund that equals it."""
    REPORT = "reported"
    """The processor sent an event, or its list of refunds was compared."""
    ADOPT = "adopted"
    """It was made elsewhere. The row adopts it, and pays nothing."""
    CONFIRM = "confirmed"
    """A person paid it by hand."""
    REFUSE = "refused"
    """The processor refuses it, or could not be reached for a day. Nothing was paid."""
    HOLD = "held back"
    """A limit, or the ticket as it is now, forbids it just before the call."""
    POSTPONE = "postponed"
    """The call was certainly not carried out. It is repeated later with the same key."""
    DEFER = "deferred"
    """The processor refuses it until the payment is settled. It gets a new key later."""
    LOSE_TRACK = "lost track of"
    """It may have been paid, and the processor does not say so."""
    CANCEL = "canceled"
    """A person cancels it."""
    DENY = "found unpaid"
    """A person checked with the processor: nothing was paid."""


ACCEPTED: Final = frozenset({State.PENDING, State.REQUIRES_ACTION, State.SUCCEEDED, State.VOIDED})
"""The processor has a refund that moves money, or has moved it."""
UNPAID: Final = frozenset({State.HELD, State.FAILED, State.CANCELED})
"""Certainly nothing was paid."""
_UNDERWAY = frozenset({State.REQUESTED, State.SENDING, State.UNKNOWN})
_GAVE_UP = frozenset({State.FAILED, State.CANCELED})
_LATE = _UNDERWAY - {State.SENDING} | ACCEPTED
"""What an event may report as failed. While a call is under way, its own answer comes first."""


def _of(*states: State | None) -> frozenset[State | None]:
    return frozenset(states)


TRANSITIONS: Final = Transitions[State, RefundAction](
    "refund",
    Transition(RefundAction.ENTER, _of(NEW), frozenset({State.REQUESTED, State.HELD})),
    # Only if the processor itself has refused the old key, or the old key was never sent.
    Transition(RefundAction.CHECK, UNPAID, frozenset({State.REQUESTED}), new_key=True),
    Transition(RefundAction.CHECK, UNPAID | {State.REQUESTED}, frozenset({State.HELD})),
    # From `sending`: the worker that was about to call died, and the same key is used again.
    Transition(RefundAction.CALL, _UNDERWAY | {NEW}, frozenset({State.SENDING})),
    # `unknown` is the answer where the processor has a refund of another amount.
    Transition(RefundAction.ANSWER, _of(State.SENDING), ACCEPTED | _GAVE_UP | {State.UNKNOWN}),
    Transition(RefundAction.FIND, _UNDERWAY | ACCEPTED, ACCEPTED | _GAVE_UP | {State.UNKNOWN}),
    # A held or failed refund that was made after all; a failure of an old attempt changes nothing.
    Transition(RefundAction.REPORT, _LATE | UNPAID, ACCEPTED | {State.UNKNOWN}),
    Transition(RefundAction.REPORT, _LATE, _GAVE_UP),
    Transition(RefundAction.ADOPT, UNPAID | {NEW, State.REQUESTED}, ACCEPTED),
    Transition(RefundAction.CONFIRM, _of(State.PENDING), frozenset({State.SUCCEEDED})),
    Transition(RefundAction.REFUSE, _of(State.REQUESTED, State.SENDING), frozenset({State.HELD})),
    # `unknown`: it was never sent as far as this store shows, and the processor has none.
    Transition(RefundAction.HOLD, _of(State.REQUESTED, State.UNKNOWN), frozenset({State.HELD})),
    Transition(
        RefundAction.POSTPONE,
        _of(State.REQUESTED, State.SENDING),
        frozenset({State.REQUESTED}),
    ),
    # The processor refuses the key, whose answer it may keep.
    Transition(RefundAction.DEFER, _of(State.SENDING), frozenset({State.REQUESTED}), new_key=True),
    # From an accepted one: the processor shows another row's refund in its place.
    Transition(RefundAction.LOSE_TRACK, _UNDERWAY | ACCEPTED, frozenset({State.UNKNOWN})),
    Transition(RefundAction.CANCEL, _of(State.REQUESTED, State.HELD), frozenset({State.CANCELED})),
    # The only way to a new key that does not start from the processor's own word.
    Transition(RefundAction.DENY, _of(State.UNKNOWN), frozenset({State.REQUESTED}), new_key=True),
)
