"""The terms of a return, and the waits that follow from them: reminders, and expiry.

The terms are stored with the return when it is decided, so a newer policy does not change them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from dispatch_returns.returns.notifications.notification import NotificationKind
from dispatch_returns.returns.policy.verdict import Verdict
from dispatch_returns.returns.records import NewDecision
from dispatch_returns.returns.steps.plan import US, CustomerNotification, Move, Plan, Situation
from dispatch_returns.returns.steps.workflow import Policy
from dispatch_returns.returns.transitions import ReturnAction, Step


@dataclass(frozen=True, slots=True)
class ReturnTerms:
    """What the policy grants one return. Times are in days.

    ``returnless``: the customer keeps the items. ``refund_on_receipt``: an accepted receipt is
    refunded automatically.
    """

    policy: str
    returnless: bool
    refund_on_receipt: bool
    review_reminder_days: int | None
    reminder_days: int | None
    expiry_days: int
    label_days: int

    @classmethod
    def granted(cls, policy: Policy, verdict: Verdict | None = None) -> ReturnTerms:
        """Return what `policy` grants by its `verdict`, if it decided on this return."""
        return cls(
            policy=policy.id,
            returnless=verdict is not None and verdict.returnless,
            refund_on_receipt=policy.refund_on_receipt,
            review_reminder_days=policy.review_reminder_days,
            reminder_days=policy.reminder_days,
            expiry_days=policy.expiry_days,
            label_days=policy.label_days,
        )

    def stored(self) -> dict[str, Any]:
        """Return them as JSON values for the store."""
        return asdict(self)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> ReturnTerms:
        """Return the terms that `stored` wrote."""
        return cls(**stored)

    def review_reminder(self, since: datetime) -> datetime | None:
        """Return when agents are reminded that a decision is due."""
        return _after(since, self.review_reminder_days)

    def reminder(self, since: datetime) -> datetime | None:
        """Return when the customer is reminded to send the package."""
        return _after(since, self.reminder_days)

    def expiry(self, since: datetime) -> datetime:
        """Return when the return expires if its package has not arrived."""
        return since + timedelta(days=self.expiry_days)

    def send_by(self, now: datetime) -> datetime:
        """Return until when a label made now can be used."""
        return now + timedelta(days=self.label_days)


def _after(since: datetime, days: int | None) -> datetime | None:
    return None if days is None else since + timedelta(days=days)


def wait_for_a_decision(now: Situation, terms: ReturnTerms) -> Plan:
    """Wait for a person to decide; remind the agents once."""
    row = now.row
    at = terms.review_reminder(row.entered_at)
    if at is None or row.reminded_at is not None:
        return Plan()
    if now.now < at:
        return Plan(due_at=at)
    days = terms.review_reminder_days
    why = f"This return has waited for a decision for {days} {'day' if days == 1 else 'days'}."
    note = (
        f"{why} Set the status to approved or rejected, or to any other step that it is at."
        f" (Return {row.number})"
    )
    return Plan(
        decisions=(NewDecision("reminder", "people", US, why),),
        notes=(note,),
        values={"reminded_at": now.now},
    )


def wait_for_the_package(now: Situation, terms: ReturnTerms) -> Plan:
    """Wait for the package; remind the customer once; then the return expires."""
    row = now.row
    end = terms.expiry(row.entered_at)
    if now.now >= end:
        why = f"No package has arrived within {terms.expiry_days} days."
        note = f"{why} If it arrives later, record the receipt as usual. (Return {row.number})"
        return Plan(
            move=Move(Step.EXPIRED, ReturnAction.EXPIRE, reason=why),
            decisions=(NewDecision("expiry", "expired", US, why),),
            notes=(note,),
        )
    remind = terms.reminder(row.entered_at)
    if remind is None or row.reminded_at is not None or remind >= end:
        return Plan(due_at=end)
    if now.now < remind:
        return Plan(due_at=remind)
    return Plan(
        due_at=end,
        decisions=(NewDecision("reminder", "customer", US, "The package has not arrived yet."),),
        notifications=(
            CustomerNotification(NotificationKind.REMINDER, {"expires_on": end.date().isoformat()}),
        ),
        values={"reminded_at": now.now},
    )
