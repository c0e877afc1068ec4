"""By which it is known that a host has lost what it remembered of its guests; who looked on at a cut, and what they
have shown."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("host", sa.Column("memory", sa.String(), nullable=True))
    op.add_column("fence", sa.Column("alarm", sa.String(), nullable=True))
    op.add_column("cut", sa.Column("seen", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("cut", "seen")
    op.drop_column("fence", "alarm")
    op.drop_column("host", "memory")
