"""What the check of a request, and the placement, need to know. Reads only."""

from collections.abc import Sequence

from sqlmodel import Session, col, func, select

from evacuation.errors import InstanceNotFoundError
from evacuation.messages import AttemptPhase, InstanceSnapshot, OpenEvacuation
from evacuation.model import Candidate, GroupMember, HostState, PlacementRequest, VmState
from evacuation.ports import CheckFacts
from services.sql.evidence import current_evidence
from services.sql.rows import open_evacuation, unproven_on
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


def check_facts(session: Session, instance_id: str) -> CheckFacts:
    instance = session.get(InstanceRow, instance_id)
    if instance is None:
        raise InstanceNotFoundError(f'there is no instance "{instance_id}"', remedy="see: evacuate instance list")
    source = session.get(HostRow, instance.host) if instance.host else None
    incarnation = source.incarnation if source else None
    running = open_evacuation(session, instance_id)
    hosts = candidates(session)
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


def candidates(session: Session) -> tuple[Candidate, ...]:
    """Every host with what is allocated and in flight there, fresh from the database, by position."""
    used, flying = used_by_host(session), _in_flight(session)
    fresh = select(HostRow).order_by(col(HostRow.position)).execution_options(populate_existing=True)
    return tuple(
        _candidate(host, used.get(host.name, (0, 0, 0)), flying.get(host.name, 0)) for host in session.exec(fresh).all()
    )


def used_by_host(session: Session) -> dict[str, Used]:
    sums = (func.sum(AllocationRow.vcpus), func.sum(AllocationRow.memory_mb), func.sum(AllocationRow.disk_gb))
    rows = session.exec(select(AllocationRow.host, *sums).group_by(col(AllocationRow.host))).all()
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
    count = select(AttemptRow.host, func.count()).join(EvacuationRow, _is_current_attempt())
    rows = session.exec(count.where(_is_in_flight()).group_by(col(AttemptRow.host))).all()
    return dict(rows)


def _is_current_attempt():
    is_its = col(AttemptRow.evacuation_id) == col(EvacuationRow.id)
    return is_its & (col(AttemptRow.number) == col(EvacuationRow.attempt))


def _is_in_flight():
    return col(EvacuationRow.phase).in_(IN_FLIGHT)


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
    flying = select(AttemptRow.instance_id, AttemptRow.host).join(EvacuationRow, _is_current_attempt())
    going = session.exec(flying.where(_is_in_flight(), col(AttemptRow.instance_id).in_(ids))).all()
    unproven = (col(ResidenceRow.proof).is_(None), col(ResidenceRow.instance_id).in_(ids))
    being = session.exec(select(ResidenceRow.instance_id, ResidenceRow.host).where(*unproven)).all()
    return [*going, *being]


def _others_on(session: Session, source: HostRow, instance_id: str) -> tuple[str, ...]:
    there = [r.instance_id for r in unproven_on(session, source.name) if r.incarnation == source.incarnation]
    where = (col(InstanceRow.id).in_(there), InstanceRow.id != instance_id)
    return tuple(session.exec(select(InstanceRow.name).where(*where).order_by(col(InstanceRow.position))).all())
