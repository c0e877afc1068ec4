"""An allocation counts the disk that its host stores itself, and no other."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OF_ITS_INSTANCE = """
    FROM instance LEFT JOIN migration ON migration.instance_id = instance.id
    WHERE allocation.consumer_id IN (instance.id, migration.id) AND instance.root_disk != 'local'
"""


def upgrade() -> None:
    op.execute(f"UPDATE allocation SET disk_gb = 0 WHERE EXISTS (SELECT 1 {_OF_ITS_INSTANCE})")


def downgrade() -> None:
    op.execute(
        f"UPDATE allocation SET disk_gb = (SELECT max(instance.disk_gb) {_OF_ITS_INSTANCE}) "
        f"WHERE EXISTS (SELECT 1 {_OF_ITS_INSTANCE})"
    )
