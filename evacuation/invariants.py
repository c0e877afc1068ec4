"""What must hold at any time, checked on one picture of the world: the store, the hypervisors and the disks.

A dead host that waits for its evacuation is a state of the world, not a breach: rules about guests that should run
ask only hosts that are on and in service."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

from evacuation import views as v
from evacuation.messages import AttemptPhase
from evacuation.model import AttachmentStatus, Frozen, HostState, VmState
from evacuation.transitions import REBUILDING


class Breach(Frozen):
    """One thing that is not as it must be, and what to do about it."""

    invariant: str
    subject: str
    message: str
    remedy: str


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
    caps: dict[str, int] = {}


class World(Frozen):
    """`powered`: hosts whose hypervisor was read, and whether they are on. `running_workflows`: instances whose
    evacuation's workflow runs; None: Temporal was not asked."""

    rows: Rows
    guests: tuple[SeenGuest, ...] = ()
    disks: tuple[SeenDisk, ...] = ()
    powered: dict[str, bool] = {}
    running_workflows: frozenset[str] | None = None

    @cached_property
    def instances(self) -> Mapping[str, v.InstanceView]:
        return {row.id: row for row in self.rows.instances}

    @cached_property
    def in_flight(self) -> Mapping[str, v.EvacuationView]:
        return {row.instance_id: row for row in self.rows.evacuations if row.open}

    @cached_property
    def last(self) -> Mapping[str, v.EvacuationView]:
        return {row.instance_id: row for row in self.rows.evacuations}

    @cached_property
    def at_rest(self) -> tuple[v.InstanceView, ...]:
        """Instances that no evacuation is about to change."""
        return tuple(row for row in self.rows.instances if row.id not in self.in_flight)

    @cached_property
    def unproven(self) -> frozenset[tuple[str, str, int]]:
        rows = self.rows.residences
        return frozenset((row.instance_id, row.host, row.epoch) for row in rows if row.proof is None)

    def name(self, instance_id: str) -> str:
        found = self.instances.get(instance_id)
        return found.name if found else instance_id


def find_breaches(world: World) -> tuple[Breach, ...]:
    """Every breach, in the order of the invariants; empty: all hold."""
    return tuple(breach for rule in RULES for breach in rule(world))


def _one_place(world: World) -> Iterator[Breach]:
    places = defaultdict[str, list[SeenGuest]](list)
    for guest in world.guests:
        if guest.writes:
            places[guest.instance_id].append(guest)
    for instance_id, found in places.items():
        if len(found) > 1:
            where = ", ".join(f"{guest.host} (epoch {guest.epoch}, pid {guest.pid})" for guest in found)
            yield Breach(
                invariant="I1",
                subject=world.name(instance_id),
                message=f"{len(found)} copies run: {where}",
                remedy="stop all but the one whose residence is unproven, then check the disk's data",
            )


def _one_residence(world: World) -> Iterator[Breach]:
    count = Counter(instance_id for instance_id, _, _ in world.unproven)
    for instance_id, number in count.items():
        if number > 1:
            yield Breach(
                invariant="I1",
                subject=world.name(instance_id),
                message=f"{number} residences without proof: it may run in each of them",
                remedy="prove all but one empty; the store's unique index on unproven residences is missing",
            )


def _one_writer(world: World) -> Iterator[Breach]:
    for disk in world.disks:
        if disk.interleaved:
            yield Breach(
                invariant="I1",
                subject=world.name(disk.instance_id),
                message=disk.interleaved[0],
                remedy="restore the disk from a backup: two copies wrote to it",
            )


def _false_fence(world: World) -> Iterator[Breach]:
    for host in world.rows.hosts:
        alive = [g for g in world.guests if host.fenced and (g.host, g.incarnation) == (host.name, host.incarnation)]
        if alive:
            names = ", ".join(sorted({world.name(guest.instance_id) for guest in alive}))
            yield Breach(
                invariant="I2",
                subject=host.name,
                message=f"its fence is recorded, and {names} still live there in the same boot: the evidence was false",
                remedy=f"cut the power of {host.name} for real before anything else is evacuated from it",
            )


