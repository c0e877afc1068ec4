"""What the disks themselves witness, and who writes to them: one at a time (I1), nothing deleted or lost (I7)."""

from collections.abc import Iterator
from itertools import chain

from evacuation.invariants.breach import Case, Rule, case
from evacuation.invariants.seen import SeenDisk, SeenGuest, SeenWrite
from evacuation.invariants.world import World
from evacuation.model import PowerState


def two_writers(world: World) -> Iterator[Case]:
    for disk in world.disks:
        if disk.interleaved:
            yield case(world.name(disk.instance_id), found=disk.interleaved[0])


def disk_gone(world: World) -> Iterator[Case]:
    for disk in world.disks:
        if not disk.exists and _has_run(world, disk):
            yield case(world.name(disk.instance_id), missing=disk.missing)


def _has_run(world: World, disk: SeenDisk) -> bool:
    instance = world.instances.get(disk.instance_id)
    return instance is None or instance.power_state == PowerState.RUNNING or disk.instance_id in world.started


def begun_again(world: World) -> Iterator[Case]:
    """A journal goes on from guest to guest: one that begins after another guest has run is not the disk that was."""
    for disk in world.disks:
        if disk.exists and not disk.interleaved and (why := _begun_again(world, disk)):
            yield case(world.name(disk.instance_id), why=why)


def _begun_again(world: World, disk: SeenDisk) -> str | None:
    before = [
        row for row in world.started.get(disk.instance_id, []) if disk.begins is None or row.epoch < disk.begins[1]
    ]
    if before:
        ran = ", ".join(f"{row.epoch} on {row.host}" for row in before)
        begins = f"its first record is of epoch {disk.begins[1]}" if disk.begins else "nothing is on it"
        return f"{begins}, and before that its guest ran under epoch {ran}"
    if disk.begins is not None and disk.begins[0] > 1:
        return f"its first record is number {disk.begins[0]}"
    return None


def writes_lost(world: World) -> Iterator[Case]:
    """Two writers lose each other's writes: then only they are named."""
    for disk in world.disks:
        if disk.lost and not disk.interleaved:
            yield case(world.name(disk.instance_id), found=disk.lost[0])


def disk_of_two(world: World) -> Iterator[Case]:
    """Of two copies of one instance another rule speaks."""
    writers: dict[str, list[tuple[SeenGuest, SeenWrite]]] = {}
    for guest in chain(world.guests, world.strangers):
        for found in guest.disks or () if guest.writes else ():
            writers.setdefault(found.disk, []).append((guest, found))
    for disk, found in writers.items():
        alone = len({guest.instance_id for guest, _ in found}) == 1
        if not alone and not all(each.shareable for _, each in found):
            who = ", ".join(f"{_name(world, guest)} on {guest.host} {guest.known_by}" for guest, _ in found)
            yield case(_name(world, found[0][0]), disk, path=found[0][1].path, who=who)


def _name(world: World, guest: SeenGuest) -> str:
    known = world.name(guest.instance_id)
    return guest.name or known if known == guest.instance_id else known


RULES: tuple[Rule, ...] = (
    Rule("two-writers", "I1", two_writers, "{found}", "restore the disk from a backup: two copies wrote to it"),
    Rule(
        "disk-gone",
        "I7",
        disk_gone,
        "its guest has run, and its disk {missing}",
        "restore it from a backup; nothing of this program deletes a shared disk",
    ),
    Rule(
        "begun-again",
        "I7",
        begun_again,
        "its disk has begun again: {why}",
        "restore the disk from a backup; what was written since is on this one alone",
    ),
    Rule("writes-lost", "I7", writes_lost, "{found}", "restore the disk from a backup"),
    Rule(
        "disk-of-two",
        "I1",
        disk_of_two,
        "two write to {path}: {who}",
        "stop all but the one whose disk it is, then check its data; "
        "a disk that is to have several writers is <shareable/> in each definition",
    ),
)
