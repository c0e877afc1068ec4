"""Who wanted to be a host and was refused; who a host was before another board took its name."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("host", sa.Column("refused", sa.JSON(), nullable=True))
    op.add_column("host", sa.Column("replaced", sa.JSON(), nullable=True))


def downgrade() -> None:
    for column in ("replaced", "refused"):
        op.drop_column("host", column)