def _allowed_guest(world: World) -> Iterator[Breach]:
    for guest in world.guests:
        if guest.writes and (guest.instance_id, guest.host, guest.epoch) not in world.unproven:
            yield Breach(
                invariant="I2",
                subject=world.name(guest.instance_id),
                message=f"epoch {guest.epoch} runs on {guest.host} (pid {guest.pid}), and no residence allows it",
                remedy=f"destroy it on {guest.host}: its place was proven empty, or never given",
            )


def _proven_past(world: World) -> Iterator[Breach]:
    newest = {row.instance_id: row.epoch for row in sorted(world.rows.residences, key=lambda row: row.epoch)}
    for row in world.rows.residences:
        if row.proof is None and row.epoch < newest[row.instance_id]:
            yield Breach(
                invariant="I2",
                subject=row.instance,
                message=f"a newer residence exists, and the one on {row.host} (epoch {row.epoch}) has no proof",
                remedy=f"prove {row.host} empty, and stop the newer guest until then",
            )


def _owned_task(world: World) -> Iterator[Breach]:
    for row in world.at_rest:
        if row.task_state in REBUILDING:
            yield Breach(
                invariant="I3",
                subject=row.name,
                message=f"task_state is {row.task_state}, and no evacuation is open",
                remedy=f"ask again: evacuate instance evacuate {row.name}",
            )


def _owned_evacuation(world: World) -> Iterator[Breach]:
    running = world.running_workflows
    if running is None:
        return
    for row in world.in_flight.values():
        if row.instance_id not in running and not _has_started(world, row):
            yield Breach(
                invariant="I3",
                subject=row.instance,
                message=f"its evacuation is open (attempt {row.attempt}, {row.phase}), and no workflow runs it",
                remedy=f"ask again, what is open is adopted: evacuate instance evacuate {row.instance}",
            )


def _as_recorded(world: World) -> Iterator[Breach]:
    up = {host.name for host in world.rows.hosts if host.state == HostState.UP and world.powered.get(host.name)}
    running = {(guest.instance_id, guest.host) for guest in world.guests}
    for row in world.at_rest:
        if row.host not in up or row.task_state is not None:
            continue
        if row.vm_state == VmState.ACTIVE and (row.id, row.host) not in running:
            yield Breach(
                invariant="I3",
                subject=row.name,
                message=f"it is active on {row.host}, and nothing of it runs there",
                remedy="its guest died alone, or could not be started: see the host's return workflow",
            )


def _nothing_left_of_deleted(world: World) -> Iterator[Breach]:
    gone = {row.id for row in world.at_rest if row.vm_state == VmState.DELETED}
    held = [(row.consumer_id, f"an allocation on {row.host}") for row in world.rows.allocations]
    held += [(row.instance_id, f"port {row.id}") for row in world.rows.ports]
    held += [(a.instance_id, f"an attachment of {row.name}") for row in world.rows.volumes for a in row.attachments]
    for instance_id, what in held:
        if instance_id in gone:
            yield _leak(world.name(instance_id), f"it is deleted and still holds {what}")


def _allocations_agree(world: World) -> Iterator[Breach]:
    held = defaultdict[str, set[str]](set)
    for row in world.rows.allocations:
        held[row.consumer_id].add(row.host)
    open_migrations = {row.id: row.instance_id for row in world.rows.migrations if row.instance_id in world.in_flight}
    for row in world.at_rest:
        if row.vm_state != VmState.DELETED and held.get(row.id, set()) != {row.host}:
            found = ", ".join(sorted(held.get(row.id, set()))) or "nowhere"
            yield _leak(row.name, f"it lives on {row.host}, and its allocation is {found}")
    for consumer in held.keys() - world.instances.keys() - open_migrations.keys():
        yield _leak(consumer, f"an allocation on {', '.join(sorted(held[consumer]))} belongs to nothing that is open")


def _ports_agree(world: World) -> Iterator[Breach]:
    hosts = {row.id: row.host for row in world.at_rest if row.vm_state != VmState.DELETED}
    for port in world.rows.ports:
        if port.instance_id in hosts and port.host != hosts[port.instance_id]:
            name, host = world.name(port.instance_id), hosts[port.instance_id]
            yield _leak(name, f"it lives on {host}, and its port {port.ip} is bound to {port.host}")


