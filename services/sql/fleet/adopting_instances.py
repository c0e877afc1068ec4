"""One guest that runs already, with its residence, its allocation and its ports."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from sqlmodel import Session, col, delete, select

from evacuation.adoption import Adopted, AdoptedHost, AdoptedInstance, AdoptedPort
from evacuation.epochs import UNMARKED, has_mark_of
from evacuation.errors import DuplicateInstanceError, PowerUnreadError
from evacuation.model import Evidence, PortStatus, TaskState, VmState
from services.cloud.sql.allocations import Allocations
from services.sql.hosts.reports import keep
from services.sql.instances.following import move
from services.sql.instances.holdings import bind_ports, drop_other_bindings, ports_of
from services.sql.ledger.evidence import usable_evidence
from services.sql.ledger.proofs import gone_from
from services.sql.rows import lock_instance, next_position, open_evacuation, unproven_residence
from services.sql.statements import execute
from services.sql.tables import AllocationRow, HostRow, InstanceRow, PortBindingRow, PortRow, ResidenceRow

FOLLOWED = (VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED)
"""What a host may say better than the store; every other state is some operation's business."""


def adopt_instance(
    session: Session, allocations: Allocations, found: AdoptedInstance, host: str, every: Sequence[AdoptedHost]
) -> Adopted:
    """`every`: all hosts that were read for this adoption. Raises DuplicateInstanceError."""
    _refuse_taken_name(session, found, host)
    if session.get(InstanceRow, found.id) is None:
        row = _add(session, found, host)
        _hold(session, allocations, row, found, host)
        return _answer(row, host, "added")
    row = lock_instance(session, found.id)
    if open_evacuation(session, row.id) is not None:
        return left_alone(row, "it is being evacuated")
    _refuse_deleted(row, host)
    moved = _follow_here(session, row, found, host, every) or _move_here(session, allocations, row, found, host)
    before = (row.model_dump(), _held(session, row))
    _follow(row, found)
    _hold(session, allocations, row, found, host)
    changed = moved or (row.model_dump(), _held(session, row)) != before
    return _answer(row, host, "updated" if changed else "unchanged")


def left_alone(row: InstanceRow, why: str) -> Adopted:
    return Adopted(kind="instance", name=row.name, host=row.host or "", change="left", note=why)


def _answer(row: InstanceRow, host: str, change: Any) -> Adopted:
    return Adopted(kind="instance", name=row.name, host=host, change=change)


def _refuse_taken_name(session: Session, found: AdoptedInstance, host: str) -> None:
    where = (InstanceRow.name == found.name, InstanceRow.id != found.id)
    other = session.exec(select(InstanceRow).where(*where)).first()
    if other is not None:
        place = f"on {other.host}" if other.host else "deleted"
        raise DuplicateInstanceError(
            f"{found.name} on {host} has the name of another instance ({other.id}, {place})",
            remedy="rename it (virsh domrename), or leave it out: --skip",
        )


def _refuse_deleted(row: InstanceRow, host: str) -> None:
    if row.gone:
        raise DuplicateInstanceError(
            f"{row.name} on {host} was deleted here", remedy="undefine it there, or leave it out: --skip"
        )


def _add(session: Session, found: AdoptedInstance, host: str) -> InstanceRow:
    row = InstanceRow(
        id=found.id,
        name=found.name,
        position=next_position(session, InstanceRow.position),
        project="default",
        priority=3,
        evacuate=True,
        host=host,
        vm_state=found.vm_state,
        power_state=found.power_state,
        root_disk=found.root_disk,
        last_epoch=found.epoch,
        **found.flavor.model_dump(),
    )
    keep(row, found.stored)
    session.add(row)
    session.flush()
    incarnation = session.get_one(HostRow, host).incarnation
    session.add(ResidenceRow(instance_id=row.id, epoch=found.epoch, host=host, incarnation=incarnation))
    return row


def _follow_here(
    session: Session, row: InstanceRow, found: AdoptedInstance, host: str, every: Sequence[AdoptedHost]
) -> bool:
    """Somebody has migrated it here: it runs with the mark of the guest that may run, and its old host was read in the
    same adoption and has it no more, or is proven off. Raises DuplicateInstanceError."""
    older = unproven_residence(session, row.id)
    if older is None or older.host == host or not _runs_with_mark_of(older, row.id, host, every):
        return False
    there = next((each for each in every if each.name == older.host), None)
    if there is None:
        proof = _evidence(session, row, older)
    elif row.id in _active_on(there):
        proof = None
    else:
        why = f"it was read off for an adoption, and has the guest no more; {host} has it"
        proof = gone_from(older, older.host, why)
    if proof is not None:
        move(session, row, older, to=(host, session.get_one(HostRow, host).incarnation), proof=proof)
    return proof is not None


