"""What the check of a request, and the placement, need to know. Reads only."""

from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam
from sqlmodel import Session, col, func, select

from evacuation.errors import InstanceNotFoundError
from evacuation.messages import AttemptPhase, InstanceSnapshot, OpenEvacuation
from evacuation.model import Candidate, GroupMember, HostState, PlacementRequest, VmState
from evacuation.ports import CheckFacts
from services.sql.evidence import current_evidence
from services.sql.reports import unable
from services.sql.rows import open_evacuation
from services.sql.statements import execute
from services.sql.tables import (
    AllocationRow,
    AttemptRow,
    EvacuationRow,
    HostRow,
    InstanceRow,
    ResidenceRow,
    ServerGroupRow,
)

Used = tuple[int, int, int]
IN_FLIGHT = (AttemptPhase.FORWARD, AttemptPhase.AUTHORIZED, AttemptPhase.UNDOING)

_HOSTS = select(HostRow).order_by(col(HostRow.position)).execution_options(populate_existing=True)
_USED = select(
    AllocationRow.host,
    func.sum(AllocationRow.vcpus),
    func.sum(AllocationRow.memory_mb),
    func.sum(AllocationRow.disk_gb),
).group_by(col(AllocationRow.host))
_IS_CURRENT_ATTEMPT = (col(AttemptRow.evacuation_id) == col(EvacuationRow.id)) & (
    col(AttemptRow.number) == col(EvacuationRow.attempt)
)
_IS_IN_FLIGHT = col(EvacuationRow.phase).in_(IN_FLIGHT)
_FLYING = (
    select(AttemptRow.host, func.count())
    .join(EvacuationRow, _IS_CURRENT_ATTEMPT)
    .where(_IS_IN_FLIGHT)
    .group_by(col(AttemptRow.host))
)
_OTHERS = (
    select(InstanceRow.name)
    .join(ResidenceRow, col(ResidenceRow.instance_id) == col(InstanceRow.id))
    .where(
        col(ResidenceRow.host) == bindparam("host"),
        col(ResidenceRow.incarnation).is_not_distinct_from(bindparam("incarnation")),
        col(ResidenceRow.proof).is_(None),
        col(InstanceRow.id) != bindparam("but"),
    )
    .order_by(col(InstanceRow.position))
)


def check_facts(session: Session, instance_id: str) -> CheckFacts:
    instance = session.get(InstanceRow, instance_id)
    if instance is None:
        raise InstanceNotFoundError(f'there is no instance "{instance_id}"', remedy="see: evacuate instance list")
    rows = all_hosts(session)
    source = next((row for row in rows if row.name == instance.host), None)
    incarnation = source.incarnation if source else None
    running = open_evacuation(session, instance_id)
    hosts = candidates(session, rows)
    return CheckFacts(
        instance=snapshot(instance),
        instance_deleted=instance.gone,
        source_incarnation=incarnation,
        source_uuid=source.hypervisor_uuid if source else None,
        evidence=current_evidence(session, source.name, incarnation, instance_id) if source else None,
        open=OpenEvacuation(evacuation_id=running.id, owner=running.owner) if running else None,
        others_on_source=_others_on(session, source, instance_id) if source else (),
        placement=placement_request(session, instance),
        hosts=hosts,
        known_hosts=frozenset(host.name for host in hosts),
    )


def snapshot(instance: InstanceRow) -> InstanceSnapshot:
    return InstanceSnapshot(
        id=instance.id,
        name=instance.name,
        project=instance.project,
        priority=instance.priority,
        source=instance.host or "",
        vm_state=instance.vm_state,
        task_state=instance.task_state,
        root_disk=instance.root_disk,
        flavor=instance.flavor,
        wanted=wanted(instance),
        last_evacuation_id=instance.last_evacuation_id,
    )


def wanted(instance: InstanceRow) -> VmState:
    """active or stopped; for an instance in error, what it was to be before the error."""
    state = instance.wanted_vm_state if instance.vm_state is VmState.ERROR else instance.vm_state
    return VmState.STOPPED if state is VmState.STOPPED else VmState.ACTIVE


