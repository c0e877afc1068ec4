"""I4: when no evacuation is in flight, everything that an instance holds agrees with where it is."""

from collections import defaultdict
from collections.abc import Iterator

from evacuation import views as v
from evacuation.invariants.breach import Breach, Rule
from evacuation.invariants.world import World
from evacuation.model import AttachmentStatus, MigrationStatus, VmState, VolumeStatus

OPEN = frozenset({MigrationStatus.ACCEPTED, MigrationStatus.PRE_MIGRATING})


def nothing_left_of_deleted(world: World) -> Iterator[Breach]:
    gone = {row.id for row in world.rows.instances if row.vm_state == VmState.DELETED} - world.in_flight.keys()
    held = [(row.consumer_id, f"an allocation on {row.host}") for row in world.rows.allocations]
    held += [(row.instance_id, f"port {row.id}") for row in world.rows.ports]
    held += [(a.instance_id, f"an attachment of {row.name}") for row in world.rows.volumes for a in row.attachments]
    for instance_id, what in held:
        if instance_id in gone:
            yield _leak(world.name(instance_id), f"it is deleted and still holds {what}")


def allocations_agree(world: World) -> Iterator[Breach]:
    held = defaultdict[str, set[str]](set)
    for row in world.rows.allocations:
        held[row.consumer_id].add(row.host)
    for row in world.at_rest.values():
        if held.get(row.id, set()) != {row.host}:
            found = ", ".join(sorted(held.get(row.id, set()))) or "nowhere"
            yield _leak(row.name, f"it lives on {row.host}, and its allocation is {found}")
    migrations = {m.id for m in world.rows.migrations if m.instance_id in world.in_flight and m.status in OPEN}
    for consumer in sorted(held.keys() - world.instances.keys() - migrations):
        yield _leak(consumer, f"an allocation on {', '.join(sorted(held[consumer]))} belongs to nothing that is open")


def ports_agree(world: World) -> Iterator[Breach]:
    for port in world.rows.ports:
        instance = world.at_rest.get(port.instance_id)
        if instance is not None and port.host != instance.host:
            bound = f"bound to {port.host}" if port.host else "not bound"
            yield _leak(instance.name, f"it lives on {instance.host}, and its port {port.ip or port.mac} is {bound}")
    for binding in world.rows.inactive_bindings:
        instance = world.at_rest.get(binding.instance_id)
        if instance is not None:
            yield _leak(
                instance.name, f"it lives on {instance.host}, and a binding of its port on {binding.host} is left"
            )


def attachments_agree(world: World) -> Iterator[Breach]:
    for volume in world.rows.volumes:
        for found in volume.attachments:
            instance = world.at_rest.get(found.instance_id)
            if instance is not None and not _may_hold(world, instance, found):
                where = f"attached to {found.host}" if found.host else "only reserved"
                yield _leak(instance.name, f"it lives on {instance.host}, and its volume {volume.name} is {where}")


def _may_hold(world: World, instance: v.InstanceView, found: v.AttachmentView) -> bool:
    """Reserved with no host is right after an evacuation that did not recover the instance."""
    if found.status == AttachmentStatus.ATTACHED:
        return found.host == instance.host
    last = world.last.get(instance.id)
    return found.host is None and last is not None and last.outcome is not None and last.outcome.outcome != "recovered"


def mappings_agree(world: World) -> Iterator[Breach]:
    volumes = {row.id: row for row in world.rows.volumes}
    for mapping in world.rows.mappings:
        instance, volume = world.at_rest.get(mapping.instance_id), volumes.get(mapping.volume_id)
        if instance is None or volume is None:
            continue
        mine = [each.id for each in volume.attachments if each.instance_id == instance.id]
        if mine != [mapping.attachment_id]:
            found = f"{len(mine)} attachments there, and not this one alone" if mine else "no attachment there"
            yield _leak(instance.name, f"its block device is {volume.name} by {mapping.attachment_id}: it has {found}")


def volumes_agree(world: World) -> Iterator[Breach]:
    for volume in world.rows.volumes:
        statuses = {each.status for each in volume.attachments}
        right = VolumeStatus.RESERVED if statuses else VolumeStatus.AVAILABLE
        if AttachmentStatus.ATTACHED in statuses:
            right = VolumeStatus.IN_USE
        if volume.status != right:
            yield _leak(volume.name, f"its status is {volume.status}, and by its attachments it is {right}")


def migrations_agree(world: World) -> Iterator[Breach]:
    for row in world.rows.migrations:
        if row.status in OPEN and row.instance_id not in world.in_flight:
            name = world.name(row.instance_id)
            yield _leak(name, f"its migration {row.id} is {row.status}, and no evacuation is open")


def hosts_hold(world: World) -> Iterator[Breach]:
    for host in world.rows.hosts:
        sizes = (("vcpus", host.vcpus_used, host.vcpus), ("memory_mb", host.memory_mb_used, host.memory_mb))
        for what, used, total in (*sizes, ("disk_gb", host.disk_gb_used, host.disk_gb)):
            if used > total:
                yield _leak(host.name, f"{used} {what} are allocated, and it has {total}")


def _leak(subject: str, message: str) -> Breach:
    remedy = "mend the record that is wrong; it was changed out of band, or by a defect of this program"
    return Breach(invariant="I4", subject=subject, message=message, remedy=remedy)


RULES: tuple[Rule, ...] = (
    nothing_left_of_deleted,
    allocations_agree,
    ports_agree,
    attachments_agree,
    mappings_agree,
    volumes_agree,
    migrations_agree,
    hosts_hold,
)
