"""Indexes, so that a step costs the same however many hosts there are and evacuations have ended; the room that is left
on each host."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SIZES = (("vcpus", "cpu"), ("memory_mb", "ram"), ("disk_gb", "disk"))
PARTIAL = (
    ("ix_evacuation_open_source", "evacuation", "source", "phase != 'closed'"),
    ("ix_evacuation_open_phase", "evacuation", "phase", "phase != 'closed'"),
    ("ix_residence_unproven_host", "residence", "host", "proof IS NULL"),
    ("ix_migration_left_behind", "migration", "source", "status = 'done'"),
)
WHOLE = (("attachment", "volume_id"), ("evacuation", "instance_id"), ("evidence", "host"))
REPLACED = (("evacuation", "source"), ("migration", "source"))


def upgrade() -> None:
    for size, ratio in SIZES:
        op.add_column("host", sa.Column(f"{size}_free", sa.Integer(), nullable=False, server_default="0"))
        op.execute(f"UPDATE host SET {size}_free = {_total(size, ratio)} - {_used(size)}")
    up = sa.text("state = 'up' AND enabled")
    order = [sa.text("memory_mb_free DESC"), sa.text("vcpus_free DESC"), "name"]
    op.create_index("ix_host_room", "host", order, sqlite_where=up, postgresql_where=up)
    for name, table, column, where in PARTIAL:
        op.create_index(name, table, [column], sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    for table, column in WHOLE:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    for table, column in REPLACED:
        op.drop_index(op.f(f"ix_{table}_{column}"), table_name=table)


def downgrade() -> None:
    for table, column in REPLACED:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    for table, column in WHOLE:
        op.drop_index(op.f(f"ix_{table}_{column}"), table_name=table)
    for name, table, _, _ in PARTIAL:
        op.drop_index(name, table_name=table)
    op.drop_index("ix_host_room", table_name="host")
    for size, _ in SIZES:
        op.drop_column("host", f"{size}_free")


def _total(size: str, ratio: str) -> str:
    """Towards zero, as elsewhere."""
    total = f"{size} * {ratio}_allocation_ratio"
    return f"CAST({total if op.get_bind().dialect.name == 'sqlite' else f'trunc({total})'} AS INTEGER)"


def _used(size: str) -> str:
    return f"COALESCE((SELECT sum({size}) FROM allocation WHERE allocation.host = host.name), 0)"
