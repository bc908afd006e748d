"""What a label's document is made of, from when it may have been bought."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Labels that were bought earlier have none: their PDF is there."""
    op.add_column("labels", sa.Column("document", sa.JSON(), nullable=True))
