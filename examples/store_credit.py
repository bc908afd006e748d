"""Another processor in one class: refunds as store credit, kept in the shop's own database.

    dispatch-returns sandbox --write-env shop.env       # in another terminal
    dispatch-returns setup --env-file shop.env
    set -a; . ./shop.env; set +a                        # in each terminal
    export DISPATCH_RETURNS_DATABASE_URL=sqlite:///store-credit.db   # one processor, one database
    python store_credit.py $(python make_return.py 149.00)

Here it is handed to the connector; docs/adapters.md shows the entry point that makes it one of
the installed adapters. tests/contract/test_store_credit.py holds it to the same contract suite
as our own.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field

from dispatch_returns import Connector, Money, Settings
from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.money import stripe_rule
from dispatch_returns.plugins import PluginOptions
from dispatch_returns.refunds import (
    Capabilities,
    Payment,
    PaymentRef,
    RefundRequest,
    RefundResult,
    RefundStatus,
)

_PAYMENTS = (
    "CREATE TABLE IF NOT EXISTS payments (id TEXT PRIMARY KEY, minor INTEGER, currency TEXT)"
)
_CREDITS = """
CREATE TABLE IF NOT EXISTS credits (
    id INTEGER PRIMARY KEY, payment_id TEXT, minor INTEGER, refund_id TEXT,
    idempotency_key TEXT UNIQUE)
"""


class StoreCreditOptions(PluginOptions):
    """The settings of `StoreCredit`."""

    file: Path = Field(description="the shop's database")  # STORE_CREDIT_FILE


class StoreCredit:
    """Gives store credit instead of money. The shop's database is the processor."""

    name = "store_credit"
    options_model = StoreCreditOptions
    # The key is a column with a unique index: remembered for as long as the credit itself.
    capabilities = Capabilities(key_lifetime=timedelta(days=36500), lookup=True)

    def __init__(self, file: str | Path) -> None:
        self._file = file
        with self._transaction() as conn:
            conn.execute(_PAYMENTS)
            conn.execute(_CREDITS)

    @classmethod
    def from_options(cls, options: StoreCreditOptions) -> Self:
        """Build it from its options."""
        return cls(options.file)

    def record_payment(self, payment_id: str, paid: Money) -> None:
        """Note what a customer paid."""
        with self._transaction() as conn:
            values = (payment_id, paid.minor, paid.currency)
            conn.execute("INSERT OR IGNORE INTO payments VALUES (?, ?, ?)", values)

    def payment(self, ref: PaymentRef) -> Payment:
        """Return what was paid, and what was given back of it."""
        with self._transaction() as conn:
            return _payment(conn, ref)

    def refund(self, request: RefundRequest) -> RefundResult:
        """Write the credit. A repeated key finds the first one's."""
        with self._transaction() as conn:
            known = _credit(conn, request, "idempotency_key = ?", request.idempotency_key)
            if known is None:
                return _give(conn, request)
            if known.amount != request.amount:
                raise AdapterError(ErrorKind.KEY_CONFLICT, "This key gave another amount.")
            return known

    def find(self, request: RefundRequest, processor_id: str | None = None) -> RefundResult | None:
        """Return this refund's own credit, if it is there."""
        with self._transaction() as conn:
            return _credit(conn, request, "refund_id = ?", request.refund_id)

    def close(self) -> None:
        """Nothing is kept open."""

    @contextlib.contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._file, isolation_level=None)) as conn:
            conn.execute("BEGIN IMMEDIATE")
            yield conn
            conn.execute("COMMIT")


def _payment(conn: sqlite3.Connection, ref: PaymentRef) -> Payment:
    query = "SELECT minor, currency FROM payments WHERE id = ?"
    row = conn.execute(query, (ref.id,)).fetchone()
    if row is None:
        raise AdapterError(ErrorKind.NOT_FOUND, "The shop has no such payment.")
    charged, currency = row
    given = "SELECT coalesce(sum(minor), 0) FROM credits WHERE payment_id = ?"
    (refunded,) = conn.execute(given, (ref.id,)).fetchone()
    rule = stripe_rule(currency)
    return Payment(
        currency=currency,
        rule=rule,
        charged=Money(charged, currency, rule.decimals),
        refunded=Money(refunded, currency, rule.decimals),
    )


def _left(payment: Payment) -> int:
    assert payment.remaining is not None
    return payment.remaining.minor


def _give(conn: sqlite3.Connection, request: RefundRequest) -> RefundResult:
    left = _left(_payment(conn, request.payment))
    if left == 0:
        raise AdapterError(ErrorKind.ALREADY_REFUNDED, "Nothing is left on this payment.")
    if request.amount.minor > left:
        raise AdapterError(ErrorKind.EXCEEDS_REMAINING, "More than is left on this payment.")
    cursor = conn.execute(
        "INSERT INTO credits (payment_id, minor, refund_id, idempotency_key) VALUES (?, ?, ?, ?)",
        (request.payment.id, request.amount.minor, request.refund_id, request.idempotency_key),
    )
    return RefundResult(f"credit_{cursor.lastrowid}", RefundStatus.SUCCEEDED, request.amount)


def _credit(
    conn: sqlite3.Connection, request: RefundRequest, where: str, value: str
) -> RefundResult | None:
    query = f"SELECT id, minor FROM credits WHERE {where} ORDER BY id DESC"
    row = conn.execute(query, (value,)).fetchone()
    if row is None:
        return None
    amount = Money(row[1], request.amount.currency, request.amount.decimals)
    return RefundResult(f"credit_{row[0]}", RefundStatus.SUCCEEDED, amount)


def main(ticket_id: str) -> None:
    adapter = StoreCredit("store-credit.db")
    with Connector(Settings.from_env(), adapters=adapter) as connector:
        # A shop knows its payments; the sandbox's are known from the ticket alone.
        fields = connector.client.tickets.get(ticket_id).custom_fields
        paid = Money.from_decimal(fields["original_order_total"], "USD")
        adapter.record_payment(fields["payment_intent"], paid)
        refund = connector.refund(ticket_id)
    print(f"{refund.amount}: {refund.state} ({refund.detail or refund.processor_id})")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
