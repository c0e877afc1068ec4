"""Hosts, and what is known about their incarnations."""

from datetime import datetime

from sqlalchemy import Index, text
from sqlmodel import Field, col

from evacuation.capabilities import HostCapabilities
from evacuation.fleet import Fleet
from evacuation.identity import RefusedIdentity, ReplacedIdentity
from evacuation.model import EvidenceKind, HostState, PowerReading
from services.sql.tables.columns import Row, Utc, json_of, utc_now, word


class LoadedFleet(Row, table=True):
    """The fleet as it was loaded: one row, so that two loads exclude each other."""

    id: int = Field(default=1, primary_key=True)
    fleet: Fleet = Field(sa_type=json_of(Fleet))
    loaded_at: datetime = Field(default_factory=utc_now, sa_type=Utc)


class HostRow(Row, table=True):
    """`generation` grows with all that is allocated here or given back: a claim that read an older one is lost and
    reads again. `vcpus_free` and the like are what is left: hosts are looked up by it, and the sum of the allocations
    counts. `capabilities` as last reported, and the time of the report that changed them last. `refused`: who wanted to
    be this host and was not. `replaced`: who it was before, oldest first. `memory`: of what the host remembers in this
    boot; empty: it was lost, and the host has not come back since."""

    name: str = Field(primary_key=True)
    position: int
    vcpus: int
    memory_mb: int
    disk_gb: int
    cpu_allocation_ratio: float = 1.0
    ram_allocation_ratio: float = 1.0
    disk_allocation_ratio: float = 1.0
    availability_zone: str
    traits: list[str] = Field(default_factory=list, sa_type=json_of(list[str]))
    max_evacuations: int = 10
    enabled: bool = True
    state: HostState = Field(default=HostState.DOWN, sa_type=word(HostState))
    incarnation: str | None = None
    registered_at: datetime | None = Field(default=None, sa_type=Utc)
    memory: str | None = None
    hypervisor_uuid: str | None = Field(default=None, unique=True)
    machine_id: str | None = None
    generation: int = 0
    vcpus_free: int = 0
    memory_mb_free: int = 0
    disk_gb_free: int = 0
    capabilities: HostCapabilities | None = Field(default=None, sa_type=json_of(HostCapabilities))
    reported_at: datetime | None = Field(default=None, sa_type=Utc)
    reported_uptime: float | None = None
    refused: RefusedIdentity | None = Field(default=None, sa_type=json_of(RefusedIdentity))
    replaced: list[ReplacedIdentity] | None = Field(default=None, sa_type=json_of(list[ReplacedIdentity]))


Index(
    "ix_host_room",
    col(HostRow.memory_mb_free).desc(),
    col(HostRow.vcpus_free).desc(),
    col(HostRow.name),
    sqlite_where=text("state = 'up' AND enabled"),
    postgresql_where=text("state = 'up' AND enabled"),
)


class FenceRow(Row, table=True):
    """A fence of one incarnation has begun; "" stands for a host that never registered. `alarm`: what was cut by the
    host's entry was another machine, as it seems; nothing is proven by that entry until a person has it cut again."""

    host: str = Field(primary_key=True, foreign_key="host.name")
    incarnation: str = Field(primary_key=True)
    who: str
    opened_at: datetime = Field(default_factory=utc_now, sa_type=Utc)
    alarm: str | None = None


class CutRow(Row, table=True):
    """The power of the host is being cut, until the one who does it says that it is done, or `until`: who boots there
    waits. `incarnation`: the boot that is meant. `was_up`: what the host is again if the cut fails. `seen`: other
    hosts that answered before."""

    host: str = Field(primary_key=True, foreign_key="host.name")
    by: str = Field(primary_key=True)
    incarnation: str | None = None
    until: datetime = Field(sa_type=Utc)
    was_up: bool
    seen: list[str] | None = Field(default=None, sa_type=json_of(list[str]))


class PowerReadingRow(Row, table=True):
    """What the host's power last read, off or unknown, until somebody saw the host alive."""

    host: str = Field(primary_key=True, foreign_key="host.name")
    reading: PowerReading = Field(sa_type=word(PowerReading))
    at: datetime = Field(sa_type=Utc)


class EvidenceRow(Row, table=True):
    """Current while not voided; at most one current row of a kind for one incarnation. `cut`: the host was on when its
    power was cut."""

    __table_args__ = (
        Index(
            "uq_evidence_current",
            "host",
            "incarnation",
            "kind",
            unique=True,
            sqlite_where=text("voided_at IS NULL"),
            postgresql_where=text("voided_at IS NULL"),
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    host: str = Field(foreign_key="host.name", index=True)
    incarnation: str
    kind: EvidenceKind = Field(sa_type=word(EvidenceKind))
    scope: str
    who: str
    reason: str
    at: datetime = Field(sa_type=Utc)
    cut: bool = False
    voided_at: datetime | None = Field(default=None, sa_type=Utc)
    voided_why: str | None = None
