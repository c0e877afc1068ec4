"""Hosts that come back, the guests that start on them again, and instances that are deleted."""

from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.errors import EvacuationRunningError, InstanceChangedError, ResidenceNotProvenError, StaleAttemptError
from evacuation.model import (
    AttachmentStatus,
    EvidenceKind,
    HostState,
    MigrationStatus,
    PortStatus,
    VmState,
)
from services.sql.block_devices import mappings_of
from services.sql.database import Database
from services.sql.deleting import destroyed, plan_deletion, record_deleted
from services.sql.evidence import current_evidence, revoked_attachments
from services.sql.guard import refuse_deleted
from services.sql.holdings import bind_ports
from services.sql.network import nics_of
from services.sql.reports import record_report, stored_of
from services.sql.returning import register, wanted_power
from services.sql.rows import lock_host, lock_instance, open_evacuation, unproven_residence
from services.sql.tables import (
    AttachmentRow,
    BlockDeviceRow,
    EvidenceRow,
    InstanceRow,
    MigrationRow,
    ResidenceRow,
    utc_now,
)
from services.sql.volumes import attach, renew


class SqlHosts:
    """The port `HostStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, report: m.HostReport) -> m.ReturnPlan:
        return self._database.write(register, report)

    def record_destroyed(self, guest: m.HostGuest) -> None:
        self._database.write(_record_destroyed, guest)

    def authorize_start(self, guest: m.HostGuest) -> m.GuestSpec:
        return self._database.write(_authorize_start, guest)

    def record_started(self, message: m.RecordStarted) -> None:
        self._database.write(_record_started, message)

    def complete_return(self, host: m.HostRef) -> None:
        self._database.write(_complete_return, host)

    def record_report(self, report: m.HypervisorReport) -> bool:
        return self._database.write(record_report, report)

    def plan_deletion(self, instance_id: str) -> m.DeletionPlan:
        return self._database.write(plan_deletion, instance_id)

    def record_deleted(self, guest: m.HostGuest | None, instance_id: str) -> None:
        self._database.write(record_deleted, guest, instance_id)


def _record_destroyed(session: Session, guest: m.HostGuest) -> None:
    lock_instance(session, guest.instance_id)
    unproven = unproven_residence(session, guest.instance_id)
    if unproven is not None and unproven.host == guest.host and unproven.epoch <= guest.epoch:
        unproven.proof = destroyed(guest)
    left = (MigrationRow.instance_id == guest.instance_id, MigrationRow.source == guest.host)
    done = (MigrationRow.status == MigrationStatus.DONE, MigrationRow.source_epoch <= guest.epoch)
    for migration in session.exec(select(MigrationRow).where(*left, *done)).all():
        migration.status, migration.updated_at = MigrationStatus.COMPLETED, utc_now()


def _authorize_start(session: Session, guest: m.HostGuest) -> m.GuestSpec:
    instance = lock_instance(session, guest.instance_id)
    _refuse_start(session, instance, guest)
    residence = _residence_here(session, instance, guest)
    bind_ports(session, instance.id, guest.host, PortStatus.ACTIVE)
    for mapping in mappings_of(session, instance.id):
        _attach_again(session, mapping, guest)
    session.flush()
    return _spec(session, instance, residence.epoch)


def _refuse_start(session: Session, instance: InstanceRow, guest: m.HostGuest) -> None:
    refuse_deleted(instance)
    if open_evacuation(session, instance.id) is not None:
        raise EvacuationRunningError(f"{instance.name} is being evacuated")
    if instance.host != guest.host:
        raise InstanceChangedError(f"{instance.name} lives on {instance.host}, not on {guest.host}")
    if lock_host(session, guest.host).incarnation != guest.incarnation:
        raise StaleAttemptError(f"{guest.host} has booted again since")


def _residence_here(session: Session, instance: InstanceRow, guest: m.HostGuest) -> ResidenceRow:
    """The one of this incarnation; or a new one, when every older one is proven."""
    older = unproven_residence(session, instance.id)
    if older is not None and (older.host, older.incarnation) == (guest.host, guest.incarnation):
        return older
    if older is not None:
        older.proof = current_evidence(session, older.host, older.incarnation, instance.id)
        if older.proof is None:
            raise ResidenceNotProvenError(f"{instance.name} may run on {older.host} (boot {older.incarnation})")
        session.flush()
    instance.last_epoch += 1
    new = ResidenceRow(
        instance_id=instance.id, epoch=instance.last_epoch, host=guest.host, incarnation=guest.incarnation
    )
    session.add(new)
    return new


def _attach_again(session: Session, mapping: BlockDeviceRow, guest: m.HostGuest) -> None:
    """By the connector that was saved before the volume was taken away, in this boot of the host."""
    attachment = session.get(AttachmentRow, mapping.attachment_id) if mapping.attachment_id else None
    if attachment is None:
        return
    if attachment.id in revoked_attachments(session, guest.host):
        attachment = renew(session, attachment)
        mapping.attachment_id = attachment.id
    connector = mapping.source_connector or attachment.connector
    if connector is None or connector.host != guest.host:
        connector = m.Connector(host=guest.host, incarnation=guest.incarnation)
    connector = connector.model_copy(update={"incarnation": guest.incarnation})
    if (attachment.status, attachment.connector) != (AttachmentStatus.ATTACHED, connector):
        attach(session, attachment, connector)
    mapping.source_connector = None


def _spec(session: Session, instance: InstanceRow, epoch: int) -> m.GuestSpec:
    stored = stored_of(instance)
    return m.GuestSpec(
        instance_id=instance.id,
        name=instance.name,
        epoch=epoch,
        flavor=instance.flavor,
        root_disk=instance.root_disk,
        power_state=wanted_power(instance),
        nics=nics_of(session, instance.id),
        disks=tuple(
            m.GuestDisk(volume_id=row.volume_id, device=row.device, attachment_id=row.attachment_id)
            for row in mappings_of(session, instance.id)
            if row.attachment_id
        ),
        definition=stored.definition,
        signal=stored.signal,
    )


def _record_started(session: Session, message: m.RecordStarted) -> None:
    """A guest that a failed evacuation had left in error is back, and so is its vm_state."""
    guest = message.guest
    instance = lock_instance(session, guest.instance_id)
    residence = unproven_residence(session, guest.instance_id)
    if residence is None or (residence.host, residence.epoch) != (guest.host, guest.epoch) or instance.gone:
        return
    instance.power_state = message.power_state
    if instance.vm_state is VmState.ERROR and instance.wanted_vm_state is not None and instance.task_state is None:
        instance.vm_state, instance.wanted_vm_state, instance.fault = instance.wanted_vm_state, None, None


def _complete_return(session: Session, ref: m.HostRef) -> None:
    host = lock_host(session, ref.host)
    if host.incarnation != ref.incarnation:
        raise StaleAttemptError(f"{ref.host} has booted again since")
    recorded = (EvidenceRow.host == ref.host, EvidenceRow.incarnation == (ref.incarnation or ""))
    current = (col(EvidenceRow.voided_at).is_(None), EvidenceRow.kind != EvidenceKind.STORAGE_REVOKED)
    if session.exec(select(EvidenceRow).where(*recorded, *current)).first() is not None:
        raise StaleAttemptError(f"{ref.host} was fenced during its return")
    host.state = HostState.UP
