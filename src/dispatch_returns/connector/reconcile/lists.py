"""The tickets, the ledger's rows and the processor's refunds, joined in a temporary file.

So memory does not grow with them. They change while they are read, so a join only shows where to
look again: see `reconcile.compare`.
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
Progress = Callable[[str, int], None]
"""Called with the name of the list that is being read, and how many entries were read."""

_TABLES = """
CREATE TABLE tickets (
    id TEXT, refund_id TEXT, amount TEXT, payment TEXT, PRIMARY KEY (id, refund_id)) WITHOUT ROWID;
CREATE TABLE rows (
    id TEXT PRIMARY KEY, ticket_id TEXT, adapter TEXT, state TEXT, reason TEXT, adopted INTEGER,
    major TEXT, minor INTEGER, currency TEXT, processor_id TEXT, payment_id TEXT) WITHOUT ROWID;
CREATE TABLE refunds (
    adapter TEXT, id TEXT, refund_id TEXT, workspace_id TEXT, status TEXT, minor INTEGER,
    currency TEXT, payment_id TEXT, payment_also TEXT, kind TEXT, account TEXT,
    PRIMARY KEY (adapter, id)) WITHOUT ROWID;
"""
_INDEXES = """
CREATE INDEX rows_processor ON rows (processor_id);
CREATE INDEX rows_payment ON rows (payment_id);
CREATE INDEX refunds_ours ON refunds (refund_id);
CREATE INDEX tickets_payment ON tickets (payment);
"""
_PAID = "('pending', 'requires_action', 'succeeded', 'voided')"
_IN_PROGRESS = "('requested', 'sending')"
_MOVES = "f.status NOT IN ('failed', 'canceled')"
_NO_ROWS = "NOT EXISTS (SELECT 1 FROM rows x WHERE x.processor_id = f.id AND x.adapter = f.adapter)"

_OTHERS = f"f.refund_id IS NULL AND {_MOVES} AND {_NO_ROWS}"

# Refunds that were made from our ledger, and that no row has.
_LOST = """
SELECT f.id, f.kind, f.payment_id, f.account, f.adapter FROM refunds f
LEFT JOIN rows r ON r.id = f.refund_id
WHERE f.adapter = :adapter
    AND f.refund_id IS NOT NULL AND f.workspace_id = :workspace AND r.id IS NULL
"""
# External refunds of the payment of a row, or of a ticket that waits for its row.
# Next to an aggregate, SQLite returns the columns of the row that has the minimum.
_ELSEWHERE = f"""
SELECT f.id, f.kind, f.payment_id, f.account, f.adapter, t.id, min(t.refund_id)
FROM refunds f
LEFT JOIN tickets t ON t.payment IN (f.payment_id, f.payment_also)
    AND NOT EXISTS (SELECT 1 FROM rows r WHERE r.id = t.refund_id)
WHERE f.adapter = :adapter AND {_OTHERS} AND (t.id IS NOT NULL OR EXISTS (
    SELECT 1 FROM rows r
    WHERE r.payment_id IN (f.payment_id, f.payment_also) AND r.adapter = f.adapter))
GROUP BY f.id
"""  # noqa: S608 - constants
_PAYMENTS = f"""
SELECT f.payment_id, f.payment_also FROM refunds f WHERE f.adapter = :adapter AND {_OTHERS}
"""  # noqa: S608 - constants
# Rows that differ from their refund, that have none, or that have two.
_ROWS = f"""
SELECT r.id FROM rows r LEFT JOIN refunds f ON f.id = r.processor_id AND f.adapter = r.adapter
WHERE r.adapter = :adapter AND (
    r.state IN {_PAID} AND (
        f.id IS NULL OR f.status <> r.state
        OR f.minor <> r.minor OR f.currency <> r.currency)
    OR r.state NOT IN {_PAID} AND r.state NOT IN {_IN_PROGRESS} AND {_MOVES}
    OR r.state = 'unknown' AND r.reason IS NOT NULL)
UNION
SELECT r.id FROM refunds f JOIN rows r ON r.id = f.refund_id AND r.adapter = f.adapter
WHERE f.adapter = :adapter AND {_MOVES} AND r.processor_id IS NOT f.id
UNION
SELECT r.id FROM refunds f JOIN rows r
    ON r.payment_id IN (f.payment_id, f.payment_also)
    AND r.minor = f.minor AND r.currency = f.currency AND r.adapter = f.adapter
WHERE f.adapter = :adapter AND {_OTHERS}
"""  # noqa: S608 - constants
# Rows that share one refund at the processor. The database does not allow it; this proves it.
_CLAIMED = """
SELECT r.id, r.ticket_id, r.processor_id FROM rows r
WHERE r.adapter = :adapter AND EXISTS (
    SELECT 1 FROM rows x WHERE x.processor_id = r.processor_id AND x.id <> r.id
    AND x.adapter = r.adapter)
ORDER BY r.processor_id, r.id
"""
# Tickets with the status refunded, one of whose parcels has no row, was not paid, or was paid
# another amount.
_TICKETS = f"""
SELECT DISTINCT t.id FROM tickets t LEFT JOIN rows r ON r.id = t.refund_id
WHERE r.id IS NULL
    OR r.state NOT IN {_PAID} AND r.state NOT IN {_IN_PROGRESS}
    OR r.state IN {_PAID} AND NOT r.adopted AND t.amount IS NOT NULL AND t.amount <> r.major