def _runs_with_mark_of(older: ResidenceRow, instance_id: str, host: str, every: Sequence[AdoptedHost]) -> bool:
    here = next(each for each in every if each.name == host)
    seen = next((each for each in here.capabilities.domains if each.id == instance_id), None)
    return (
        seen is not None
        and seen.active
        and seen.state == "running"
        and has_mark_of(older.epoch, seen.epoch or UNMARKED)
    )


def _active_on(host: AdoptedHost) -> set[str]:
    return {each.id for each in host.capabilities.domains if each.active}


def _move_here(session: Session, allocations: Allocations, row: InstanceRow, found: AdoptedInstance, host: str) -> bool:
    """Somebody brought it up here by hand: allowed only when the place where it was is proven empty."""
    older = unproven_residence(session, row.id)
    if older is not None and older.host != host:
        proof = _evidence(session, row, older)
        if proof is None:
            raise DuplicateInstanceError(
                f"{row.name} ({row.id}) is on {host}, and lives on {older.host}, which nothing proves off",
                remedy=f"undefine the copy that you do not keep, or fence {older.host}; if it was migrated, adopt both "
                f"hosts at once, or say: evacuate instance moved {row.name}",
            )
        older.proof = proof
        session.flush()
    if older is not None and older.host == host:
        return False
    row.last_epoch = max(row.last_epoch + 1, found.epoch)
    row.host, row.task_state, row.fault, row.wanted_vm_state = host, None, None, None
    row.vm_state, row.power_state = found.vm_state, found.power_state
    incarnation = session.get_one(HostRow, host).incarnation
    session.add(ResidenceRow(instance_id=row.id, epoch=row.last_epoch, host=host, incarnation=incarnation))
    allocations.drop(row.id)
    return True


def _evidence(session: Session, row: InstanceRow, older: ResidenceRow) -> Evidence | None:
    """Nothing here can read a host's power: who says that it is off has it read. Raises DuplicateInstanceError."""
    try:
        return usable_evidence(session, older.host, older.incarnation)
    except PowerUnreadError as error:
        raise DuplicateInstanceError(
            f"{row.name} ({row.id}) lives on {older.host}, whose power was not read since it was said to be off",
            remedy=f'say: evacuate host down {older.host} --confirmed-off "who saw it, how"; and adopt at once',
        ) from error


def _follow(row: InstanceRow, found: AdoptedInstance) -> None:
    row.name, row.root_disk = found.name, found.root_disk
    row.vcpus, row.memory_mb, row.disk_gb = found.flavor.vcpus, found.flavor.memory_mb, found.flavor.disk_gb
    keep(row, found.stored)
    if row.task_state in (None, TaskState.POWERING_OFF, TaskState.POWERING_ON) and row.vm_state in FOLLOWED:
        row.vm_state, row.power_state, row.task_state = found.vm_state, found.power_state, None


def _held(session: Session, row: InstanceRow) -> tuple[Any, ...]:
    session.flush()
    ports = [(port.mac, port.network) for port in ports_of(session, row.id)]
    sizes = select(AllocationRow).where(AllocationRow.consumer_id == row.id)
    return (ports, [tuple(each) for each in execute(session, sizes)])


def _hold(session: Session, allocations: Allocations, row: InstanceRow, found: AdoptedInstance, host: str) -> None:
    allocations.resize(row.id, host, row.on_host)
    _place_ports(session, row, found.ports)
    drop_other_bindings(session, row.id, host)
    session.flush()
    bind_ports(session, row.id, host, PortStatus.ACTIVE)


def _place_ports(session: Session, row: InstanceRow, wanted: tuple[AdoptedPort, ...]) -> None:
    known = {port.mac: port for port in ports_of(session, row.id)}
    for mac in known.keys() - {port.mac for port in wanted}:
        session.exec(delete(PortBindingRow).where(col(PortBindingRow.port_id) == known[mac].id))
        session.delete(known[mac])
    for port in wanted:
        if port.mac in known:
            known[port.mac].network = port.network
        else:
            _add_port(session, row, port)
    session.flush()


def _add_port(session: Session, row: InstanceRow, port: AdoptedPort) -> None:
    other = session.exec(select(PortRow).where(PortRow.mac == port.mac)).first()
    if other is not None:
        raise DuplicateInstanceError(
            f"{row.name} has MAC address {port.mac}, which is another port's already ({other.instance_id})",
            remedy="give one of the interfaces another one",
        )
    session.add(
        PortRow(
            id=str(uuid4()),
            position=next_position(session, PortRow.position),
            instance_id=row.id,
            network=port.network,
            mac=port.mac,
        )
    )
    session.flush()
