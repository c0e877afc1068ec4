"""What instances hold: allocations, ports and their bindings, volumes and their attachments."""

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from evacuation.messages import Connector
from evacuation.model import AttachmentStatus, PortStatus, VolumeStatus
from services.sql.tables.columns import Row, json_of, word


class AllocationRow(Row, table=True):
    """Held by an instance, or by a migration (the source's half, while an evacuation runs)."""

    __table_args__ = (UniqueConstraint("consumer_id", "host"),)
    id: int | None = Field(default=None, primary_key=True)
    consumer_id: str
    host: str = Field(foreign_key="host.name", index=True)
    vcpus: int
    memory_mb: int
    disk_gb: int


class NetworkRow(Row, table=True):
    """A network of the fleet, by its name."""

    name: str = Field(primary_key=True)
    position: int
    cidr: str


class PortRow(Row, table=True):
    """`ip` None: given by somebody else, and not known here."""

    __table_args__ = (UniqueConstraint("network", "ip"),)
    id: str = Field(primary_key=True)
    position: int
    instance_id: str = Field(foreign_key="instance.id", index=True)
    network: str = Field(foreign_key="network.name")
    mac: str = Field(unique=True)
    ip: str | None = None


class PortBindingRow(Row, table=True):
    """A port is bound actively on one host; the source's binding waits inactive while an evacuation runs."""

    __table_args__ = (
        Index(
            "uq_port_binding_active",
            "port_id",
            unique=True,
            sqlite_where=text("active"),
            postgresql_where=text("active"),
        ),
    )
    port_id: str = Field(primary_key=True, foreign_key="port.id")
    host: str = Field(primary_key=True, foreign_key="host.name")
    active: bool
    status: PortStatus = Field(sa_type=word(PortStatus))


class VolumeRow(Row, table=True):
    """A volume of the fleet; `status` follows its attachments."""

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    position: int
    size_gb: int
    status: VolumeStatus = Field(default=VolumeStatus.AVAILABLE, sa_type=word(VolumeStatus))


class BlockDeviceRow(Row, table=True):
    """A block device mapping. The attachment may live in another service, so it is no foreign key."""

    __table_args__ = (UniqueConstraint("instance_id", "device"),)
    instance_id: str = Field(primary_key=True, foreign_key="instance.id")
    volume_id: str = Field(primary_key=True)
    device: str
    position: int
    attachment_id: str | None = None
    source_connector: Connector | None = Field(default=None, sa_type=json_of(Connector))


class AttachmentRow(Row, table=True):
    """Of a volume at most one attachment is connected; `name` makes a reservation repeatable."""

    __table_args__ = (
        Index(
            "uq_attachment_attached",
            "volume_id",
            unique=True,
            sqlite_where=text("status = 'attached'"),
            postgresql_where=text("status = 'attached'"),
        ),
    )
    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    volume_id: str = Field(foreign_key="volume.id", index=True)
    instance_id: str = Field(foreign_key="instance.id", index=True)
    position: int = 1
    status: AttachmentStatus = Field(default=AttachmentStatus.RESERVED, sa_type=word(AttachmentStatus))
    connector: Connector | None = Field(default=None, sa_type=json_of(Connector))
