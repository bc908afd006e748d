"""Switches that are thrown while it runs; acts that are about something else than a refund."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the switches, and let an act be about them, or about an event."""
    op.create_table(
        "switches",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_switches")),
    )
    with op.batch_alter_table("acts") as acts:
        acts.alter_column("refund_id", existing_type=sa.Text(), nullable=True)
        acts.add_column(sa.Column("subject", sa.Text(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":  # which has copied the table, without its triggers
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER acts_no_{act.lower()} BEFORE {act} ON acts "
                "BEGIN SELECT RAISE(ABORT, 'acts is append-only'); END"
            )
