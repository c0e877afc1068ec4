"""What must hold at any time, checked on one picture of the world: the store, the hypervisors and the disks.

A dead host that waits for its evacuation is a state of the world, not a breach: rules about guests that should run
ask only hosts that are on and in service, in the boot that the store knows."""

from evacuation.invariants import disks, holdings, places, progress
from evacuation.invariants.breach import Breach, Rule
from evacuation.invariants.world import Rows, SeenBinding, SeenDisk, SeenGuest, SeenMapping, World

__all__ = [
    "RULES",
    "Breach",
    "Rows",
    "SeenBinding",
    "SeenDisk",
    "SeenGuest",
    "SeenMapping",
    "World",
    "find_breaches",
]

RULES: tuple[Rule, ...] = (*places.RULES, *disks.RULES, *progress.RULES, *holdings.RULES)


def find_breaches(world: World) -> tuple[Breach, ...]:
    """Every breach, in the order of the invariants; empty: all hold."""
    return tuple(sorted((breach for rule in RULES for breach in rule(world)), key=lambda breach: breach.invariant))
