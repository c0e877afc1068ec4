"""Guests that were seen where no residence is, and the places that a guest has left by a live migration."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sighting",
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("incarnation", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name="fk_sighting_instance_id"),
        sa.ForeignKeyConstraint(["host"], ["host.name"], name="fk_sighting_host"),
        sa.PrimaryKeyConstraint("instance_id", "host", name="pk_sighting"),
    )
    op.create_index("ix_sighting_host", "sighting", ["host"])
    op.add_column("residence", sa.Column("moved_from", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("residence", "moved_from")
    op.drop_table("sighting")
