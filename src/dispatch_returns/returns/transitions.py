"""The life of a return: its steps, and every move that it may make. No other move happens.

`records` writes a step, and checks it here first. The diagram and the table in ``docs/workflow.md``
are made from `TRANSITIONS`.
"""

from __future__ import annotations

import enum
from typing import Final

from dispatch_returns.returns.steps.statuses import Step as Step  # noqa: PLC0414 - handed on
from dispatch_returns.store.transitions import NEW, Transition, Transitions


class ReturnAction(enum.StrEnum):
    """What moves a return."""

    ENTER = "entered"
    """A ticket becomes a return."""
    TAKE_UP = "taken up"
    """The request was read from the ticket."""
    DECIDE = "decided"
    """The policy says yes, no, or that a person must decide."""
    SEND_LABEL = "label sent"
    EXPIRE = "not arrived"
    """No package has arrived in time."""
    RECEIVE = "received"
    """What arrived is recorded; its refund amount is on the ticket, or a person must look."""
    REFUND = "accepted"
    """What arrived, or what need not be sent back, may be refunded."""
    ASK = "another customer's"
    """The order belongs to another customer: a person must decide."""
    PARK = "failed"
    """A step cannot be done: a person must look."""
    SET = "set in Dispatch"
    """A person, or another program, has set the ticket's status. That counts, whatever it is."""
    DELETE = "deleted"
    """The ticket was deleted, merged into another one, or marked as spam."""


BEGINS: Final = frozenset(
    {Step.REQUESTED, Step.CHECK, Step.APPROVED, Step.LABEL_SENT, Step.RECEIVED}
)
"""In these steps a ticket that is new to us becomes a return."""
TAKES_PARCELS: Final = frozenset(
    {
        Step.APPROVED,
        Step.LABEL_SENT,
        Step.RECEIVED,
        Step.REFUNDED,
        Step.REVIEW,
        Step.EXPIRED,
        Step.CANCELLED,
        Step.ELSEWHERE,
    }
)
"""In these steps what arrives is handled. A rejected return's parcel waits for a person."""
_ANY = frozenset(Step)
_REVIEW = frozenset({Step.REVIEW})

TRANSITIONS: Final = Transitions[Step, ReturnAction](
    "return",
    Transition(ReturnAction.ENTER, frozenset({NEW}), BEGINS),
    Transition(ReturnAction.TAKE_UP, frozenset({Step.REQUESTED}), frozenset({Step.CHECK})),
    Transition(
        ReturnAction.DECIDE,
        frozenset({Step.CHECK}),
        frozenset({Step.APPROVED, Step.REVIEW, Step.REJECTED}),
    ),
    Transition(ReturnAction.SEND_LABEL, frozenset({Step.APPROVED}), frozenset({Step.LABEL_SENT})),
    Transition(ReturnAction.EXPIRE, frozenset({Step.LABEL_SENT}), frozenset({Step.EXPIRED})),
    Transition(ReturnAction.RECEIVE, TAKES_PARCELS, frozenset({Step.RECEIVED, Step.REVIEW})),
    Transition(
        ReturnAction.REFUND,
        frozenset({Step.RECEIVED, Step.APPROVED}),
        frozenset({Step.REFUNDED}),
    ),
    Transition(ReturnAction.ASK, TAKES_PARCELS - _REVIEW, _REVIEW),
    Transition(ReturnAction.PARK, _ANY - _REVIEW, _REVIEW),
    # Also the way back of a deleted ticket that exists again.
    Transition(ReturnAction.SET, _ANY, _ANY - {Step.GONE}),
    Transition(ReturnAction.DELETE, _ANY, frozenset({Step.GONE})),
)
