"""Evacuations say by what evidence they began and whether they yielded; hosts whose power is being cut."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("evacuation", sa.Column("evidence", sa.JSON(), nullable=True))
    op.add_column("evacuation", sa.Column("waits", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("evacuation", sa.Column("yielded_to", sa.String(), nullable=True))
    op.create_table(
        "cut",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("incarnation", sa.String(), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("was_up", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["host"], ["host.name"], name="fk_cut_host"),
        sa.PrimaryKeyConstraint("host", "by", name="pk_cut"),
    )


def downgrade() -> None:
    op.drop_table("cut")
    for column in ("yielded_to", "waits", "evidence"):
        op.drop_column("evacuation", column)
