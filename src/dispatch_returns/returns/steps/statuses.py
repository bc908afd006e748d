"""The steps of a return, declared once, and the names of their statuses in a workspace.

Settings and commands import this too, so it imports next to nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from dispatch_returns.errors import ConfigurationError


class Step(enum.StrEnum):
    """Where a return is: the guide's six steps, the steps outside them, and the rest."""

    REQUESTED = "return_requested"
    CHECK = "eligibility_check"
    APPROVED = "approved"
    LABEL_SENT = "label_sent"
    RECEIVED = "item_received"
    REFUNDED = "refunded"
    REVIEW = "needs_review"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    """The customer no longer wants to return it."""
    ELSEWHERE = "elsewhere"
    """In a status that the workflow does not know: it counts as a person's decision."""
    GONE = "gone"
    """The ticket was deleted."""


STEPS: tuple[Step, ...] = (
    Step.REQUESTED,
    Step.CHECK,
    Step.APPROVED,
    Step.LABEL_SENT,
    Step.RECEIVED,
    Step.REFUNDED,
    Step.REVIEW,
    Step.REJECTED,
    Step.EXPIRED,
    Step.CANCELLED,
)
"""The steps that have a status, in the order in which they are created in a workspace."""


@dataclass(frozen=True, slots=True)
class StatusNames:
    """Each step's status. `renamed` holds those that differ from their step's name."""

    renamed: Mapping[str, str] = field(default_factory=dict[str, str])

    def check(self) -> None:
        """Raise `ConfigurationError` where two steps have one status."""
        names = [self.name(step) for step in STEPS]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ConfigurationError(
                f"two steps have the same status, {', '.join(sorted(twice))}: give each its own"
            )

    def name(self, step: Step) -> str:
        """Return the status that stands for `step`."""
        return self.renamed.get(step, str(step))

    def step(self, status: str) -> Step:
        """Return the step that `status` stands for, or `Step.ELSEWHERE` if it stands for none."""
        return next((step for step in STEPS if self.name(step) == status), Step.ELSEWHERE)
