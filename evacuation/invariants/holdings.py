"""I4: when no evacuation is in flight, everything that an instance holds agrees with where it is."""

from collections import defaultdict
from collections.abc import Iterator

from evacuation.invariants import seen as s
from evacuation.invariants.breach import Case, Rule, case
from evacuation.invariants.world import World, grouped
from evacuation.messages import AttemptPhase
from evacuation.model import AttachmentStatus, Flavor, RootDisk, VmState, VolumeStatus

CLAIMED = frozenset({AttemptPhase.FORWARD, AttemptPhase.AUTHORIZED, AttemptPhase.STARTED})


def left_of_deleted(world: World) -> Iterator[Case]:
    """What its guest may still write to stays reserved until that is proven gone."""
    gone = {row.id for row in world.rows.instances if row.vm_state == VmState.DELETED} - world.in_flight.keys()
    held = [(row.consumer_id, f"an allocation on {row.host}") for row in world.rows.allocations]
    held += [(row.instance_id, f"port {row.id}") for row in world.rows.ports]
    held += [
        (a.instance_id, f"an attachment of {row.name}")
        for row in world.rows.volumes
        for a in row.attachments
        if a.status == AttachmentStatus.ATTACHED or a.instance_id not in world.unproven
    ]
    mapped = (row for row in world.rows.mappings if row.instance_id not in world.unproven)
    held += [(row.instance_id, f"the mapping of volume {row.volume_id}") for row in mapped]
    for instance_id, what in held:
        if instance_id in gone:
            yield case(world.name(instance_id), what)


def allocated_elsewhere(world: World) -> Iterator[Case]:
    held = _consumers(world)
    for row in world.at_rest.values():
        if {each.host for each in held.get(row.id, [])} != {row.host}:
            found = ", ".join(sorted(each.host for each in held.get(row.id, []))) or "nowhere"
            yield case(row.name, host=row.host, found=found)


def allocated_otherwise(world: World) -> Iterator[Case]:
    for allocation in world.rows.allocations:
        row = world.at_rest.get(allocation.consumer_id)
        if row is not None and _sizes(_on_host(row)) != _sizes(allocation):
            yield case(row.name, allocation.host, found=_sizes(allocation), wanted=_sizes(_on_host(row)))


def _on_host(row: s.SeenInstance) -> Flavor:
    flavor = Flavor.model_construct(None, vcpus=row.vcpus, memory_mb=row.memory_mb, disk_gb=row.disk_gb)
    return flavor.on_host(RootDisk.LOCAL if row.root_disk == RootDisk.LOCAL else RootDisk.SHARED)


def _sizes(row: Flavor | s.SeenAllocation) -> str:
    return f"{row.vcpus} vcpus, {row.memory_mb} MiB, {row.disk_gb} GiB"


def allocated_for_nobody(world: World) -> Iterator[Case]:
    migrations = {row.migration_id for row in world.in_flight.values()}
    for consumer, rows in sorted(_consumers(world).items()):
        if consumer not in world.instances and consumer not in migrations:
            yield case(consumer, hosts=", ".join(sorted(row.host for row in rows)))


def claim_lost(world: World) -> Iterator[Case]:
    """The claim and the attempt were written in one transaction, and are taken back in one."""
    held = _consumers(world)
    for row in world.in_flight.values():
        there = [each.host for each in held.get(row.instance_id, [])]
        if row.phase in CLAIMED and row.destination is not None and row.destination not in there:
            yield case(row.instance, attempt=row.attempt, host=row.destination)


def _consumers(world: World) -> dict[str, list[s.SeenAllocation]]:
    held = defaultdict[str, list[s.SeenAllocation]](list)
    for row in world.rows.allocations:
        held[row.consumer_id].append(row)
    return held


def host_overfull(world: World) -> Iterator[Case]:
    for host in world.rows.hosts:
        sizes = (("vcpus", host.vcpus_used, host.vcpus), ("memory_mb", host.memory_mb_used, host.memory_mb))
        for what, used, total in (*sizes, ("disk_gb", host.disk_gb_used, host.disk_gb)):
            if used > total:
                yield case(host.name, what, used=used, total=total)


def room_otherwise(world: World) -> Iterator[Case]:
    """Hosts are looked up by what is noted as free: one that has more is not found."""
    for host in world.rows.hosts:
        sizes = (
            ("vcpus", host.vcpus_free, host.vcpus - host.vcpus_used),
            ("memory_mb", host.memory_mb_free, host.memory_mb - host.memory_mb_used),
        )
        for what, noted, right in (*sizes, ("disk_gb", host.disk_gb_free, host.disk_gb - host.disk_gb_used)):
            if noted != right:
                yield case(host.name, what, noted=noted, right=right)