ORDER BY t.id
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class TicketLine:
    """A ticket with the status refunded. ``amount`` is the ticket's, written by `digits`.

    ``refunds`` are the ledger's ids for its accepted parcels, oldest first. The amount is for
    the newest one.
    """

    id: str
    amount: str | None
    payment: str | None
    refunds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OthersRefund:
    """An external refund at the processor.

    ``ticket_id`` and ``waits``: a ticket of its payment, and the row that it may wait for.
    """

    processor_id: str
    payment: PaymentRef
    ticket_id: str | None
    waits: str | None


def digits(amount: object) -> str | None:
    """Return an amount in its canonical form (major units, no trailing zeros), None for None."""
    if amount is None:
        return None
    text = f"{amount:f}" if hasattr(amount, "as_tuple") else str(amount)
    return text.rstrip("0").rstrip(".") if "." in text else text


class Books:
    """A file on disk that is deleted when the block ends."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._folder = tempfile.TemporaryDirectory(prefix="dispatch-returns-reconcile-")
        self._conn = sqlite3.connect(Path(self._folder.name) / "lists.db", isolation_level=None)
        # It is temporary: nothing has to survive a crash.
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
        refunds: Iterable[tuple[str, KnownRefund]],
    ) -> dict[str, int]:
        """Store the three lists; return how many entries each has.

        Each of `refunds` comes with its adapter's configured name.
        """

        def parcels(ticket: TicketLine) -> Iterator[_Line]:
            *earlier, newest = ticket.refunds
            for refund_id in earlier:
                yield ticket.id, refund_id, None, ticket.payment
            yield ticket.id, newest, ticket.amount, ticket.payment

        def refund(listed: tuple[str, KnownRefund]) -> Iterator[_Line]:
            adapter, known = listed
            ids = [ref.id for ref in known.payments]
            first = known.payments[0] if known.payments else None
            amount = known.result.amount
            yield (
                adapter,
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

        counts = {
            "tickets": self._fill("tickets", tickets, parcels),
            "rows": self._fill("rows", rows, _row),
            "refunds": self._fill("refunds", refunds, refund),
        }
        self._conn.executescript(_INDEXES)
        return counts

    def add_rows(self, rows: Iterable[Refund]) -> None:
        """Store rows from outside the compared period that its refunds belong to."""
        self._insert("rows", (line for row in rows for line in _row(row)))

    def _fill(
        self, table: str, entries: Iterable[T], lines_of: Callable[[T], Iterable[_Line]]
    ) -> int:
        count = 0

        def lines() -> Iterator[_Line]:
            nonlocal count
            for entry in entries:
                yield from lines_of(entry)
                count += 1
                if count % 100 == 0:
                    self._progress(table, count)

        self._insert(table, lines())
        self._progress(table, count)
        return count

    def _insert(self, table: str, lines: Iterator[_Line]) -> None:
        first = next(lines, None)
        if first is not None:
            places = ", ".join("?" * len(first))
            statement = f"INSERT OR REPLACE INTO {table} VALUES ({places})"  # noqa: S608 - our own name
            self._conn.execute("BEGIN")
            self._conn.execute(statement, first)
            self._conn.executemany(statement, lines)
            self._conn.execute("COMMIT")

    def payments_of_others(self, adapter: str) -> Iterator[str]:
        """Yield each id of an adapter's payments that have external refunds."""
        found = self._select(_PAYMENTS, adapter=adapter)
        return (name for names in found for name in names if name is not None)

    def lost_refunds(self, adapter: str, workspace: str) -> Iterator[tuple[str, PaymentRef]]:
        """Yield refunds that may have been made from a row that is missing."""
        found = self._select(_LOST, adapter=adapter, workspace=workspace)
        for refund, kind, payment, account, name in found:
            if payment is not None:
                yield refund, PaymentRef(kind, payment, account, adapter=name)

    def others_refunds(self, adapter: str) -> Iterator[OthersRefund]:
        """Yield refunds that may be external, of the payment of a return."""
        found = self._select(_ELSEWHERE, adapter=adapter)
        for refund, kind, payment, account, name, *waits in found:
            yield OthersRefund(refund, PaymentRef(kind, payment, account, adapter=name), *waits)

    def claimed_twice(self, adapter: str) -> Iterator[tuple[str, str, str]]:
        """Yield rows (id, ticket, the processor's id) that share one refund."""
        return ((row[0], row[1], row[2]) for row in self._select(_CLAIMED, adapter=adapter))

    def suspect_rows(self, adapter: str) -> Iterator[str]:
        """Yield rows that may differ from the processor."""
        return (found[0] for found in self._select(_ROWS, adapter=adapter))

    def suspect_tickets(self) -> Iterator[str]:
        """Yield tickets that may differ from the ledger."""
        return (found[0] for found in self._select(_TICKETS))

    def _select(self, query: str, **values: str) -> Iterator[tuple[Any, ...]]:
        # With a cursor of its own, because several are read at once.
        return iter(self._conn.cursor().execute(query, values))


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