def all_hosts(session: Session) -> Sequence[HostRow]:
    """Fresh from the database, by position."""
    return session.exec(_HOSTS).all()


def candidates(session: Session, hosts: Iterable[HostRow]) -> tuple[Candidate, ...]:
    """The hosts with what is allocated and in flight there. A claim reads the hosts, with their generations, first:
    what is written after that makes it read again."""
    used, flying = used_by_host(session), _in_flight(session)
    return tuple(_candidate(host, used.get(host.name, (0, 0, 0)), flying.get(host.name, 0)) for host in hosts)


def used_by_host(session: Session) -> dict[str, Used]:
    rows = execute(session, _USED).all()
    return {host: (int(vcpus), int(memory), int(disk)) for host, vcpus, memory, disk in rows}


def placement_request(session: Session, instance: InstanceRow) -> PlacementRequest:
    """Without target and exclusions."""
    group = session.get(ServerGroupRow, instance.server_group) if instance.server_group else None
    return PlacementRequest(
        flavor=instance.flavor,
        source=instance.host or "",
        availability_zone=instance.availability_zone,
        required_traits=frozenset(instance.traits),
        policy=group.policy if group else None,
        members=_members(session, instance) if group else (),
        unable=unable(session, instance),
    )


def _candidate(host: HostRow, used: Used, in_flight: int) -> Candidate:
    return Candidate(
        name=host.name,
        enabled=host.enabled,
        up=host.state is HostState.UP,
        vcpus=int(host.vcpus * host.cpu_allocation_ratio),
        vcpus_used=used[0],
        memory_mb=int(host.memory_mb * host.ram_allocation_ratio),
        memory_mb_used=used[1],
        disk_gb=int(host.disk_gb * host.disk_allocation_ratio),
        disk_gb_used=used[2],
        availability_zone=host.availability_zone,
        traits=frozenset(host.traits),
        in_flight=in_flight,
    )


def _in_flight(session: Session) -> dict[str, int]:
    return {row[0]: row[1] for row in execute(session, _FLYING)}


def _members(session: Session, instance: InstanceRow) -> tuple[GroupMember, ...]:
    """Where each counts: its recorded host, dead or not, where it is on its way to, and where it may run."""
    others = _other_members(session, instance)
    ids = [other.id for other in others]
    hosts = {other.id: {other.host} if other.host else set[str]() for other in others}
    for instance_id, host in _whereabouts(session, ids):
        hosts[instance_id].add(host)
    return tuple(GroupMember(name=other.name, hosts=frozenset(hosts[other.id])) for other in others)


def _other_members(session: Session, instance: InstanceRow) -> Sequence[InstanceRow]:
    where = (InstanceRow.server_group == instance.server_group, InstanceRow.id != instance.id)
    living = select(InstanceRow).where(*where, InstanceRow.vm_state != VmState.DELETED)
    fresh = living.order_by(col(InstanceRow.position)).execution_options(populate_existing=True)
    return session.exec(fresh).all()


def _whereabouts(session: Session, ids: list[str]) -> list[tuple[str, str]]:
    flying = select(AttemptRow.instance_id, AttemptRow.host).join(EvacuationRow, _IS_CURRENT_ATTEMPT)
    going = session.exec(flying.where(_IS_IN_FLIGHT, col(AttemptRow.instance_id).in_(ids))).all()
    unproven = (col(ResidenceRow.proof).is_(None), col(ResidenceRow.instance_id).in_(ids))
    being = session.exec(select(ResidenceRow.instance_id, ResidenceRow.host).where(*unproven)).all()
    return [*going, *being]


def _others_on(session: Session, source: HostRow, instance_id: str) -> tuple[str, ...]:
    there = {"host": source.name, "incarnation": source.incarnation, "but": instance_id}
    return tuple(execute(session, _OTHERS, **there).scalars().all())
