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
from typing import Any, Self

from dispatch_returns.refunds.adapter import KnownRefund, PaymentRef
from dispatch_returns.store.ledger import Refund

Tell = Callable[[str, int], None]
"""Told which book is read, and how many lines of it were."""


def tell_nobody(_book: str, _count: int) -> None:
    """Nobody watches."""


_TABLES = """
CREATE TABLE tickets (id TEXT PRIMARY KEY, amount TEXT, payment TEXT) WITHOUT ROWID;
CREATE TABLE rows (
    id TEXT PRIMARY KEY, ticket_id TEXT, adapter TEXT, state TEXT, reason TEXT, adopted INTEGER,
    major TEXT, minor INTEGER, currency TEXT, processor_id TEXT, payment_id TEXT) WITHOUT ROWID;
CREATE TABLE refunds (
    id TEXT PRIMARY KEY, refund_id TEXT, workspace_id TEXT, status TEXT, minor INTEGER,
    currency TEXT, payment_id TEXT, payment_also TEXT, kind TEXT, account TEXT) WITHOUT ROWID;
"""
_INDEXES = """
CREATE INDEX rows_ticket ON rows (ticket_id);
CREATE INDEX rows_processor ON rows (processor_id);
CREATE INDEX rows_payment ON rows (payment_id);
CREATE INDEX refunds_ours ON refunds (refund_id);
CREATE INDEX tickets_payment ON tickets (payment);
"""
_PAID = "('pending', 'requires_action', 'succeeded')"
_UNDER_WAY = "('requested', 'sending')"
_MOVES = "f.status NOT IN ('failed', 'canceled')"
_NO_ROWS = "NOT EXISTS (SELECT 1 FROM rows x WHERE x.processor_id = f.id)"

# A refund that no row has: made from our ledger, or on the payment of a ticket without a row.
_REFUNDS = f"""
SELECT f.id, f.payment_id, f.kind, f.account FROM refunds f
LEFT JOIN rows r ON r.id = f.refund_id
WHERE f.refund_id IS NOT NULL AND f.workspace_id = :workspace AND r.id IS NULL
UNION
SELECT f.id, f.payment_id, f.kind, f.account FROM refunds f
JOIN tickets t ON t.payment = f.payment_id OR t.payment = f.payment_also
WHERE f.refund_id IS NULL AND {_MOVES} AND {_NO_ROWS}
    AND NOT EXISTS (SELECT 1 FROM rows r WHERE r.ticket_id = t.id)
"""  # noqa: S608 - constants
# A row that says something else than its refund; one that has none; one that has two.
_ROWS = f"""
SELECT r.id FROM rows r LEFT JOIN refunds f ON f.id = r.processor_id
WHERE r.adapter = :adapter AND (
    r.state IN {_PAID} AND (
        f.id IS NULL OR f.status <> r.state
        OR NOT r.adopted AND (f.minor <> r.minor OR f.currency <> r.currency))
    OR r.state = 'unknown' AND r.reason IS NOT NULL)
UNION
SELECT r.id FROM refunds f JOIN rows r ON r.id = f.refund_id
WHERE {_MOVES} AND r.processor_id IS NOT f.id
UNION
SELECT r.id FROM refunds f JOIN rows r
    ON r.payment_id IN (f.payment_id, f.payment_also)
    AND r.minor = f.minor AND r.currency = f.currency
WHERE f.refund_id IS NULL AND {_MOVES} AND r.adapter = :adapter AND {_NO_ROWS}
"""  # noqa: S608 - constants
# A ticket that says refunded: without a row, with one that was not paid, of another amount.
_TICKETS = f"""
SELECT t.id FROM tickets t LEFT JOIN rows r ON r.ticket_id = t.id
WHERE r.id IS NULL
    OR r.state NOT IN {_PAID} AND r.state NOT IN {_UNDER_WAY}
    OR r.state IN {_PAID} AND NOT r.adopted AND t.amount IS NOT NULL AND t.amount <> r.major
ORDER BY t.id
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class TicketLine:
    """A ticket that says refunded. ``amount``: what it asks for, see `digits`."""

    id: str
    amount: str | None
    payment: str | None


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
        lines = {
            "tickets": ((it.id, it.amount, it.payment) for it in tickets),
            "rows": map(_row, rows),
            "refunds": map(_refund, refunds),
        }
        counts = {book: self._fill(book, found) for book, found in lines.items()}
        self._conn.executescript(_INDEXES)
        return counts

    def _fill(self, book: str, lines: Iterator[tuple[object, ...]]) -> int:
        count = 0

        def counted() -> Iterator[tuple[object, ...]]:
            nonlocal count
            for line in lines:
                yield line
                count += 1
                if count % 100 == 0:
                    self._tell(book, count)

        first = next(lines_of := counted(), None)
        if first is not None:
            places = ", ".join("?" * len(first))
            statement = f"INSERT OR REPLACE INTO {book} VALUES ({places})"  # noqa: S608 - a name of ours
            self._conn.execute("BEGIN")
            self._conn.execute(statement, first)
            self._conn.executemany(statement, lines_of)
            self._conn.execute("COMMIT")
        self._tell(book, count)
        return count

    def suspect_refunds(self, workspace: str) -> Iterator[tuple[str, PaymentRef]]:
        """Give refunds that may belong to a row, and have none."""
        for refund, payment, kind, account in self._ask(_REFUNDS, workspace=workspace):
            if payment is not None:
                yield refund, PaymentRef(kind, payment, account)

    def suspect_rows(self, adapter: str) -> Iterator[str]:
        """Give rows that may say something else than the processor."""
        return (found[0] for found in self._ask(_ROWS, adapter=adapter))

    def suspect_tickets(self) -> Iterator[str]:
        """Give tickets that may say something else than the ledger."""
        return (found[0] for found in self._ask(_TICKETS))

    def _ask(self, query: str, **values: str) -> Iterator[tuple[Any, ...]]:
        # A cursor each: they are read while others are.
        return iter(self._conn.cursor().execute(query, values))


def _row(row: Refund) -> tuple[object, ...]:
    amount = row.amount
    return (
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


def _refund(known: KnownRefund) -> tuple[object, ...]:
    ids = [ref.id for ref in known.payments]
    first = known.payments[0] if known.payments else None
    amount = known.result.amount
    return (
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
