"""Hosts that come back, the guests that start on them again, and instances that are deleted."""

from collections.abc import Collection, Sequence

from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.errors import (
    EvacuationRunningError,
    HostIdentityError,
    InstanceChangedError,
    ResidenceNotProvenError,
    StaleAttemptError,
)
from evacuation.model import (
    AttachmentStatus,
    EvidenceKind,
    HostState,
    MigrationStatus,
    PortStatus,
    PowerState,
    VmState,
)
from services.sql import following, in_place, sightings
from services.sql.block_devices import mappings_of
from services.sql.boards import is_replaced
from services.sql.cutting import is_being_cut
from services.sql.database import Database
from services.sql.deleting import own_answer, plan_deletion, record_deleted
from services.sql.evidence import revoked_attachments, usable_evidence
from services.sql.guard import refuse_deleted
from services.sql.holdings import bind_ports, remove_instance
from services.sql.identity import note_refused
from services.sql.ledger import require_asked, require_sound
from services.sql.network import nics_of
from services.sql.reports import record_report, sendable_of
from services.sql.returning import bereft_here, register, wanted_power
from services.sql.rows import lock_host, lock_hosts, lock_instance, note_start, open_evacuation, unproven_residence
from services.sql.tables import (
    AttachmentRow,
    BlockDeviceRow,
    EvidenceRow,
    HostRow,
    InstanceRow,
    MigrationRow,
    ResidenceRow,
    utc_now,
)
from services.sql.taken import bereft_on
from services.sql.volumes import attach, renew


