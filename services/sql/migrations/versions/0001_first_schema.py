"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "host",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("memory_mb", sa.Integer(), nullable=False),
        sa.Column("disk_gb", sa.Integer(), nullable=False),
        sa.Column("cpu_allocation_ratio", sa.Float(), nullable=False),
        sa.Column("ram_allocation_ratio", sa.Float(), nullable=False),
        sa.Column("disk_allocation_ratio", sa.Float(), nullable=False),
        sa.Column("availability_zone", sa.String(), nullable=False),
        sa.Column("traits", sa.JSON(), nullable=False),
        sa.Column("max_evacuations", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("incarnation", sa.String(), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hypervisor_uuid", sa.String(), nullable=True),
        sa.Column("machine_id", sa.String(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_host")),
        sa.UniqueConstraint("hypervisor_uuid", name=op.f("uq_host_hypervisor_uuid")),
    )
    op.create_table(
        "loaded_fleet",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fleet", sa.JSON(), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_loaded_fleet")),
    )
    op.create_table(
        "network",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("cidr", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_network")),
    )
    op.create_table(
        "server_group",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("policy", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_server_group")),
    )
    op.create_table(
        "volume",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("size_gb", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume")),
        sa.UniqueConstraint("name", name=op.f("uq_volume_name")),
    )
    op.create_table(
        "allocation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("consumer_id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("memory_mb", sa.Integer(), nullable=False),
        sa.Column("disk_gb", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["host"], ["host.name"], name=op.f("fk_allocation_host")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_allocation")),
        sa.UniqueConstraint("consumer_id", "host", name=op.f("uq_allocation_consumer_id_host")),
    )
    op.create_index(op.f("ix_allocation_host"), "allocation", ["host"], unique=False)
    op.create_table(
        "evidence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("incarnation", sa.String(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("voided_why", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["host"], ["host.name"], name=op.f("fk_evidence_host")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
    )
    op.create_index(
        "uq_evidence_current",
        "evidence",
        ["host", "incarnation", "kind"],
        unique=True,
        sqlite_where=sa.text("voided_at IS NULL"),
        postgresql_where=sa.text("voided_at IS NULL"),
    )
    op.create_table(
        "fence",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("incarnation", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["host"], ["host.name"], name=op.f("fk_fence_host")),
        sa.PrimaryKeyConstraint("host", "incarnation", name=op.f("pk_fence")),
    )
    op.create_table(
        "instance",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("evacuate", sa.Boolean(), nullable=False),
        sa.Column("host", sa.String(), nullable=True),
        sa.Column("vm_state", sa.String(length=40), nullable=False),
        sa.Column("task_state", sa.String(length=40), nullable=True),
        sa.Column("power_state", sa.String(length=40), nullable=False),
        sa.Column("wanted_vm_state", sa.String(length=40), nullable=True),
        sa.Column("fault", sa.JSON(), nullable=True),
        sa.Column("root_disk", sa.String(length=40), nullable=False),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("memory_mb", sa.Integer(), nullable=False),
        sa.Column("disk_gb", sa.Integer(), nullable=False),
        sa.Column("server_group", sa.String(), nullable=True),
        sa.Column("availability_zone", sa.String(), nullable=True),
        sa.Column("traits", sa.JSON(), nullable=False),
        sa.Column("last_evacuation_id", sa.String(), nullable=True),
        sa.Column("last_epoch", sa.Integer(), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["host"], ["host.name"], name=op.f("fk_instance_host")),
        sa.ForeignKeyConstraint(["server_group"], ["server_group.name"], name=op.f("fk_instance_server_group")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
        sa.UniqueConstraint("name", name=op.f("uq_instance_name")),
    )
    op.create_index(op.f("ix_instance_host"), "instance", ["host"], unique=False)
    op.create_index(op.f("ix_instance_server_group"), "instance", ["server_group"], unique=False)
    op.create_table(
        "attachment",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("volume_id", sa.String(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("connector", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_attachment_instance_id")),
        sa.ForeignKeyConstraint(["volume_id"], ["volume.id"], name=op.f("fk_attachment_volume_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachment")),
        sa.UniqueConstraint("name", name=op.f("uq_attachment_name")),
    )
    op.create_index(op.f("ix_attachment_instance_id"), "attachment", ["instance_id"], unique=False)
    op.create_index(
        "uq_attachment_attached",
        "attachment",
        ["volume_id"],
        unique=True,
        sqlite_where=sa.text("status = 'attached'"),
        postgresql_where=sa.text("status = 'attached'"),
    )
    op.create_table(
        "block_device",
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("volume_id", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("attachment_id", sa.String(), nullable=True),
        sa.Column("source_connector", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_block_device_instance_id")),
        sa.PrimaryKeyConstraint("instance_id", "volume_id", name=op.f("pk_block_device")),
        sa.UniqueConstraint("instance_id", "device", name=op.f("uq_block_device_instance_id_device")),
    )
    op.create_table(
        "evacuation",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("migration_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("source_incarnation", sa.String(), nullable=True),
        sa.Column("vm_state_before", sa.String(length=40), nullable=False),
        sa.Column("task_state_before", sa.String(length=40), nullable=True),
        sa.Column("wanted", sa.String(length=40), nullable=False),
        sa.Column("outcome", sa.JSON(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_evacuation_instance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evacuation")),
        sa.UniqueConstraint("migration_id", name=op.f("uq_evacuation_migration_id")),
    )
    op.create_index(op.f("ix_evacuation_source"), "evacuation", ["source"], unique=False)
    op.create_index(
        "uq_evacuation_open",
        "evacuation",
        ["instance_id"],
        unique=True,
        sqlite_where=sa.text("phase != 'closed'"),
        postgresql_where=sa.text("phase != 'closed'"),
    )
    op.create_table(
        "port",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("mac", sa.String(), nullable=False),
        sa.Column("ip", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_port_instance_id")),
        sa.ForeignKeyConstraint(["network"], ["network.name"], name=op.f("fk_port_network")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_port")),
        sa.UniqueConstraint("mac", name=op.f("uq_port_mac")),
        sa.UniqueConstraint("network", "ip", name=op.f("uq_port_network_ip")),
    )
    op.create_index(op.f("ix_port_instance_id"), "port", ["instance_id"], unique=False)
    op.create_table(
        "residence",
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("incarnation", sa.String(), nullable=True),
        sa.Column("proof", sa.JSON(), nullable=True),
        sa.Column("evacuation_id", sa.String(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["host"], ["host.name"], name=op.f("fk_residence_host")),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_residence_instance_id")),
        sa.PrimaryKeyConstraint("instance_id", "epoch", name=op.f("pk_residence")),
    )
    op.create_index(op.f("ix_residence_host"), "residence", ["host"], unique=False)
    op.create_index(
        "uq_residence_unproven",
        "residence",
        ["instance_id"],
        unique=True,
        sqlite_where=sa.text("proof IS NULL"),
        postgresql_where=sa.text("proof IS NULL"),
    )
    op.create_table(
        "action",
        sa.Column("evacuation_id", sa.String(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["evacuation_id"], ["evacuation.id"], name=op.f("fk_action_evacuation_id")),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_action_instance_id")),
        sa.PrimaryKeyConstraint("evacuation_id", name=op.f("pk_action")),
    )
    op.create_index(op.f("ix_action_instance_id"), "action", ["instance_id"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("evacuation_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("incarnation", sa.String(), nullable=True),
        sa.Column("hypervisor_uuid", sa.String(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["evacuation_id"], ["evacuation.id"], name=op.f("fk_attempt_evacuation_id")),
        sa.ForeignKeyConstraint(["host"], ["host.name"], name=op.f("fk_attempt_host")),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_attempt_instance_id")),
        sa.PrimaryKeyConstraint("evacuation_id", "number", name=op.f("pk_attempt")),
        sa.UniqueConstraint("instance_id", "epoch", name=op.f("uq_attempt_instance_id_epoch")),
    )
    op.create_index(op.f("ix_attempt_host"), "attempt", ["host"], unique=False)
    op.create_table(
        "migration",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("evacuation_id", sa.String(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("source_epoch", sa.Integer(), nullable=False),
        sa.Column("destination", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["destination"], ["host.name"], name=op.f("fk_migration_destination")),
        sa.ForeignKeyConstraint(["evacuation_id"], ["evacuation.id"], name=op.f("fk_migration_evacuation_id")),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_migration_instance_id")),
        sa.ForeignKeyConstraint(["source"], ["host.name"], name=op.f("fk_migration_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_migration")),
        sa.UniqueConstraint("evacuation_id", name=op.f("uq_migration_evacuation_id")),
    )
    op.create_index(op.f("ix_migration_instance_id"), "migration", ["instance_id"], unique=False)
    op.create_index(op.f("ix_migration_source"), "migration", ["source"], unique=False)
    op.create_table(
        "port_binding",
        sa.Column("port_id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["host"], ["host.name"], name=op.f("fk_port_binding_host")),
        sa.ForeignKeyConstraint(["port_id"], ["port.id"], name=op.f("fk_port_binding_port_id")),
        sa.PrimaryKeyConstraint("port_id", "host", name=op.f("pk_port_binding")),
    )
    op.create_index(
        "uq_port_binding_active",
        "port_binding",
        ["port_id"],
        unique=True,
        sqlite_where=sa.text("active"),
        postgresql_where=sa.text("active"),
    )
    op.create_table(
        "action_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("evacuation_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=True),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("details", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["evacuation_id"], ["action.evacuation_id"], name=op.f("fk_action_event_evacuation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_action_event")),
        sa.UniqueConstraint(
            "evacuation_id",
            "attempt",
            "name",
            "started_at",
            name=op.f("uq_action_event_evacuation_id_attempt_name_started_at"),
        ),
    )


def downgrade() -> None:
    for table in (
        "action_event",
        "port_binding",
        "migration",
        "attempt",
        "action",
        "residence",
        "port",
        "evacuation",
        "block_device",
        "attachment",
        "instance",
        "fence",
        "evidence",
        "allocation",
        "volume",
        "server_group",
        "network",
        "loaded_fleet",
        "host",
    ):
        op.drop_table(table)
