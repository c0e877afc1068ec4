"""The tables. What must be unique or exclusive is a constraint here, not only code elsewhere."""

from services.sql.tables.columns import Row, utc_now
from services.sql.tables.evacuations import IS_OPEN, ActionEventRow, ActionRow, AttemptRow, EvacuationRow, MigrationRow
from services.sql.tables.hosts import CutRow, EvidenceRow, FenceRow, HostRow, LoadedFleet, PowerReadingRow
from services.sql.tables.instances import InstanceRow, ResidenceRow, ServerGroupRow, SightingRow
from services.sql.tables.ledger import LedgerRow
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
    "IS_OPEN",
    "ActionEventRow",
    "ActionRow",
    "AllocationRow",
    "AttachmentRow",
    "AttemptRow",
    "BlockDeviceRow",
    "CutRow",
    "EvacuationRow",
    "EvidenceRow",
    "FenceRow",
    "HostRow",
    "InstanceRow",
    "LedgerRow",
    "LoadedFleet",
    "MigrationRow",
    "NetworkRow",
    "PortBindingRow",
    "PortRow",
    "PowerReadingRow",
    "ResidenceRow",
    "Row",
    "ServerGroupRow",
    "SightingRow",
    "VolumeRow",
    "utc_now",
]
