"""What an instance holds: given to one host at the end of an evacuation, or all removed with the instance."""

from collections.abc import Sequence

from sqlalchemy import bindparam, update
from sqlmodel import Session, col, delete, select

from evacuation.model import AttachmentStatus, PortStatus, PowerState, VmState, VolumeStatus
from services.cloud.sql.allocations import Allocations
from services.sql.ledger.evidence import usable_evidence
from services.sql.rows import unproven_residence
from services.sql.statements import add, change, execute, table_of
from services.sql.tables import (
    AttachmentRow,
    BlockDeviceRow,
    InstanceRow,
    MigrationRow,
    PortBindingRow,
    PortRow,
    VolumeRow,
)

_PORTS = select(PortRow).where(col(PortRow.instance_id) == bindparam("instance_id")).order_by(col(PortRow.position))
_PORT_IDS = select(PortRow.id).where(col(PortRow.instance_id) == bindparam("of_instance"))
_BINDINGS = select(PortBindingRow).where(col(PortBindingRow.port_id).in_(_PORT_IDS))
_DROP_OTHERS = delete(table_of(PortBindingRow)).where(
    col(PortBindingRow.port_id).in_(_PORT_IDS), col(PortBindingRow.host) != bindparam("but_host")
)
_STATUSES = select(AttachmentRow.status).where(col(AttachmentRow.volume_id) == bindparam("volume_id"))
_SET_STATUS = (
    update(table_of(VolumeRow))
    .where(col(VolumeRow.id) == bindparam("volume_id"), col(VolumeRow.status) != bindparam("new"))
    .values(status=bindparam("new"))
)


def ports_of(session: Session, instance_id: str) -> Sequence[PortRow]:
    return session.exec(_PORTS, params={"instance_id": instance_id}).all()


def bind_ports(session: Session, instance_id: str, host: str, status: PortStatus) -> None:
    """Every port actively on that host. Bindings on other hosts stay, inactive."""
    bindings = session.exec(_BINDINGS, params={"of_instance": instance_id}).all()
    for other in (binding for binding in bindings if binding.host != host):
        change(session, other, active=False)
    mine = {binding.port_id: binding for binding in bindings if binding.host == host}
    for port_id in execute(session, _PORT_IDS, of_instance=instance_id).scalars().all():
        if port_id not in mine:
            add(session, PortBindingRow(port_id=port_id, host=host, active=True, status=status))
        elif not mine[port_id].active or status is PortStatus.ACTIVE:
            change(session, mine[port_id], active=True, status=status)


def drop_other_bindings(session: Session, instance_id: str, host: str) -> None:
    execute(session, _DROP_OTHERS, of_instance=instance_id, but_host=host)


def refresh_status(session: Session, volume_id: str) -> None:
    """in-use with a connected attachment, reserved with reserved ones only, else available."""
    statuses = execute(session, _STATUSES, volume_id=volume_id).scalars().all()
    if AttachmentStatus.ATTACHED in statuses:
        new = VolumeStatus.IN_USE
    else:
        new = VolumeStatus.RESERVED if statuses else VolumeStatus.AVAILABLE
    execute(session, _SET_STATUS, volume_id=volume_id, new=new)


def remove_instance(session: Session, instance: InstanceRow) -> None:
    """vm_state deleted; nothing is held any more, but what a guest may still write to: that stays reserved until the
    guest is proven gone. One that may run where it was leaves when that host returns, unless the host is known to be
    off."""
    _prove_if_known(session, instance)
    _remove_ports(session, instance.id)
    if unproven_residence(session, instance.id) is None:
        _remove_volumes(session, instance.id)
    else:
        _reserve_volumes(session, instance.id)
    _remove_allocations(session, instance.id)
    instance.vm_state, instance.task_state = VmState.DELETED, None
    instance.power_state, instance.host, instance.deleting = PowerState.NOSTATE, None, True


def _prove_if_known(session: Session, instance: InstanceRow) -> None:
    residence = unproven_residence(session, instance.id)
    if residence is not None:
        residence.proof = usable_evidence(session, residence.host, residence.incarnation, instance.id)


def _remove_ports(session: Session, instance_id: str) -> None:
    mine = select(PortRow.id).where(PortRow.instance_id == instance_id)
    session.exec(delete(PortBindingRow).where(col(PortBindingRow.port_id).in_(mine)))
    session.exec(delete(PortRow).where(col(PortRow.instance_id) == instance_id))


def _reserve_volumes(session: Session, instance_id: str) -> None:
    """Where they were attached stays written in them: evidence about those disks is measured by it."""
    held = session.exec(select(AttachmentRow).where(AttachmentRow.instance_id == instance_id)).all()
    for attachment in held:
        change(session, attachment, status=AttachmentStatus.RESERVED)
        refresh_status(session, attachment.volume_id)


def _remove_volumes(session: Session, instance_id: str) -> None:
    held = session.exec(select(AttachmentRow.volume_id).where(AttachmentRow.instance_id == instance_id)).all()
    session.exec(delete(BlockDeviceRow).where(col(BlockDeviceRow.instance_id) == instance_id))
    session.exec(delete(AttachmentRow).where(col(AttachmentRow.instance_id) == instance_id))
    for volume_id in set(held):
        refresh_status(session, volume_id)


def _remove_allocations(session: Session, instance_id: str) -> None:
    migrations = session.exec(select(MigrationRow.id).where(MigrationRow.instance_id == instance_id)).all()
    Allocations(session).drop(instance_id, *migrations)
