"""What an instance holds: given to one host at the end of an evacuation, or all removed with the instance."""

from collections.abc import Sequence

from sqlmodel import Session, col, delete, select

from evacuation.model import AttachmentStatus, PortStatus, PowerState, VmState, VolumeStatus
from services.sql.evidence import current_evidence
from services.sql.rows import unproven_residence
from services.sql.tables import (
    AllocationRow,
    AttachmentRow,
    BlockDeviceRow,
    InstanceRow,
    MigrationRow,
    PortBindingRow,
    PortRow,
    VolumeRow,
)


def ports_of(session: Session, instance_id: str) -> Sequence[PortRow]:
    return session.exec(select(PortRow).where(PortRow.instance_id == instance_id).order_by(col(PortRow.position))).all()


def bind_ports(session: Session, instance_id: str, host: str, status: PortStatus) -> None:
    """Every port actively on that host. Bindings on other hosts stay, inactive."""
    for port in ports_of(session, instance_id):
        others = select(PortBindingRow).where(PortBindingRow.port_id == port.id, PortBindingRow.host != host)
        for other in session.exec(others).all():
            other.active = False
        session.flush()
        mine = session.get(PortBindingRow, (port.id, host))
        if mine is None:
            session.add(PortBindingRow(port_id=port.id, host=host, active=True, status=status))
        elif not mine.active or status is PortStatus.ACTIVE:
            mine.active, mine.status = True, status


def drop_other_bindings(session: Session, instance_id: str, host: str) -> None:
    mine = select(PortRow.id).where(PortRow.instance_id == instance_id)
    where = (col(PortBindingRow.port_id).in_(mine), col(PortBindingRow.host) != host)
    session.exec(delete(PortBindingRow).where(*where))


def refresh_status(session: Session, volume_id: str) -> None:
    """in-use with a connected attachment, reserved with reserved ones only, else available."""
    session.flush()
    volume = session.get(VolumeRow, volume_id)
    if volume is None:
        return
    statuses = session.exec(select(AttachmentRow.status).where(AttachmentRow.volume_id == volume_id)).all()
    if AttachmentStatus.ATTACHED in statuses:
        volume.status = VolumeStatus.IN_USE
    else:
        volume.status = VolumeStatus.RESERVED if statuses else VolumeStatus.AVAILABLE


def remove_instance(session: Session, instance: InstanceRow) -> None:
    """vm_state deleted; nothing is held any more. A guest that may still run where it was leaves when that host
    returns, unless the host is known to be off."""
    _prove_if_known(session, instance)
    _remove_ports(session, instance.id)
    _remove_volumes(session, instance.id)
    _remove_allocations(session, instance.id)
    instance.vm_state, instance.task_state = VmState.DELETED, None
    instance.power_state, instance.host, instance.deleting = PowerState.NOSTATE, None, True


def _prove_if_known(session: Session, instance: InstanceRow) -> None:
    residence = unproven_residence(session, instance.id)
    if residence is not None:
        residence.proof = current_evidence(session, residence.host, residence.incarnation, instance.id)


def _remove_ports(session: Session, instance_id: str) -> None:
    mine = select(PortRow.id).where(PortRow.instance_id == instance_id)
    session.exec(delete(PortBindingRow).where(col(PortBindingRow.port_id).in_(mine)))
    session.exec(delete(PortRow).where(col(PortRow.instance_id) == instance_id))


def _remove_volumes(session: Session, instance_id: str) -> None:
    held = session.exec(select(AttachmentRow.volume_id).where(AttachmentRow.instance_id == instance_id)).all()
    session.exec(delete(BlockDeviceRow).where(col(BlockDeviceRow.instance_id) == instance_id))
    session.exec(delete(AttachmentRow).where(col(AttachmentRow.instance_id) == instance_id))
    for volume_id in set(held):
        refresh_status(session, volume_id)


def _remove_allocations(session: Session, instance_id: str) -> None:
    migrations = session.exec(select(MigrationRow.id).where(MigrationRow.instance_id == instance_id)).all()
    consumers = [instance_id, *migrations]
    session.exec(delete(AllocationRow).where(col(AllocationRow.consumer_id).in_(consumers)))
