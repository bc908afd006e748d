"""Refunds that no row has made, and the ledger by its payment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table, and let a payment's rows be found."""
    op.create_table(
        "outside",
        sa.Column("adapter", sa.Text(), nullable=False),
        sa.Column("processor_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=True),
        sa.Column("payment_also", sa.Text(), nullable=True),
        sa.Column("refund_id", sa.Text(), nullable=True),
        sa.Column("ticket_id", sa.Text(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("adapter", "processor_id", name=op.f("pk_outside")),
    )
    op.create_index(op.f("ix_outside_payment_id"), "outside", ["payment_id"], unique=False)
    op.create_index(op.f("ix_outside_payment_also"), "outside", ["payment_also"], unique=False)
    op.add_column("ledger", sa.Column("payment_id", sa.Text(), nullable=True))
    postgres = op.get_bind().dialect.name == "postgresql"
    of_payment = "payment ->> 'id'" if postgres else "json_extract(payment, '$.id')"
    op.execute(f"UPDATE ledger SET payment_id = {of_payment}")  # noqa: S608 - one of two constants
    op.create_index(op.f("ix_ledger_payment_id"), "ledger", ["payment_id"], unique=False)
