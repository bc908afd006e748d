"""When a refund is retried or looked at again, and how long a lease lasts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dispatch_returns.refunds.transitions import State
from dispatch_returns.store.queue import LONGEST_RETRY, backoff

WAITING = frozenset({State.PENDING, State.REQUIRES_ACTION})
"""In these states the processor has accepted the refund, and has not finished it."""
_SOONEST = timedelta(seconds=1)
"""Keeps a processor that says "again, at once" from being called in a loop."""


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The delays of a refund: `lease` must be longer than three calls to the processor.

    ``patience``: how long a processor may be unreachable before a person is notified;
    ``settlement``: how long it may say that a payment is not settled; ``word``: how long its
    webhook may be the only outcome, and not come.
    ``follow_ups``: when a refund that succeeded is looked at again, each after the one before. The
    bank's tracing number arrives later, and a refund can still fail for 30 days
    (https://docs.stripe.com/refunds#failed-refunds).
    """

    lease: timedelta = timedelta(minutes=3)
    first_retry: timedelta = timedelta(seconds=5)
    longest_retry: timedelta = LONGEST_RETRY
    patience: timedelta = timedelta(hours=24)
    settlement: timedelta = timedelta(days=10)
    word: timedelta = timedelta(days=7)
    first_poll: timedelta = timedelta(minutes=5)
    longest_poll: timedelta = timedelta(hours=6)
    follow_ups: tuple[timedelta, ...] = (
        timedelta(hours=1),
        timedelta(days=1),
        timedelta(days=6),
        timedelta(days=23),
    )

    @property
    def followed_for(self) -> timedelta:
        """How long a refund that succeeded is looked at again."""
        return sum(self.follow_ups, timedelta())

    def retry_in(self, tries: int, retry_after: float | None, jitter: float) -> timedelta:
        """Return how long to wait after failure number `tries`, or what the processor asks for."""
        if retry_after is None:
            return backoff(tries, jitter, first=self.first_retry, longest=self.longest_retry)
        return min(max(timedelta(seconds=retry_after), _SOONEST), self.longest_retry)

    def settled_in(self, retry_after: float | None) -> timedelta:
        """Return how long to wait for a settlement: what the processor says, an hour at most.

        It is asked again then. The check of this machine's clock (`clock_check`) takes a refund
        that waits longer than the longest retry for one of a wrong clock.
        """
        said = self.longest_retry if retry_after is None else timedelta(seconds=retry_after)
        return min(max(said, self.first_poll), self.longest_retry)

    def wait_on(self, waited: timedelta, first: timedelta) -> timedelta:
        """Return how long to wait after having `waited`: as long again, but at least `first`."""
        return min(max(waited, first), self.longest_retry)

    def poll_in(self, polls: int, jitter: float) -> timedelta:
        """Return how long to wait after `polls` looks at a refund that is under way."""
        return backoff(polls, jitter, first=self.first_poll, longest=self.longest_poll)

    def next_poll(self, state: State, polls: int, jitter: float) -> timedelta | None:
        """Return when to look again at a refund found `polls` times in `state`; None for never."""
        if state in WAITING:
            return self.poll_in(polls, jitter)
        if state is State.SUCCEEDED and polls < len(self.follow_ups):
            return self.follow_ups[polls]
        return None
