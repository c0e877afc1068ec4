"""Instances, their groups, and the places where their guests may exist."""

from datetime import datetime

from sqlalchemy import Index, Text, text
from sqlmodel import Field

from evacuation.messages import Fault
from evacuation.model import Evidence, Flavor, GroupPolicy, PowerState, RootDisk, TaskState, VmState
from services.sql.tables.columns import Row, Utc, json_of, utc_now, word


class ServerGroupRow(Row, table=True):
    """Instances that belong together, or apart."""

    name: str = Field(primary_key=True)
    position: int
    policy: GroupPolicy = Field(sa_type=word(GroupPolicy))


class InstanceRow(Row, table=True):
    """`deleting`: marked for deletion, forward calls are refused. `last_epoch` only grows. `definition`: as its
    hypervisor last had it."""

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    position: int
    project: str
    priority: int
    evacuate: bool
    host: str | None = Field(default=None, foreign_key="host.name", index=True)
    vm_state: VmState = Field(sa_type=word(VmState))
    task_state: TaskState | None = Field(default=None, sa_type=word(TaskState))
    power_state: PowerState = Field(default=PowerState.NOSTATE, sa_type=word(PowerState))
    wanted_vm_state: VmState | None = Field(default=None, sa_type=word(VmState))
    fault: Fault | None = Field(default=None, sa_type=json_of(Fault))
    root_disk: RootDisk = Field(sa_type=word(RootDisk))
    vcpus: int
    memory_mb: int
    disk_gb: int
    server_group: str | None = Field(default=None, foreign_key="server_group.name", index=True)
    availability_zone: str | None = None
    traits: list[str] = Field(default_factory=list, sa_type=json_of(list[str]))
    last_evacuation_id: str | None = None
    last_epoch: int
    deleting: bool = False
    definition: str | None = Field(default=None, sa_type=Text)
    guest_signal: str | None = None

    @property
    def flavor(self) -> Flavor:
        return Flavor(vcpus=self.vcpus, memory_mb=self.memory_mb, disk_gb=self.disk_gb)

    @property
    def on_host(self) -> Flavor:
        """What its allocation is."""
        return self.flavor.on_host(self.root_disk)

    @property
    def gone(self) -> bool:
        return self.deleting or self.vm_state is VmState.DELETED


class ResidenceRow(Row, table=True):
    """Where a guest may exist. At most one of an instance is without proof of emptiness: I1 and I2 as a constraint.
    `started_at`: when its guest was known to run; None: never, or not so that the store heard of it. `moved_from`: the
    places that this guest was in before, by a live migration of somebody's, each with what proved it empty; oldest
    first."""

    __table_args__ = (
        Index(
            "uq_residence_unproven",
            "instance_id",
            unique=True,
            sqlite_where=text("proof IS NULL"),
            postgresql_where=text("proof IS NULL"),
        ),
        Index(
            "ix_residence_unproven_host",
            "host",
            sqlite_where=text("proof IS NULL"),
            postgresql_where=text("proof IS NULL"),
        ),
    )
    instance_id: str = Field(primary_key=True, foreign_key="instance.id")
    epoch: int = Field(primary_key=True)
    host: str = Field(foreign_key="host.name", index=True)
    incarnation: str | None = None
    proof: Evidence | None = Field(default=None, sa_type=json_of(Evidence))
    evacuation_id: str | None = None
    attempt: int | None = None
    started_at: datetime | None = Field(default=None, sa_type=Utc)
    moved_from: list[Evidence] | None = Field(default=None, sa_type=json_of(list[Evidence]))
    created_at: datetime = Field(default_factory=utc_now, sa_type=Utc)


class SightingRow(Row, table=True):
    """A guest that a host had running, in that boot, where no residence was. It counts while that boot is not over, not
    proven off, and no residence of it has come to be."""

    instance_id: str = Field(primary_key=True, foreign_key="instance.id")
    host: str = Field(primary_key=True, foreign_key="host.name", index=True)
    incarnation: str
    epoch: int
    state: str
    seen_at: datetime = Field(default_factory=utc_now, sa_type=Utc)
