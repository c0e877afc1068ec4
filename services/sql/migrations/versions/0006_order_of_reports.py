"""What orders the reports of a host's boot, whatever its clock says."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("host", sa.Column("reported_uptime", sa.Float(), nullable=True))


def downgrade() -> None:
    op.drop_column("host", "reported_uptime")
