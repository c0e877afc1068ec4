"""The tables. What must be unique or exclusive is a constraint here, not only code elsewhere."""

from services.sql.tables.columns import Row, utc_now
from services.sql.tables.evacuations import ActionEventRow, ActionRow, AttemptRow, EvacuationRow, MigrationRow
from services.sql.tables.hosts import EvidenceRow, FenceRow, HostRow, LoadedFleet
from services.sql.tables.instances import InstanceRow, ResidenceRow, ServerGroupRow
from services.sql.tables.resources import (
    AllocationRow,
    AttachmentRow,
    BlockDeviceRow,
    NetworkRow,
    PortBindingRow,
    PortRow,
    VolumeRow,
)

__all__ = [
    "ActionEventRow",
    "ActionRow",
    "AllocationRow",
    "AttachmentRow",
    "AttemptRow",
    "BlockDeviceRow",
    "EvacuationRow",
    "EvidenceRow",
    "FenceRow",
    "HostRow",
    "InstanceRow",
    "LoadedFleet",
    "MigrationRow",
    "NetworkRow",
    "PortBindingRow",
    "PortRow",
    "ResidenceRow",
    "Row",
    "ServerGroupRow",
    "VolumeRow",
    "utc_now",
]
