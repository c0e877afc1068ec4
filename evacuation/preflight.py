"""Before a host dies: which of its instances would come back, where, and why not the others.

The instances are placed one after the other, the first priority first, so that room and server groups count as they
would in an evacuation of the whole host.
"""

from collections.abc import Sequence

from evacuation.model import Candidate, Flavor, Frozen, Placement, PlacementRequest
from evacuation.placement import place


class Subject(Frozen):
    """An instance of the host. `obstacles`: what keeps it from being evacuated to any host, a line each; `notes`: what
    is to be known of it beside that."""

    instance_id: str
    name: str
    priority: int
    placement: PlacementRequest
    obstacles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Preflight(Frozen):
    """`destinations`: hosts that would take it when its turn comes, best first. `reasons` is empty if it can."""

    instance_id: str
    name: str
    can: bool
    reasons: tuple[str, ...]
    destinations: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What is to be known of it, and is no obstacle."""


def preflight(subjects: Sequence[Subject], hosts: Sequence[Candidate]) -> tuple[Preflight, ...]:
    """In the order of the subjects."""
    plan = _Plan(hosts)
    found = {each.instance_id: plan.take(each) for each in sorted(subjects, key=lambda each: each.priority)}
    return tuple(found[each.instance_id] for each in subjects)


class _Plan:
    """The hosts as they fill up."""

    def __init__(self, hosts: Sequence[Candidate]) -> None:
        self._before = tuple(hosts)
        self._hosts = {host.name: host for host in hosts}
        self._placed: dict[str, str] = {}

    def take(self, subject: Subject) -> Preflight:
        if subject.obstacles:
            return _answer(subject, reasons=subject.obstacles)
        placement = place(self._as_now(subject.placement), tuple(self._hosts.values()))
        if not placement.chosen:
            return _answer(subject, reasons=self._reasons(subject, placement))
        self._fill(placement.chosen[0], subject)
        return _answer(subject, destinations=placement.chosen)

    def _as_now(self, request: PlacementRequest) -> PlacementRequest:
        """Members that were placed count on their new hosts too."""
        members = tuple(
            member.model_copy(update={"hosts": member.hosts | {self._placed[member.name]}})
            if member.name in self._placed
            else member
            for member in request.members
        )
        return request.model_copy(update={"members": members})

    def _reasons(self, subject: Subject, placement: Placement) -> tuple[str, ...]:
        alone = place(subject.placement, self._before)
        crowded = ("no host is left for it once the instances before it are placed",) if alone.chosen else ()
        others = (each for each in placement.rejected if each.host != subject.placement.source)
        named = tuple(f"{each.host}: {each.reason}" for each in others)
        return (*crowded, *named) or ("there is no other host",)

    def _fill(self, name: str, subject: Subject) -> None:
        self._placed[subject.name] = name
        self._hosts[name] = _with(self._hosts[name], subject.placement.flavor)


def _with(host: Candidate, flavor: Flavor) -> Candidate:
    return host.model_copy(
        update={
            "vcpus_used": host.vcpus_used + flavor.vcpus,
            "memory_mb_used": host.memory_mb_used + flavor.memory_mb,
            "disk_gb_used": host.disk_gb_used + flavor.disk_gb,
        }
    )


def _answer(subject: Subject, *, reasons: tuple[str, ...] = (), destinations: tuple[str, ...] = ()) -> Preflight:
    return Preflight(
        instance_id=subject.instance_id,
        name=subject.name,
        can=bool(destinations),
        reasons=reasons,
        destinations=destinations,
        notes=subject.notes,
    )
