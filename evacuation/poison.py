"""Which starts cost a destination, and when that is reason enough to try no other one.

A guest that hangs the worker of every host that is to start it would take one healthy host after the other with it.
Whether it was the guest or chance nobody can tell in general; what the machine did then tells something."""

from collections.abc import Iterable
from datetime import datetime

from evacuation.errors import PoisonousStartError
from evacuation.model import Evidence, EvidenceKind, Frozen

BY_ITSELF = frozenset({EvidenceKind.POWER_OFF, EvidenceKind.NEW_INCARNATION})
"""Evidence that the machine went down, unless it was cut."""
MOST_BY_CHANCE = 1
"""Machines that may go down by themselves, one after the other, while the same instance starts there."""


class Pardon(Frozen):
    """A person's word that the start did not cost the host its worker, or will not do so again."""

    who: str
    said: str
    at: datetime


class Loss(Frozen):
    """A host whose worker was lost after a start there was authorised, and before it ended. `by_itself`: the machine
    went down, and nobody had cut its power. `cut`: it was on when its power was cut."""

    host: str
    incarnation: str | None
    by_itself: bool
    cut: bool
    how: str
    at: datetime
    pardon: Pardon | None = None


def loss_of(evidence: Evidence, *, cut: bool) -> Loss | None:
    """What the proof says of a destination whose guest is gone. None: its own worker answered. `cut`: whether anybody
    has cut its power while it was on."""
    if evidence.kind is EvidenceKind.GUEST_GONE:
        return None
    return Loss(
        host=evidence.host,
        incarnation=evidence.incarnation,
        by_itself=evidence.kind in BY_ITSELF and not cut,
        cut=cut,
        how=evidence.reason,
        at=evidence.at,
    )


def poison_in(name: str, losses: Iterable[Loss]) -> PoisonousStartError | None:
    """Why the instance is sent to no other host, if it is not."""
    held = [each for each in losses if each.pardon is None]
    workers = [each for each in held if not each.by_itself]
    if workers:
        cause = f"the start of {name} cost {workers[0].host} its worker ({workers[0].how})"
    elif len(held) > MOST_BY_CHANCE:
        cause = f"{', '.join(each.host for each in held)} went down, one after the other, while {name} started there"
    else:
        return None
    return PoisonousStartError(f"{cause}: it is sent to no other host", remedy=remedy_for(name))


def remedy_for(name: str) -> str:
    return (
        "find out what its start does to a host (its definition, its signal, that host's log); if that is mended, or it"
        f' was chance: evacuate instance retry {name} --confirmed-harmless "who looked, and found what"'
    )
