"""A million tickets, rows and refunds are compared in the memory that a thousand need.

Measured in a process of its own; generated books stand in for the API, the ledger and Stripe.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")

MANY = 1_000_000
FEW = 1_000
ALLOWED = 40 * 1024 * 1024
"""Bytes by which a thousand times as many lines may raise the peak: the database's own cache."""

_SCRIPT = """
import json, re, sys, time
from itertools import chain
from pathlib import Path
from datetime import UTC, datetime
from dispatch_returns.money import Money
from dispatch_returns.connector.reconcile.lists import Books, TicketLine
from dispatch_returns.refunds.adapter import KnownRefund, PaymentRef, RefundResult, RefundStatus
from dispatch_returns.refunds.ledger import Refund, State

count = int(sys.argv[1])
NOW = datetime(2026, 1, 1, tzinfo=UTC)
AMOUNT = Money(14900, "USD")
EVERY = count // 10  # one difference of each kind for so many lines

def refund_id(number):
    return f"rfd_{number * 7919 % count:032x}"

def row(number):
    return Refund(
        id=refund_id(number), workspace_id="ws", ticket_id=f"tkt_{number:020}",
        ordinal=1, adapter="stripe", state=State.SUCCEEDED, reason=None, detail=None,
        generation=1, amount=AMOUNT, payment={"kind": "payment_intent", "id": f"pi_{number}"},
        order_id=None, instructions_email=None, details=None, uncertain=False, first_sent_at=NOW,
        sent_day=None, approved_by=None, approved_minor=None, approved_detail=None, counted=None,
        processor_id=f"re_{number}", adopted=False, arn=None, failure_reason=None,
        requested_at=None, ticket_status=None, entered_at=NOW, failing_since=None,
        created_at=NOW, updated_at=NOW, tries=0, claims=1, due_at=None)

def refund(number):
    status = RefundStatus.FAILED if number % EVERY == 1 else RefundStatus.SUCCEEDED
    return KnownRefund(
        RefundResult(f"re_{number}", status, AMOUNT),
        (PaymentRef("payment_intent", f"pi_{number}"), PaymentRef("charge", f"ch_{number}")), NOW,
        refund_id=refund_id(number), workspace_id="ws")

def by_hand(number):
    return KnownRefund(
        RefundResult(f"re_by_hand_{number}", RefundStatus.SUCCEEDED, Money(2000, "USD")),
        (PaymentRef("payment_intent", f"pi_{number}"), PaymentRef("charge", f"ch_{number}")), NOW)

began = time.monotonic()
with Books(lambda book, lines: None) as books:
    lines = books.read(
        (TicketLine(f"tkt_{number:020}", "149", f"pi_{number}", (refund_id(number),))
         for number in range(count)),
        (row(number) for number in range(count) if number % EVERY != 2),
        (("stripe", it) for it in chain(
            (refund(number) for number in range(count) if number % EVERY != 3),
            (by_hand(number) for number in range(0, count, EVERY)))))
    others = books.payments_of_others("stripe")
    books.add_rows(row(int(name[3:])) for name in others if name[:3] == "pi_")
    found = [sum(1 for _ in suspects) for suspects in (
        books.lost_refunds("stripe", "ws"), books.others_refunds("stripe"),
        books.suspect_rows("stripe"), books.suspect_tickets())]
# Not getrusage, whose peak is that of the process which started this one.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps({"lines": lines, "found": found, "peak": peak,
                  "seconds": round(time.monotonic() - began, 1)}))
"""


def measured(count: int) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(count)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def in_memory_of_a_few(many: int) -> None:
    small, large = measured(FEW), measured(many)
    print(small, large)
    assert large["lines"] == {"tickets": many, "rows": many - 10, "refunds": many}
    # Without a row: 10 refunds and 10 tickets. Made by hand: 10 refunds. A row with a failed
    # refund, or without one: 20.
    assert small["found"] == large["found"] == [10, 10, 20, 10]
    assert int(str(large["peak"])) - int(str(small["peak"])) < ALLOWED


def test_twenty_thousand_lines_are_compared_in_the_memory_of_a_thousand() -> None:
    in_memory_of_a_few(20_000)


@pytest.mark.long
@pytest.mark.timeout(1000)
def test_a_million_lines_are_compared_in_the_memory_of_a_thousand() -> None:
    in_memory_of_a_few(MANY)
