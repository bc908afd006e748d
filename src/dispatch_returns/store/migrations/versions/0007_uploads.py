"""An attachment that was begun, so that it can be deleted when it was never confirmed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("labels", sa.Column("upload_id", sa.Text(), nullable=True))