class SqlHosts:
    """The port `HostStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, report: m.HostReport) -> m.ReturnPlan:
        """Who is refused is noted in a transaction of its own: if this dies before, who asks again is refused again."""
        try:
            plan, mark = self._database.write_marked(register, report)
        except HostIdentityError as error:
            self._database.write(note_refused, report, error.message)
            raise
        return plan.model_copy(update={"ledger": mark})

    def record_destroyed(self, guest: m.HostGuest) -> None:
        self._database.write(_record_destroyed, guest)

    def authorize_start(self, guest: m.HostGuest) -> m.AuthorizedStart:
        spec, mark = self._database.write_marked(_authorize_start, guest)
        return m.AuthorizedStart(**dict(spec), ledger=mark)

    def record_started(self, message: m.RecordStarted) -> None:
        self._database.write(_record_started, message)

    def plan_in_place(self, instance_id: str) -> m.InPlacePlan:
        return self._database.read(in_place.plan_in_place, instance_id)

    def authorize_in_place(self, message: m.AuthorizeInPlace) -> m.AuthorizedStart:
        spec, mark = self._database.write_marked(_authorize_in_place, message)
        return m.AuthorizedStart(**dict(spec), ledger=mark)

    def record_in_place(self, message: m.RecordInPlace) -> None:
        self._database.write(in_place.record_in_place, message)

    def record_look(self, instances: Collection[str], reports: Sequence[m.HostReport]) -> None:
        self._database.write(sightings.record_look, instances, reports)

    def plan_follow(self, instance_id: str) -> m.FollowPlan:
        return self._database.read(following.plan_follow, instance_id)

    def follow(self, message: m.FollowInstance) -> None:
        self._database.write(following.follow, message)

    def complete_return(self, host: m.ReturnedHost) -> None:
        self._database.write(_complete_return, host)

    def record_report(self, report: m.HypervisorReport) -> bool:
        return self._database.write(record_report, report)

    def plan_deletion(self, instance_id: str) -> m.DeletionPlan:
        return self._database.write(plan_deletion, instance_id)

    def record_deleted(self, guest: m.HostGuest | None, instance_id: str) -> None:
        self._database.write(record_deleted, guest, instance_id)


def _record_destroyed(session: Session, guest: m.HostGuest) -> None:
    instance = lock_instance(session, guest.instance_id)
    sightings.forget(session, guest.instance_id, guest.host, guest.epoch)
    unproven = unproven_residence(session, guest.instance_id)
    if unproven is not None and unproven.host == guest.host and unproven.epoch <= guest.epoch:
        unproven.proof = own_answer(session, unproven, guest)
        session.flush()
        if unproven.proof is not None:
            _leave(session, instance)
    left = (MigrationRow.instance_id == guest.instance_id, MigrationRow.source == guest.host)
    done = (MigrationRow.status == MigrationStatus.DONE, MigrationRow.source_epoch <= guest.epoch)
    for migration in session.exec(select(MigrationRow).where(*left, *done)).all():
        migration.status, migration.updated_at = MigrationStatus.COMPLETED, utc_now()


def _leave(session: Session, instance: InstanceRow) -> None:
    instance.power_state = PowerState.NOSTATE
    if instance.vm_state is VmState.DELETED:
        remove_instance(session, instance)


def _authorize_start(session: Session, guest: m.HostGuest) -> m.GuestSpec:
    instance = lock_instance(session, guest.instance_id)
    require_asked(session)
    require_sound(session)
    older = unproven_residence(session, instance.id)
    lock_hosts(session, guest.host, *([older.host] if older else []), *sightings.hosts_of(session, instance.id))
    _refuse_start(session, instance, guest)
    sightings.refuse_misplaced(session, instance, but=guest.host, proves=usable_evidence)
    residence = _residence_here(session, instance, guest)
    bind_ports(session, instance.id, guest.host, PortStatus.ACTIVE)
    for mapping in mappings_of(session, instance.id):
        _attach_again(session, mapping, guest)
    session.flush()
    return _spec(session, instance, residence.epoch)


def _refuse_start(session: Session, instance: InstanceRow, guest: m.HostGuest) -> None:
    refuse_deleted(instance)
    running = open_evacuation(session, instance.id)
    if running is not None and running.yielded_to is None:
        raise EvacuationRunningError(f"{instance.name} is being evacuated")
    if instance.host != guest.host:
        raise InstanceChangedError(f"{instance.name} lives on {instance.host}, not on {guest.host}")
    _refuse_boot_before(lock_host(session, guest.host), guest.incarnation)


def _refuse_boot_before(host: HostRow, incarnation: str | None) -> None:
    """Also the last one of a board that was replaced, while the new one is awaited."""
    if host.incarnation != incarnation:
        raise StaleAttemptError(f"{host.name} has booted again since")
    if is_replaced(host, incarnation):
        raise StaleAttemptError(f"{host.name} is another board now")


def _residence_here(session: Session, instance: InstanceRow, guest: m.HostGuest) -> ResidenceRow:
    """The one of this incarnation; or a new one, when every older one is proven."""
    older = unproven_residence(session, instance.id)
    if older is not None and (older.host, older.incarnation) == (guest.host, guest.incarnation):
        _refuse_bereft(session, instance, guest)
        return older
    if older is not None:
        older.proof = usable_evidence(session, older.host, older.incarnation, instance.id)
        if older.proof is None:
            raise ResidenceNotProvenError(f"{instance.name} may run on {older.host} (boot {older.incarnation})")
        instance.power_state = PowerState.NOSTATE
        session.flush()
    instance.last_epoch += 1
    new = ResidenceRow(
        instance_id=instance.id, epoch=instance.last_epoch, host=guest.host, incarnation=guest.incarnation
    )
    session.add(new)
    return new


def _refuse_bereft(session: Session, instance: InstanceRow, guest: m.HostGuest) -> None:
    """What is attached now never reaches a guest whose disks were taken away."""
    if instance.id in bereft_on(session, guest.host, guest.incarnation):
        raise ResidenceNotProvenError(
            f"{instance.name} may run on {guest.host}, and its disks were taken away",
            remedy="it is destroyed there, and started, by the next return of the host",
        )


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
    stored = sendable_of(instance)
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


def _authorize_in_place(session: Session, message: m.AuthorizeInPlace) -> m.GuestSpec:
    residence = in_place.authorize_in_place(session, message)
    instance = lock_instance(session, residence.instance_id)
    for mapping in mappings_of(session, instance.id):
        _attach_again(session, mapping, message.guest)
    session.flush()
    return _spec(session, instance, residence.epoch).model_copy(
        update={"power_state": in_place.POWER[message.vm_state]}
    )


def _record_started(session: Session, message: m.RecordStarted) -> None:
    """A guest that a failed evacuation had left in error is back, and so is its vm_state."""
    guest = message.guest
    instance = lock_instance(session, guest.instance_id)
    residence = unproven_residence(session, guest.instance_id)
    if residence is None or (residence.host, residence.epoch) != (guest.host, guest.epoch) or instance.gone:
        return
    instance.power_state = message.power_state
    note_start(session, residence, message.power_state)
    if instance.vm_state is VmState.ERROR and instance.wanted_vm_state is not None and _is_at_rest(session, instance):
        instance.vm_state, instance.wanted_vm_state, instance.fault = instance.wanted_vm_state, None, None


def _is_at_rest(session: Session, instance: InstanceRow) -> bool:
    """An evacuation that yielded to this host has nothing to say about it any more."""
    running = open_evacuation(session, instance.id)
    return instance.task_state is None or (running is not None and running.yielded_to is not None)


def _complete_return(session: Session, ref: m.ReturnedHost) -> None:
    host = lock_host(session, ref.host)
    _refuse_boot_before(host, ref.incarnation)
    if is_being_cut(session, ref.host):
        raise StaleAttemptError(f"the power of {ref.host} is being cut")
    recorded = (EvidenceRow.host == ref.host, EvidenceRow.incarnation == (ref.incarnation or ""))
    current = (col(EvidenceRow.voided_at).is_(None), EvidenceRow.kind != EvidenceKind.STORAGE_REVOKED)
    if session.exec(select(EvidenceRow).where(*recorded, *current)).first() is not None:
        raise StaleAttemptError(f"{ref.host} was fenced during its return")
    if bereft := bereft_here(session, ref.host, ref.incarnation):
        raise StaleAttemptError(f"disks of {', '.join(bereft)} were taken away during the return of {ref.host}")
    host.state = HostState.UP
    host.memory = ref.memory or host.memory
