"""Destinations that were lost while an instance started there; what was switched off while it was on."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempt", sa.Column("lost", sa.JSON(), nullable=True))
    op.add_column("evidence", sa.Column("cut", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("evidence", "cut")
    op.drop_column("attempt", "lost")
