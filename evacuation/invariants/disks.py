"""What the disks themselves witness: one writer at a time (I1), nothing deleted and nothing lost (I7)."""

from collections.abc import Iterator

from evacuation.invariants.breach import Breach, Rule
from evacuation.invariants.world import World


def one_writer(world: World) -> Iterator[Breach]:
    for disk in world.disks:
        if disk.interleaved:
            yield Breach(
                invariant="I1",
                subject=world.name(disk.instance_id),
                message=disk.interleaved[0],
                remedy="restore the disk from a backup: two copies wrote to it",
            )


def kept(world: World) -> Iterator[Breach]:
    for disk in world.disks:
        if not disk.exists:
            yield Breach(
                invariant="I7",
                subject=world.name(disk.instance_id),
                message="its guest has run, and its disk is gone",
                remedy="restore it from a backup; nothing of this program deletes a shared disk",
            )


def nothing_lost(world: World) -> Iterator[Breach]:
    """Two writers lose each other's writes: then only they are named."""
    for disk in world.disks:
        if disk.lost and not disk.interleaved:
            yield Breach(
                invariant="I7",
                subject=world.name(disk.instance_id),
                message=disk.lost[0],
                remedy="restore the disk from a backup",
            )


RULES: tuple[Rule, ...] = (one_writer, kept, nothing_lost)
