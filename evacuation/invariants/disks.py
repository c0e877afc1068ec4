"""What the disks themselves witness: one writer at a time (I1), nothing deleted and nothing lost (I7)."""

from collections.abc import Iterator

from evacuation.invariants.breach import Case, Rule, case
from evacuation.invariants.seen import SeenDisk
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
)