def _attachments_agree(world: World) -> Iterator[Breach]:
    hosts = {row.id: row for row in world.at_rest if row.vm_state != VmState.DELETED}
    for volume in world.rows.volumes:
        for found in volume.attachments:
            instance = hosts.get(found.instance_id)
            if instance is not None and not _may_hold(world, instance, found):
                where = f"attached to {found.host}" if found.host else "only reserved"
                yield _leak(instance.name, f"it lives on {instance.host}, and its volume {volume.name} is {where}")


def _may_hold(world: World, instance: v.InstanceView, found: v.AttachmentView) -> bool:
    """Reserved with no host is right after an evacuation that did not recover the instance."""
    if found.status == AttachmentStatus.ATTACHED:
        return found.host == instance.host
    last = world.last.get(instance.id)
    return found.host is None and last is not None and last.outcome is not None and last.outcome.outcome != "recovered"


def _migrations_agree(world: World) -> Iterator[Breach]:
    for row in world.rows.migrations:
        if row.status in ("accepted", "pre-migrating") and row.instance_id not in world.in_flight:
            yield _leak(
                world.name(row.instance_id), f"its migration {row.id} is {row.status}, and no evacuation is open"
            )


def _hosts_hold(world: World) -> Iterator[Breach]:
    for host in world.rows.hosts:
        sizes = (("vcpus", host.vcpus_used, host.vcpus), ("memory_mb", host.memory_mb_used, host.memory_mb))
        for what, used, total in (*sizes, ("disk_gb", host.disk_gb_used, host.disk_gb)):
            if used > total:
                yield _leak(host.name, f"{used} {what} are allocated, and it has {total}")


def _leak(subject: str, message: str) -> Breach:
    remedy = "mend the record that is wrong; it was changed out of band, or by a defect of this program"
    return Breach(invariant="I4", subject=subject, message=message, remedy=remedy)


def _caps_hold(world: World) -> Iterator[Breach]:
    starting = Counter(
        row.destination for row in world.in_flight.values() if row.phase == AttemptPhase.AUTHORIZED and row.destination
    )
    for host, number in starting.items():
        if number > world.rows.caps.get(host, number):
            yield Breach(
                invariant="I5",
                subject=host,
                message=f"{number} evacuations are in flight to it, and its cap is {world.rows.caps[host]}",
                remedy="let them finish before the next one is asked for",
            )


def _disks_exist(world: World) -> Iterator[Breach]:
    for disk in world.disks:
        if not disk.exists:
            yield Breach(
                invariant="I7",
                subject=world.name(disk.instance_id),
                message="its guest has run, and its disk is gone",
                remedy="restore it from a backup; nothing of this program deletes a shared disk",
            )


def _data_kept(world: World) -> Iterator[Breach]:
    for disk in world.disks:
        if disk.lost and not disk.interleaved:
            yield Breach(
                invariant="I7",
                subject=world.name(disk.instance_id),
                message=disk.lost[0],
                remedy="restore the disk from a backup",
            )


def _goes_forward(world: World) -> Iterator[Breach]:
    running = world.running_workflows
    for row in world.in_flight.values():
        if running is not None and row.instance_id not in running and _has_started(world, row):
            yield Breach(
                invariant="I8",
                subject=row.instance,
                message=f"its guest has started on {row.destination}, and no workflow takes it forward",
                remedy=f"ask again, it is taken forward: evacuate instance evacuate {row.instance}",
            )


def _has_started(world: World, row: v.EvacuationView) -> bool:
    if row.phase != AttemptPhase.AUTHORIZED:
        return False
    return any((g.instance_id, g.host) == (row.instance_id, row.destination) for g in world.guests)


RULES: tuple[Callable[[World], Iterator[Breach]], ...] = (
    _one_place,
    _one_residence,
    _one_writer,
    _false_fence,
    _allowed_guest,
    _proven_past,
    _owned_task,
    _owned_evacuation,
    _as_recorded,
    _nothing_left_of_deleted,
    _allocations_agree,
    _ports_agree,
    _attachments_agree,
    _migrations_agree,
    _hosts_hold,
    _caps_hold,
    _disks_exist,
    _data_kept,
    _goes_forward,
)
