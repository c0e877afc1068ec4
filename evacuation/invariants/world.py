"""One picture of the world: the rows of the store, the guests that run, and what the disks say."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Protocol, TypeVar

from evacuation.invariants import seen as s
from evacuation.ledger import LedgerMark, Witness, why_not
from evacuation.messages import AttemptPhase
from evacuation.model import Frozen, HostState, VmState


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


class Rows(Frozen):
    """The store, read in one transaction. `ledger`: which one it is, `doubted_by`: who has seen another one, `unasked`:
    hosts that its last reconciliation could not ask.

    `groups`: the policy of each server group, `networks`: the addresses of each;
    `being_cut`: hosts whose power somebody is cutting; `loaded_in_error`: instances that the fleet was loaded with so;
    `loaded_members`: of each that it was loaded with in a group its host, the group and the policy.
    `constraints`, `references`, `words`: what the database does not keep out any more."""

    hosts: tuple[s.SeenHost, ...]
    instances: tuple[s.SeenInstance, ...]
    migrations: tuple[s.SeenMigration, ...]
    allocations: tuple[s.SeenAllocation, ...]
    ports: tuple[s.SeenPort, ...]
    volumes: tuple[s.SeenVolume, ...]
    residences: tuple[s.SeenResidence, ...]
    evacuations: tuple[s.SeenEvacuation, ...]
    sightings: tuple[s.SeenSighting, ...] = ()
    attempts: tuple[s.SeenAttempt, ...] = ()
    actions: tuple[s.SeenAction, ...] = ()
    inactive_bindings: tuple[s.SeenBinding, ...] = ()
    mappings: tuple[s.SeenMapping, ...] = ()
    groups: dict[str, str] = {}
    networks: dict[str, str] = {}
    being_cut: frozenset[str] = frozenset()
    fleets: int = 1
    ledger: LedgerMark | None = None
    doubted_by: str | None = None
    unasked: frozenset[str] = frozenset()
    loaded_in_error: frozenset[str] = frozenset()
    loaded_members: dict[str, tuple[str, str, str]] = {}
    constraints: tuple[s.SeenFlaw, ...] = ()
    references: tuple[s.SeenFlaw, ...] = ()
    words: tuple[s.SeenFlaw, ...] = ()


class World(Frozen):
    """`boots`: the incarnation of each host whose hypervisor was read, None for one that is off; `identities`: who it
    says it is (hypervisor uuid). `strangers`: what runs there and is no instance's guest. `witnesses`: what hosts had
    seen of the store before it was read.
    `running_workflows`: instances whose evacuation's or deletion's workflow runs; `returning`: hosts whose
    return runs; None: Temporal was not asked."""

    rows: Rows
    guests: tuple[s.SeenGuest, ...] = ()
    strangers: tuple[s.SeenGuest, ...] = ()
    disks: tuple[s.SeenDisk, ...] = ()
    boots: dict[str, str | None] = {}
    identities: dict[str, str] = {}
    witnesses: tuple[Witness, ...] = ()
    running_workflows: frozenset[str] | None = None
    returning: frozenset[str] | None = None

    @cached_property
    def why_behind(self) -> str | None:
        """Why the store is not the one, or not the state of it, that the guests were started by. None: nothing says so.
        A host that is off, and that the last reconciliation has left for its return, is no sign."""
        if self.rows.doubted_by is not None:
            return f"{self.rows.doubted_by} has seen another store than this one, or a later state of it"
        if self.rows.ledger is None:
            return None
        heard = (each for each in self.witnesses if each.who not in self.rows.unasked or self.boots.get(each.who))
        return next(filter(None, (why_not(self.rows.ledger, each) for each in heard)), None)

    @cached_property
    def instances(self) -> Mapping[str, s.SeenInstance]:
        return {row.id: row for row in self.rows.instances}

    @cached_property
    def hosts(self) -> Mapping[str, s.SeenHost]:
        return {row.name: row for row in self.rows.hosts}

    @cached_property
    def in_flight(self) -> Mapping[str, s.SeenEvacuation]:
        return {row.instance_id: row for row in self.rows.evacuations if row.open}

    @cached_property
    def last(self) -> Mapping[str, s.SeenEvacuation]:
        """The newest evacuation of each instance, of those that began: one that was only barred changed nothing."""
        return {row.instance_id: row for row in self.rows.evacuations if row.migration_id in self.migrations}

    @cached_property
    def at_rest(self) -> Mapping[str, s.SeenInstance]:
        """Instances that exist, and that no evacuation is about to change."""
        rows = self.rows.instances
        return {row.id: row for row in rows if row.id not in self.in_flight and row.vm_state != VmState.DELETED}

    @cached_property
    def in_place(self) -> tuple[s.SeenInstance, ...]:
        """Those at rest, active or stopped, with whom nothing is done, and whose host is up."""
        kept = (row for row in self.at_rest.values() if row.vm_state in (VmState.ACTIVE, VmState.STOPPED))
        return tuple(row for row in kept if row.task_state is None and self.is_up(row.host))

    @cached_property
    def unproven(self) -> Mapping[str, list[s.SeenResidence]]:
        """Where each instance may run, so far as the store knows."""
        return grouped(row for row in self.rows.residences if row.proof is None)

    @cached_property
    def started(self) -> Mapping[str, list[s.SeenResidence]]:
        """Where each instance's guest was known to run, by epoch."""
        return grouped(row for row in sorted(self.rows.residences, key=lambda row: row.epoch) if row.started)

    @cached_property
    def residences(self) -> Mapping[tuple[str, int], s.SeenResidence]:
        """By instance and epoch."""
        return {(row.instance_id, row.epoch): row for row in self.rows.residences}

    @cached_property
    def migrations(self) -> Mapping[str, s.SeenMigration]:
        return {row.id: row for row in self.rows.migrations}

    @cached_property
    def volumes(self) -> Mapping[str, s.SeenVolume]:
        return {row.id: row for row in self.rows.volumes}

    @cached_property
    def guests_of(self) -> Mapping[str, list[s.SeenGuest]]:
        return grouped(self.guests)

    def name(self, instance_id: str) -> str:
        found = self.instances.get(instance_id)
        return found.name if found else instance_id

    def is_up(self, host: str | None) -> bool:
        row = self.hosts.get(host or "")
        return row is not None and row.state == HostState.UP and row.incarnation is not None

    def is_in_service(self, host: str | None) -> bool:
        """On, and up in that very boot: what was recorded of the last one says nothing about a host that boots."""
        row = self.hosts.get(host or "")
        return row is not None and self.is_up(host) and row.incarnation == self.boots.get(row.name)

    def is_at_home(self, row: s.SeenInstance) -> bool:
        """Its host is up, and has started or defined it in that boot."""
        host = self.hosts.get(row.host or "")
        here = (each for each in self.unproven.get(row.id, []) if host is not None and each.host == host.name)
        return self.is_up(row.host) and any(host is not None and each.incarnation == host.incarnation for each in here)

    def has_started(self, row: s.SeenEvacuation) -> bool:
        """Its start is recorded, or the guest of an authorised attempt runs on its destination."""
        if row.phase == AttemptPhase.STARTED:
            return True
        guests = self.guests_of.get(row.instance_id, [])
        return row.phase == AttemptPhase.AUTHORIZED and any(guest.host == row.destination for guest in guests)
