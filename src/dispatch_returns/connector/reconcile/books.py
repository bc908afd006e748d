"""The three books side by side, in a file of their own: memory does not grow with them.

What is joined here is what was read while the books moved. So it only says where to look again:
see `reconcile.compare`.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from dispatch_returns.refunds.adapter import KnownRefund, PaymentRef
from dispatch_returns.refunds.ledger import Refund

T = TypeVar("T")
_Line = tuple[object, ...]
Tell = Callable[[str, int], None]
"""Told which book is read, and how many lines of it were."""


def tell_nobody(_book: str, _count: int) -> None:
    """Nobody watches."""


_TABLES = """
CREATE TABLE tickets (
    id TEXT, refund_id TEXT, amount TEXT, payment TEXT, PRIMARY KEY (id, refund_id)) WITHOUT ROWID;
CREATE TABLE rows (
    id TEXT PRIMARY KEY, ticket_id TEXT, adapter TEXT, state TEXT, reason TEXT, adopted INTEGER,
    major TEXT, minor INTEGER, currency TEXT, processor_id TEXT, payment_id TEXT) WITHOUT ROWID;
CREATE TABLE refunds (
    id TEXT PRIMARY KEY, refund_id TEXT, workspace_id TEXT, status TEXT, minor INTEGER,
    currency TEXT, payment_id TEXT, payment_also TEXT, kind TEXT, account TEXT) WITHOUT ROWID;
"""
_INDEXES = """
CREATE INDEX rows_processor ON rows (processor_id);
CREATE INDEX rows_payment ON rows (payment_id);
CREATE INDEX refunds_ours ON refunds (refund_id);
CREATE INDEX tickets_payment ON tickets (payment);
"""
_PAID = "('pending', 'requires_action', 'succeeded')"
_UNDER_WAY = "('requested', 'sending')"
_MOVES = "f.status NOT IN ('failed', 'canceled')"
_NO_ROWS = "NOT EXISTS (SELECT 1 FROM rows x WHERE x.processor_id = f.id)"

_OTHERS = f"f.refund_id IS NULL AND {_MOVES} AND {_NO_ROWS}"

# A refund that no row has: made from our ledger.
_LOST = """
SELECT f.id, f.payment_id, f.kind, f.account FROM refunds f
LEFT JOIN rows r ON r.id = f.refund_id
WHERE f.refund_id IS NOT NULL AND f.workspace_id = :workspace AND r.id IS NULL
"""
# One that somebody else made, on the payment of a row, or of a ticket that waits for its row.
# Beside an aggregate, SQLite gives the columns of the line that has the minimum.
_ELSEWHERE = f"""
SELECT f.id, f.payment_id, f.kind, f.account, t.id, min(t.refund_id) FROM refunds f
LEFT JOIN tickets t ON t.payment IN (f.payment_id, f.payment_also)
    AND NOT EXISTS (SELECT 1 FROM rows r WHERE r.id = t.refund_id)
WHERE {_OTHERS} AND (t.id IS NOT NULL OR EXISTS (
    SELECT 1 FROM rows r
    WHERE r.payment_id IN (f.payment_id, f.payment_also) AND r.adapter = :adapter))
GROUP BY f.id
"""  # noqa: S608 - constants
_PAYMENTS = f"SELECT f.payment_id, f.payment_also FROM refunds f WHERE {_OTHERS}"  # noqa: S608 - constants
# A row that says something else than its refund; one that has none; one that has two.
_ROWS = f"""
SELECT r.id FROM rows r LEFT JOIN refunds f ON f.id = r.processor_id
WHERE r.adapter = :adapter AND (
    r.state IN {_PAID} AND (
        f.id IS NULL OR f.status <> r.state
        OR f.minor <> r.minor OR f.currency <> r.currency)
    OR r.state NOT IN {_PAID} AND r.state NOT IN {_UNDER_WAY} AND {_MOVES}
    OR r.state = 'unknown' AND r.reason IS NOT NULL)
UNION
SELECT r.id FROM refunds f JOIN rows r ON r.id = f.refund_id
WHERE {_MOVES} AND r.processor_id IS NOT f.id
UNION
SELECT r.id FROM refunds f JOIN rows r
    ON r.payment_id IN (f.payment_id, f.payment_also)
    AND r.minor = f.minor AND r.currency = f.currency
WHERE {_OTHERS} AND r.adapter = :adapter
"""  # noqa: S608 - constants
# Rows that count on one refund of the processor's. The database allows none; this proves it.
_CLAIMED = """
SELECT r.id, r.ticket_id, r.processor_id FROM rows r
WHERE r.adapter = :adapter AND EXISTS (
    SELECT 1 FROM rows x WHERE x.processor_id = r.processor_id AND x.id <> r.id
    AND x.adapter = r.adapter)
ORDER BY r.processor_id, r.id
"""
# A ticket that says refunded, and one of whose parcels is without a row, or has one that was not
# paid, or of another amount.
_TICKETS = f"""
SELECT DISTINCT t.id FROM tickets t LEFT JOIN rows r ON r.id = t.refund_id
WHERE r.id IS NULL
    OR r.state NOT IN {_PAID} AND r.state NOT IN {_UNDER_WAY}
    OR r.state IN {_PAID} AND NOT r.adopted AND t.amount IS NOT NULL AND t.amount <> r.major