def attached_elsewhere(world: World) -> Iterator[Case]:
    for volume in world.rows.volumes:
        for found in volume.attachments:
            instance = world.at_rest.get(found.instance_id)
            if instance is not None and not _may_hold(world, instance, found):
                where = f"attached to {found.host}" if found.host else "only reserved"
                yield case(instance.name, found.id, host=instance.host, volume=volume.name, where=where)


def _may_hold(world: World, instance: s.SeenInstance, found: s.SeenAttachment) -> bool:
    """Reserved with no host is right after an evacuation that did not recover the instance, until its host has it."""
    if found.status == AttachmentStatus.ATTACHED:
        return found.host == instance.host
    last = world.last.get(instance.id)
    lost = last is not None and last.ended not in (None, "recovered")
    return found.host is None and lost and not world.is_at_home(instance)


def mapped_otherwise(world: World) -> Iterator[Case]:
    for mapping in world.rows.mappings:
        instance, volume = world.at_rest.get(mapping.instance_id), world.volumes.get(mapping.volume_id)
        if instance is None or volume is None:
            continue
        mine = [each.id for each in volume.attachments if each.instance_id == instance.id]
        if mine != [mapping.attachment_id]:
            found = f"{len(mine)} attachments there, and not this one alone" if mine else "no attachment there"
            yield case(instance.name, volume.name, attachment=mapping.attachment_id, found=found)


def mapped_to_nothing(world: World) -> Iterator[Case]:
    for mapping in world.rows.mappings:
        instance = world.at_rest.get(mapping.instance_id)
        if instance is not None and mapping.volume_id not in world.volumes:
            yield case(instance.name, mapping.volume_id)


def attached_unmapped(world: World) -> Iterator[Case]:
    mapped = {(row.instance_id, row.volume_id) for row in world.rows.mappings}
    for volume in world.rows.volumes:
        for found in volume.attachments:
            instance = world.at_rest.get(found.instance_id)
            if instance is not None and (instance.id, volume.id) not in mapped:
                yield case(instance.name, found.id, volume=volume.name)


def connector_left(world: World) -> Iterator[Case]:
    """It is kept for the way back as long as the volume is away from the source, and not longer."""
    attached = {
        (volume.id, each.instance_id)
        for volume in world.rows.volumes
        for each in volume.attachments
        if each.status == AttachmentStatus.ATTACHED
    }
    for instance_id, mappings in grouped(world.rows.mappings).items():
        instance = world.at_rest.get(instance_id)
        for row in mappings if instance else ():
            if row.source_connector is not None and (row.volume_id, instance_id) in attached:
                yield case(world.name(instance_id), row.volume_id, host=row.source_connector)


def volume_otherwise(world: World) -> Iterator[Case]:
    for volume in world.rows.volumes:
        statuses = {each.status for each in volume.attachments}
        right = VolumeStatus.RESERVED if statuses else VolumeStatus.AVAILABLE
        if AttachmentStatus.ATTACHED in statuses:
            right = VolumeStatus.IN_USE
        if volume.status != right:
            yield case(volume.name, status=volume.status, right=right)


RULES: tuple[Rule, ...] = (
    Rule("left-of-deleted", "I4", left_of_deleted, "it is deleted and still holds {about}"),
    Rule("allocated-elsewhere", "I4", allocated_elsewhere, "it lives on {host}, and its allocation is {found}"),
    Rule(
        "allocated-otherwise",
        "I4",
        allocated_otherwise,
        "its allocation on {about} is {found}, and it takes {wanted}",
    ),
    Rule(
        "allocated-for-nobody", "I4", allocated_for_nobody, "an allocation on {hosts} belongs to nothing that is open"
    ),
    Rule(
        "claim-lost",
        "I4",
        claim_lost,
        "attempt {attempt} goes to {host}, and it has no allocation there: others are given its place",
        "let it end, or end it: evacuate instance cancel {subject}",
    ),
    Rule("host-overfull", "I4", host_overfull, "{used} {about} are allocated, and it has {total}"),
    Rule("room-otherwise", "I4", room_otherwise, "{noted} {about} are noted as free, and {right} are"),
    Rule("attached-elsewhere", "I4", attached_elsewhere, "it lives on {host}, and its volume {volume} is {where}"),
    Rule("mapped-otherwise", "I4", mapped_otherwise, "its block device is {about} by {attachment}: it has {found}"),
    Rule(
        "mapped-to-nothing", "I4", mapped_to_nothing, "its block device is volume {about}, and there is no such volume"
    ),
    Rule(
        "attached-unmapped",
        "I4",
        attached_unmapped,
        "volume {volume} is attached for it, and is none of its block devices",
    ),
    Rule(
        "connector-left",
        "I4",
        connector_left,
        "volume {about} is attached, and the connector of {host} is still kept for its way back",
    ),
    Rule("volume-otherwise", "I4", volume_otherwise, "its status is {status}, and by its attachments it is {right}"),
)
