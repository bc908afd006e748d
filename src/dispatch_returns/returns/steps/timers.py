"""Where a return waits for somebody: the reminders, and the end of the wait."""

from __future__ import annotations

from datetime import datetime

from dispatch_returns.returns.notifications.notice import NoticeKind
from dispatch_returns.returns.records import NewDecision
from dispatch_returns.returns.steps.plan import US, Move, Plan, Situation, Told
from dispatch_returns.returns.steps.terms import Terms
from dispatch_returns.returns.transitions import ReturnAction, Step


def for_a_decision(now: Situation, terms: Terms) -> Plan:
    """Wait for a person; remind people once."""
    row = now.row
    at = terms.review_reminder(row.entered_at)
    if at is None or row.reminded_at is not None:
        return Plan()
    if now.now < at:
        return Plan(due_at=at)
    days = terms.review_reminder_days
    why = f"Nobody has decided for {days} {'day' if days == 1 else 'days'}."
    note = (
        f"{why} Set the status to approved or rejected, or wherever this return belongs."
        f" (Return {row.number})"
    )
    return Plan(
        decisions=(NewDecision("reminder", "people", US, why),),
        notes=(note,),
        values={"reminded_at": now.now},
    )


def for_the_parcel(now: Situation, terms: Terms) -> Plan:
    """Wait for the parcel; remind the customer once; then the return is over."""
    row = now.row
    over = terms.expiry(row.entered_at)
    if now.now >= over:
        why = f"No parcel has arrived within {terms.expiry_days} days."
        return Plan(
            move=Move(Step.EXPIRED, ReturnAction.EXPIRE, reason=why),
            decisions=(NewDecision("expiry", "expired", US, why),),
            notes=(
                f"{why} If it arrives after all, record its receipt as ever. (Return {row.number})",
            ),
        )
    remind = terms.reminder(row.entered_at)
    if remind is None or row.reminded_at is not None or remind >= over:
        return Plan(due_at=over)
    if now.now < remind:
        return Plan(due_at=remind)
    return Plan(
        due_at=over,
        decisions=(NewDecision("reminder", "customer", US, "The parcel is waited for."),),
        told=(Told(NoticeKind.REMINDER, {"expires_on": _day(over)}),),
        values={"reminded_at": now.now},
    )


def _day(moment: datetime) -> str:
    return moment.date().isoformat()