ORDER BY t.id
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class TicketLine:
    """A ticket that says refunded. ``amount``: what it asks for, see `digits`.

    ``refunds`` are the ledger's ids of what it should have been paid: one for each accepted
    parcel, oldest first. The amount is the newest one's.
    """

    id: str
    amount: str | None
    payment: str | None
    refunds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OthersRefund:
    """A refund of nobody's at the processor.

    ``ticket_id`` and ``waits``: a ticket of its payment that may wait for this row.
    """

    processor_id: str
    payment: PaymentRef
    ticket_id: str | None
    waits: str | None


def digits(amount: object) -> str | None:
    """Return an amount in the one way of writing it, None for what is none."""
    if amount is None:
        return None
    text = f"{amount:f}" if hasattr(amount, "as_tuple") else str(amount)
    return text.rstrip("0").rstrip(".") if "." in text else text


class Books:
    """A file on disk that is gone when the block ends."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._folder = tempfile.TemporaryDirectory(prefix="dispatch-returns-reconcile-")
        self._conn = sqlite3.connect(Path(self._folder.name) / "books.db", isolation_level=None)
        # It is thrown away: nothing needs to survive a crash.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE"):
            self._conn.execute(f"PRAGMA {pragma}")
        self._conn.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._conn.close()
        self._folder.cleanup()

    def read(
        self,
        tickets: Iterable[TicketLine],
        rows: Iterable[Refund],
        refunds: Iterable[KnownRefund],
    ) -> dict[str, int]:
        """Write the three books down, line by line; return how many lines each has."""
        counts = {
            "tickets": self._fill("tickets", tickets, _parcels),
            "rows": self._fill("rows", rows, _row),
            "refunds": self._fill("refunds", refunds, _refund),
        }
        self._conn.executescript(_INDEXES)
        return counts

    def add_rows(self, rows: Iterable[Refund]) -> None:
        """Write down rows that are not of the time that is compared, and have to do with it."""
        self._insert("rows", (line for row in rows for line in _row(row)))

    def _fill(
        self, book: str, entries: Iterable[T], lines_of: Callable[[T], Iterable[_Line]]
    ) -> int:
        count = 0

        def lines() -> Iterator[_Line]:
            nonlocal count
            for entry in entries:
                yield from lines_of(entry)
                count += 1
                if count % 100 == 0:
                    self._tell(book, count)

        self._insert(book, lines())
        self._tell(book, count)
        return count

    def _insert(self, book: str, lines: Iterator[_Line]) -> None:
        first = next(lines, None)
        if first is not None:
            places = ", ".join("?" * len(first))
            statement = f"INSERT OR REPLACE INTO {book} VALUES ({places})"  # noqa: S608 - a name of ours
            self._conn.execute("BEGIN")
            self._conn.execute(statement, first)
            self._conn.executemany(statement, lines)
            self._conn.execute("COMMIT")

    def payments_of_others(self) -> Iterator[str]:
        """Give the payments, by each of their names, of which somebody else refunded something."""
        return (name for found in self._ask(_PAYMENTS) for name in found if name is not None)

    def lost_refunds(self, workspace: str) -> Iterator[tuple[str, PaymentRef]]:
        """Give refunds that may have been made from a row, and have none."""
        for refund, payment, kind, account in self._ask(_LOST, workspace=workspace):
            if payment is not None:
                yield refund, PaymentRef(kind, payment, account)

    def others_refunds(self, adapter: str) -> Iterator[OthersRefund]:
        """Give refunds that somebody else may have made, of a payment that was a return's."""
        for refund, payment, kind, account, *waits in self._ask(_ELSEWHERE, adapter=adapter):
            yield OthersRefund(refund, PaymentRef(kind, payment, account), *waits)

    def claimed_twice(self, adapter: str) -> Iterator[tuple[str, str, str]]:
        """Give rows (id, ticket, the processor's id) that count on the same refund."""
        return ((row[0], row[1], row[2]) for row in self._ask(_CLAIMED, adapter=adapter))

    def suspect_rows(self, adapter: str) -> Iterator[str]:
        """Give rows that may say something else than the processor."""
        return (found[0] for found in self._ask(_ROWS, adapter=adapter))

    def suspect_tickets(self) -> Iterator[str]:
        """Give tickets that may say something else than the ledger."""
        return (found[0] for found in self._ask(_TICKETS))

    def _ask(self, query: str, **values: str) -> Iterator[tuple[Any, ...]]:
        # A cursor each: they are read while others are.
        return iter(self._conn.cursor().execute(query, values))


def _parcels(ticket: TicketLine) -> Iterator[_Line]:
    *earlier, newest = ticket.refunds
    for refund_id in earlier:
        yield ticket.id, refund_id, None, ticket.payment
    yield ticket.id, newest, ticket.amount, ticket.payment


def _row(row: Refund) -> Iterator[_Line]:
    amount = row.amount
    yield (
        row.id,
        row.ticket_id,
        row.adapter,
        str(row.state),
        row.reason,
        row.adopted,
        amount and digits(amount.major),
        amount and amount.minor,
        amount and amount.currency,
        row.processor_id,
        row.payment and row.payment["id"],
    )


def _refund(known: KnownRefund) -> Iterator[_Line]:
    ids = [ref.id for ref in known.payments]
    first = known.payments[0] if known.payments else None
    amount = known.result.amount
    yield (
        known.result.processor_id,
        known.refund_id,
        known.workspace_id,
        str(known.result.status),
        amount.minor,
        amount.currency,
        *([*ids, None, None][:2]),
        first and first.kind,
        first and first.account,
    )
