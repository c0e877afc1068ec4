"""What must hold at any time, checked on one picture of the world: the store, the hypervisors and the disks.

A dead host that waits for its evacuation is a state of the world, not a breach: rules about guests that should run
ask only hosts that are on and in service, in the boot that the store knows."""

from evacuation.invariants import disks, holdings, hosts, network, places, progress, records, store
from evacuation.invariants.breach import Breach, Rule
from evacuation.invariants.seen import (
    SeenAction,
    SeenAllocation,
    SeenAttachment,
    SeenAttempt,
    SeenBinding,
    SeenDisk,
    SeenEvacuation,
    SeenFlaw,
    SeenGuest,
    SeenHost,
    SeenInstance,
    SeenMapping,
    SeenMigration,
    SeenPort,
    SeenResidence,
    SeenSighting,
    SeenVolume,
    SeenWrite,
)
from evacuation.invariants.world import Rows, World

__all__ = [
    "RULES",
    "Breach",
    "Rows",
    "Rule",
    "SeenAction",
    "SeenAllocation",
    "SeenAttachment",
    "SeenAttempt",
    "SeenBinding",
    "SeenDisk",
    "SeenEvacuation",
    "SeenFlaw",
    "SeenGuest",
    "SeenHost",
    "SeenInstance",
    "SeenMapping",
    "SeenMigration",
    "SeenPort",
    "SeenResidence",
    "SeenSighting",
    "SeenVolume",
    "SeenWrite",
    "World",
    "find_breaches",
]

RULES: tuple[Rule, ...] = (
    *store.RULES,
    *places.RULES,
    *hosts.RULES,
    *disks.RULES,
    *progress.RULES,
    *holdings.RULES,
    *network.RULES,
    *records.RULES,
)
"""The table: one row a rule. What is wrong with the store itself comes first: the others go by it."""


def find_breaches(world: World) -> tuple[Breach, ...]:
    """Every breach, in the order of the invariants; empty: all hold."""
    return tuple(sorted((each for rule in RULES for each in rule.breaches(world)), key=lambda each: each.invariant))
