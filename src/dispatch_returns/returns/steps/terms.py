"""What the policy grants one return, kept with it: a newer policy does not change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from dispatch_returns.returns.policy.verdict import Verdict
from dispatch_returns.returns.steps.protocols import Policy


@dataclass(frozen=True, slots=True)
class Terms:
    """Times in days, and whether anything must be sent, and whether its receipt pays."""

    policy: str
    returnless: bool
    refund_on_receipt: bool
    review_reminder_days: int | None
    reminder_days: int | None
    expiry_days: int
    label_days: int

    @classmethod
    def granted(cls, policy: Policy, verdict: Verdict | None = None) -> Terms:
        """Return what `policy` grants, and `verdict` where it was asked."""
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
        """Return them as the store keeps them."""
        return asdict(self)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Terms:
        """Return the terms that `stored` has kept."""
        return cls(**stored)

    def review_reminder(self, since: datetime) -> datetime | None:
        """Return when people are reminded of what they should decide."""
        return _after(since, self.review_reminder_days)

    def reminder(self, since: datetime) -> datetime | None:
        """Return when the customer is reminded that the parcel is waited for."""
        return _after(since, self.reminder_days)

    def expiry(self, since: datetime) -> datetime:
        """Return when a return is over whose parcel has not come."""
        return since + timedelta(days=self.expiry_days)

    def send_by(self, now: datetime) -> datetime:
        """Return until when a label that is made now can be used."""
        return now + timedelta(days=self.label_days)


def _after(since: datetime, days: int | None) -> datetime | None:
    return None if days is None else since + timedelta(days=days)
