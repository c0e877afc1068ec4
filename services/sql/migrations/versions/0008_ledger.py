"""The ledger knows which one it is, how far it has come, and whose it is."""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table(
        "ledger",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ledger", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("owned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replaces", sa.JSON(), nullable=False),
        sa.Column("unasked", sa.JSON(), nullable=False),
        sa.Column("doubt", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
    )
    op.bulk_insert(table, [{"id": 1, "ledger": str(uuid4()), "position": 0, "replaces": [], "unasked": []}])


def downgrade() -> None:
    op.drop_table("ledger")
