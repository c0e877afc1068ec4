"""One picture of the world: the rows of the store, the guests that run, and what the disks say."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Protocol, TypeVar

from evacuation import views as v
from evacuation.messages import AttemptPhase
from evacuation.model import Frozen, VmState


class OfInstance(Protocol):
    @property
    def instance_id(self) -> str: ...


Each = TypeVar("Each", bound=OfInstance)


def grouped(rows: Iterable[Each]) -> dict[str, list[Each]]:
    """By instance, in the order given."""
    found: dict[str, list[Each]] = {}
    for row in rows:
        found.setdefault(row.instance_id, []).append(row)
    return found


class SeenGuest(Frozen):
    """A guest's process, as the process table has it. `writes`: it is not paused."""

    host: str
    incarnation: str
    instance_id: str
    epoch: int
    pid: int
    writes: bool


class SeenDisk(Frozen):
    """What a disk's journal says."""

    instance_id: str
    exists: bool
    interleaved: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class SeenBinding(Frozen):
    """An inactive binding of a port: the source's while an evacuation runs, and none afterwards."""

    instance_id: str
    port_id: str
    host: str


class SeenMapping(Frozen):
    """A block device mapping, and the attachment that it points to."""

    instance_id: str
    volume_id: str
    attachment_id: str | None


class Rows(Frozen):
    """The store, read in one transaction. `caps`: evacuations in flight that each host takes at most."""

    hosts: tuple[v.HostView, ...]
    instances: tuple[v.InstanceView, ...]
    migrations: tuple[v.MigrationView, ...]
    allocations: tuple[v.AllocationView, ...]
    ports: tuple[v.PortView, ...]
    volumes: tuple[v.VolumeView, ...]
    residences: tuple[v.ResidenceView, ...]
    evacuations: tuple[v.EvacuationView, ...]
    inactive_bindings: tuple[SeenBinding, ...] = ()
    mappings: tuple[SeenMapping, ...] = ()
    caps: dict[str, int] = {}


class World(Frozen):
    """`boots`: the incarnation of each host whose hypervisor was read, None for one that is off. `running_workflows`:
    instances whose evacuation's or deletion's workflow runs; None: Temporal was not asked."""

    rows: Rows
    guests: tuple[SeenGuest, ...] = ()
    disks: tuple[SeenDisk, ...] = ()
    boots: dict[str, str | None] = {}
    running_workflows: frozenset[str] | None = None

    @cached_property
    def instances(self) -> Mapping[str, v.InstanceView]:
        return {row.id: row for row in self.rows.instances}

    @cached_property
    def in_flight(self) -> Mapping[str, v.EvacuationView]:
        return {row.instance_id: row for row in self.rows.evacuations if row.open}

    @cached_property
    def last(self) -> Mapping[str, v.EvacuationView]:
        """The newest evacuation of each instance."""
        return {row.instance_id: row for row in self.rows.evacuations}

    @cached_property
    def at_rest(self) -> Mapping[str, v.InstanceView]:
        """Instances that exist, and that no evacuation is about to change."""
        rows = self.rows.instances
        return {row.id: row for row in rows if row.id not in self.in_flight and row.vm_state != VmState.DELETED}

    @cached_property
    def unproven(self) -> Mapping[str, list[v.ResidenceView]]:
        """Where each instance may run, so far as the store knows."""
        return grouped(row for row in self.rows.residences if row.proof is None)

    @cached_property
    def guests_of(self) -> Mapping[str, list[SeenGuest]]:
        return grouped(self.guests)

    def name(self, instance_id: str) -> str:
        found = self.instances.get(instance_id)
        return found.name if found else instance_id

    def has_started(self, row: v.EvacuationView) -> bool:
        """The guest of an authorised attempt runs on its destination."""
        guests = self.guests_of.get(row.instance_id, [])
        return row.phase == AttemptPhase.AUTHORIZED and any(guest.host == row.destination for guest in guests)
