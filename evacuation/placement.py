"""Which hosts may take an instance, which of them first, and why not the others.

`FILTERS` and `WEIGHERS` are the whole policy. Both are pure, and the answer does not depend on the order of the
candidates. The policies of server groups are Nova's: a member counts on its recorded host, dead or not, and on the
host that it is being evacuated to.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate

from evacuation.model import Candidate, GroupPolicy, Placement, PlacementRequest, Rejection
from evacuation.texts import shorten, size

Filter = Callable[[PlacementRequest, Candidate], str | None]
Weigher = Callable[[PlacementRequest, Candidate], int]
EXPLAINED, MOST_REASONS = 700, 8
"""Bytes, and different reasons, of one explanation."""


def place(request: PlacementRequest, candidates: Sequence[Candidate]) -> Placement:
    """Hosts that fit, best first, and every other host with the first reason against it, by name."""
    reasons = {host.name: _reason_against(request, host) for host in candidates}
    fitting = [host for host in candidates if reasons[host.name] is None]
    fitting.sort(key=lambda host: (*(weigh(request, host) for weigh in WEIGHERS), host.name))
    rejected = [Rejection(host=name, reason=reason) for name, reason in sorted(reasons.items()) if reason is not None]
    return Placement(chosen=tuple(host.name for host in fitting), rejected=tuple(rejected))


def explain(rejected: Sequence[Rejection]) -> str:
    """One line that names each host and why; of a large fleet every reason, the frequent ones first, with hosts that it
    holds for."""
    if not rejected:
        return "there is no host"
    whole = "; ".join(f"{each.host}: {each.reason}" for each in rejected)
    return whole if size(whole) <= EXPLAINED else _by_reason(rejected)


def _by_reason(rejected: Sequence[Rejection]) -> str:
    hosts: dict[str, list[str]] = {}
    for each in rejected:
        hosts.setdefault(each.reason, []).append(each.host)
    groups = sorted(hosts.items(), key=lambda group: (-len(group[1]), group[0]))
    shown, others = groups[:MOST_REASONS], groups[MOST_REASONS:]
    room = EXPLAINED // (len(shown) + 1)
    told = [f"{shorten(reason, room // 2)}: {_names(names, room // 2)}" for reason, names in shown]
    left = sum(len(names) for _, names in others)
    return "; ".join([*told, f"{left} more for other reasons"] if left else told)


def _names(names: Sequence[str], room: int) -> str:
    """As many as there is room for, and how many there are more; one at least."""
    shown = [name for name, end in zip(names, accumulate(len(name) + 2 for name in names), strict=True) if end <= room]
    shown = shown or [names[0]]
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")


def _reason_against(request: PlacementRequest, host: Candidate) -> str | None:
    reasons = (check(request, host) for check in FILTERS)
    return next((reason for reason in reasons if reason is not None), None)


def _is_source(request: PlacementRequest, host: Candidate) -> str | None:
    return "it is the source" if host.name == request.source else None


def _is_not_target(request: PlacementRequest, host: Candidate) -> str | None:
    if request.target is None or host.name == request.target:
        return None
    return f"the named target is {request.target}"


def _is_excluded(request: PlacementRequest, host: Candidate) -> str | None:
    return request.excluded.get(host.name)


def _is_disabled(_: PlacementRequest, host: Candidate) -> str | None:
    return None if host.enabled else "disabled"


def _is_down(_: PlacementRequest, host: Candidate) -> str | None:
    return None if host.up else "down"


def _is_unable(request: PlacementRequest, host: Candidate) -> str | None:
    return request.unable.get(host.name)


def _is_in_other_zone(request: PlacementRequest, host: Candidate) -> str | None:
    if request.availability_zone in (None, host.availability_zone):
        return None
    return f"in zone {host.availability_zone}, needs zone {request.availability_zone}"


def _lacks_traits(request: PlacementRequest, host: Candidate) -> str | None:
    missing = sorted(request.required_traits - host.traits)
    return f"lacks {', '.join(missing)}" if missing else None


def _lacks_capacity(request: PlacementRequest, host: Candidate) -> str | None:
    flavor = request.flavor
    wants = (
        ("vcpus", flavor.vcpus, host.vcpus - host.vcpus_used),
        ("MiB of memory", flavor.memory_mb, host.memory_mb - host.memory_mb_used),
        ("GiB of disk", flavor.disk_gb, host.disk_gb - host.disk_gb_used),
    )
    short = [f"needs {need} {unit}, {max(free, 0)} free" for unit, need, free in wants if need > max(free, 0)]
    return ", ".join(short) or None


def _breaks_anti_affinity(request: PlacementRequest, host: Candidate) -> str | None:
    if request.policy is not GroupPolicy.ANTI_AFFINITY:
        return None
    there = sorted(member.name for member in request.members if host.name in member.hosts)
    return f"anti-affinity with {', '.join(there)}" if there else None


def _breaks_affinity(request: PlacementRequest, host: Candidate) -> str | None:
    """Members that are only on the source bind nobody: they have to leave it themselves."""
    if request.policy is not GroupPolicy.AFFINITY:
        return None
    homes = frozenset[str]().union(*(member.hosts for member in request.members)) - {request.source}
    return f"affinity: its group is on {', '.join(sorted(homes))}" if homes and host.name not in homes else None


FILTERS: tuple[Filter, ...] = (
    _is_source,
    _is_not_target,
    _is_excluded,
    _is_disabled,
    _is_down,
    _is_in_other_zone,
    _lacks_traits,
    _is_unable,
    _breaks_anti_affinity,
    _breaks_affinity,
    _lacks_capacity,
)
"""In the order in which a person would want to hear of them: a reason is None when the host passes."""


def _soft_policy(request: PlacementRequest, host: Candidate) -> int:
    there = sum(host.name in member.hosts for member in request.members)
    return _SOFT_SIGN.get(request.policy, 0) * there


def _waits(_: PlacementRequest, host: Candidate) -> int:
    """How often its cap is full already: one more has to wait for so many to be over."""
    return host.in_flight // host.most_in_flight if host.most_in_flight else 0


def _in_flight(_: PlacementRequest, host: Candidate) -> int:
    return host.in_flight


def _free_memory(_: PlacementRequest, host: Candidate) -> int:
    return host.memory_mb_used - host.memory_mb


def _free_vcpus(_: PlacementRequest, host: Candidate) -> int:
    return host.vcpus_used - host.vcpus


_SOFT_SIGN: dict[GroupPolicy | None, int] = {GroupPolicy.SOFT_AFFINITY: -1, GroupPolicy.SOFT_ANTI_AFFINITY: 1}

WEIGHERS: tuple[Weigher, ...] = (_soft_policy, _waits, _in_flight, _free_memory, _free_vcpus)
"""The smaller the better, the first difference decides; the host's name decides the rest."""
