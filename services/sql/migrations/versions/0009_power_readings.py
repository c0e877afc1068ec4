"""What the power of hosts last read, and when."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "power_reading",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("reading", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["host"], ["host.name"], name="fk_power_reading_host"),
        sa.PrimaryKeyConstraint("host", name="pk_power_reading"),
    )


def downgrade() -> None:
    op.drop_table("power_reading")
