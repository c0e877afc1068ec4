"""Hosts as the placement sees them."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import bindparam
from sqlmodel import Session, col, func, select

from evacuation.messages import AttemptPhase
from evacuation.model import Candidate, HostState
from services.sql.statements import execute, table_of
from services.sql.tables import IS_OPEN, AllocationRow, AttemptRow, EvacuationRow, HostRow

FEW = 100
"""Hosts whose sums are asked for by name."""
Used = tuple[int, int, int]
NOTHING: Used = (0, 0, 0)
IN_FLIGHT = (AttemptPhase.FORWARD, AttemptPhase.AUTHORIZED, AttemptPhase.STARTED, AttemptPhase.UNDOING)

IS_CURRENT_ATTEMPT = (col(AttemptRow.evacuation_id) == col(EvacuationRow.id)) & (
    col(AttemptRow.number) == col(EvacuationRow.attempt)
)
IS_IN_FLIGHT = IS_OPEN & col(EvacuationRow.phase).in_(IN_FLIGHT)
SEEN = tuple(
    table_of(HostRow).c[name]
    for name in (
        *("name", "generation", "enabled", "state", "availability_zone", "traits", "incarnation", "hypervisor_uuid"),
        *("position", "max_evacuations", "reported_at"),
        *("vcpus", "cpu_allocation_ratio", "memory_mb", "ram_allocation_ratio", "disk_gb", "disk_allocation_ratio"),
    )
)
"""What a placement needs to know of a host's row."""

_HOSTS = sa.select(*SEEN).order_by(col(HostRow.position))
_NAMED = sa.select(*SEEN).where(col(HostRow.name).in_(bindparam("names", expanding=True)))
_SUMS = select(
    AllocationRow.host,
    func.sum(AllocationRow.vcpus),
    func.sum(AllocationRow.memory_mb),
    func.sum(AllocationRow.disk_gb),
).group_by(col(AllocationRow.host))
_SUMS_OF = _SUMS.where(col(AllocationRow.host).in_(bindparam("hosts", expanding=True)))
FLYING = (
    select(AttemptRow.host, func.count().label("flying"))
    .join(EvacuationRow, IS_CURRENT_ATTEMPT)
    .where(IS_IN_FLIGHT)
    .group_by(col(AttemptRow.host))
)


class Sizes(Protocol):
    """A host's row, or what was selected of one."""

    vcpus: int
    memory_mb: int
    disk_gb: int
    cpu_allocation_ratio: float
    ram_allocation_ratio: float
    disk_allocation_ratio: float


class Seen(Sizes, Protocol):
    """A host's row as the placement reads it."""

    name: str
    generation: int
    enabled: bool
    state: HostState
    availability_zone: str
    traits: list[str]
    incarnation: str | None
    hypervisor_uuid: str | None
    max_evacuations: int


def totals(host: Sizes) -> Used:
    """With its allocation ratios."""
    return (
        int(host.vcpus * host.cpu_allocation_ratio),
        int(host.memory_mb * host.ram_allocation_ratio),
        int(host.disk_gb * host.disk_allocation_ratio),
    )


def all_candidates(session: Session) -> tuple[Candidate, ...]:
    """Every host, by position."""
    return as_candidates(session, every_host(session))


def every_host(session: Session) -> Sequence[Any]:
    return execute(session, _HOSTS).all()


def named_hosts(session: Session, names: Iterable[str]) -> Sequence[Any]:
    return execute(session, _NAMED, names=list(names)).all()


def as_candidates(session: Session, hosts: Sequence[Seen]) -> tuple[Candidate, ...]:
    """With what is allocated and in flight there. A claim reads the hosts, with their generations, first: what is
    written after that makes it read again."""
    names = [host.name for host in hosts] if len(hosts) <= FEW else None
    used, flying = used_by_host(session, names), in_flight(session)
    return tuple(candidate(host, used.get(host.name, NOTHING), flying.get(host.name, 0)) for host in hosts)


def used_by_host(session: Session, hosts: Iterable[str] | None = None) -> dict[str, Used]:
    """Of these hosts, or of all."""
    rows = execute(session, _SUMS) if hosts is None else execute(session, _SUMS_OF, hosts=list(hosts))
    return {host: (int(vcpus), int(memory), int(disk)) for host, vcpus, memory, disk in rows}


def in_flight(session: Session) -> dict[str, int]:
    """Of each host that has any."""
    return {row[0]: row[1] for row in execute(session, FLYING)}


def candidate(host: Seen, used: Used, flying: int) -> Candidate:
    vcpus, memory_mb, disk_gb = totals(host)
    return Candidate(
        name=host.name,
        enabled=host.enabled,
        up=host.state is HostState.UP,
        vcpus=vcpus,
        vcpus_used=used[0],
        memory_mb=memory_mb,
        memory_mb_used=used[1],
        disk_gb=disk_gb,
        disk_gb_used=used[2],
        availability_zone=host.availability_zone,
        traits=frozenset(host.traits),
        in_flight=flying,
        most_in_flight=host.max_evacuations,
    )
