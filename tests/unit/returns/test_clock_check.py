"""What a wrong clock has put off is brought forward, and nothing that waits as it should."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dispatch_returns.clock import never_wrong
from dispatch_returns.connector.clock_check import ClockCheck
from dispatch_returns.refunds.adapter import RefundStatus
from dispatch_returns.refunds.retry_schedule import RetrySchedule
from tests.support.workshop import Workshop


@pytest.mark.parametrize(
    ("status", "longest"),
    [
        (RefundStatus.PENDING, timedelta(hours=6)),
        (RefundStatus.SUCCEEDED, timedelta(days=23)),
    ],
)
def test_a_refund_waits_no_longer_than_its_own_next_look(
    shop: Workshop, status: RefundStatus, longest: timedelta
) -> None:
    shop.fake.first_status = status
    shop.run(shop.ticket())  # its next look is within the hour
    hours = longest / timedelta(hours=1)
    shop.clock.turn(hours=-(hours - 1))
    assert late(shop) == []
    shop.clock.turn(hours=-2)
    assert late(shop) == [None]


def late(shop: Workshop) -> list[timedelta | None]:
    """What the check of a worker that has just started finds."""
    check = ClockCheck(shop.store, shop.client, shop.clock, never_wrong, schedule=RetrySchedule())
    return check.claim(1)
