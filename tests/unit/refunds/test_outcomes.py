"""The table of what follows from an adapter's answer."""

from __future__ import annotations

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds import outcomes
from dispatch_returns.refunds.guard import Hold, Reason
from dispatch_returns.refunds.outcomes import NextStep

A, U, R, L = NextStep.AGAIN, NextStep.UNKNOWN, NextStep.REFUSED, NextStep.LOOK

# kind: (what follows if nothing was uncertain, what follows if an earlier call may have gone
# through, why a person must look if it comes to that)
TABLE = {
    ErrorKind.NOT_SENT: (A, U, None),
    ErrorKind.RATE_LIMITED: (A, U, None),
    ErrorKind.AUTH: (A, U, None),
    ErrorKind.NOT_SETTLED: (NextStep.LATER, U, None),
    ErrorKind.UNKNOWN_OUTCOME: (U, U, None),
    ErrorKind.IN_PROGRESS: (U, U, None),
    ErrorKind.ALREADY_REFUNDED: (L, L, Reason.ALREADY_REFUNDED),
    ErrorKind.KEY_CONFLICT: (L, L, None),
    ErrorKind.EXCEEDS_REMAINING: (R, L, Reason.EXCEEDS_REMAINING),
    ErrorKind.DISPUTED: (R, L, Reason.DISPUTED),
    ErrorKind.INSUFFICIENT_BALANCE: (R, L, Reason.INSUFFICIENT_BALANCE),
    ErrorKind.NOT_REFUNDABLE: (R, L, Reason.NOT_REFUNDABLE),
    ErrorKind.NOT_FOUND: (R, L, Reason.NOT_FOUND),
    ErrorKind.CONFIG: (R, L, Reason.REJECTED),
    ErrorKind.UNREADABLE_REFUND: (U, U, Reason.REFUND_UNREADABLE),
}


def test_the_table_knows_every_kind() -> None:
    assert set(TABLE) == set(ErrorKind)


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_what_follows_from_each_kind(kind: ErrorKind) -> None:
    certain, uncertain, reason = TABLE[kind]
    assert outcomes.verdict(kind, uncertain=False) is certain
    assert outcomes.verdict(kind, uncertain=True) is uncertain
    expected = reason and Hold(reason, "said so")
    assert outcomes.hold_for(AdapterError(kind, "said so")) == expected


@pytest.mark.parametrize("uncertain", [False, True])
@pytest.mark.parametrize("kind", list(ErrorKind))
def test_silence_never_refuses_and_nothing_uncertain_is_refused_unseen(
    kind: ErrorKind, uncertain: bool
) -> None:
    verdict = outcomes.verdict(kind, uncertain=uncertain)
    if uncertain or kind in {ErrorKind.UNKNOWN_OUTCOME, ErrorKind.IN_PROGRESS}:
        assert verdict in {NextStep.UNKNOWN, NextStep.LOOK}
    if verdict is NextStep.REFUSED:
        assert outcomes.hold_for(AdapterError(kind, "")) is not None
