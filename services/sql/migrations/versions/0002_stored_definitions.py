"""Stored definitions of guests, what hosts report of themselves, and ports whose address somebody else gave."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instance", sa.Column("definition", sa.Text(), nullable=True))
    op.add_column("instance", sa.Column("guest_signal", sa.String(), nullable=True))
    op.add_column("host", sa.Column("capabilities", sa.JSON(), nullable=True))
    op.add_column("host", sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True))
    _let_addresses_be_unknown(nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM port_binding WHERE port_id IN (SELECT id FROM port WHERE ip IS NULL)")
    op.execute("DELETE FROM port WHERE ip IS NULL")
    _let_addresses_be_unknown(nullable=False)
    for table, column in (
        ("host", "reported_at"),
        ("host", "capabilities"),
        ("instance", "guest_signal"),
        ("instance", "definition"),
    ):
        op.drop_column(table, column)


def _let_addresses_be_unknown(*, nullable: bool) -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column("port", "ip", existing_type=sa.String(), nullable=nullable)
        return
    # SQLite makes the table again, and dropping the old one counts as deleting the rows that bindings refer to.
    op.execute("CREATE TEMPORARY TABLE kept_binding AS SELECT * FROM port_binding")
    op.execute("DELETE FROM port_binding")
    with op.batch_alter_table("port") as port:
        port.alter_column("ip", existing_type=sa.String(), nullable=nullable)
    op.execute("INSERT INTO port_binding SELECT * FROM kept_binding")
    op.execute("DROP TABLE kept_binding")
