"""A guest starts on the host that it belongs to: in a return, or because somebody asks for it. It gets a residence in
that boot, its ports and its volumes."""

from sqlmodel import Session

from evacuation import messages as m
from evacuation.errors import (
    EvacuationRunningError,
    InstanceChangedError,
    ResidenceNotProvenError,
    StaleAttemptError,
)
from evacuation.model import AttachmentStatus, PortStatus, PowerState, VmState
from services.cloud.sql.network import nics_of
from services.cloud.sql.volumes import attach, renew
from services.sql.hosts import sightings
from services.sql.hosts.boards import is_replaced
from services.sql.hosts.reports import sendable_of
from services.sql.hosts.returning import wanted_power
from services.sql.instances import in_place
from services.sql.instances.holdings import bind_ports
from services.sql.ledger.block_devices import mappings_of
from services.sql.ledger.evidence import revoked_attachments, usable_evidence
from services.sql.ledger.guard import refuse_deleted
from services.sql.ledger.position import require_asked, require_sound
from services.sql.ledger.taken import bereft_on
from services.sql.rows import lock_host, lock_hosts, lock_instance, note_start, open_evacuation, unproven_residence
from services.sql.tables import AttachmentRow, BlockDeviceRow, HostRow, InstanceRow, ResidenceRow


def authorize_start(session: Session, guest: m.HostGuest) -> m.GuestSpec:
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
    refuse_boot_before(lock_host(session, guest.host), guest.incarnation)


def refuse_boot_before(host: HostRow, incarnation: str | None) -> None:
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


def authorize_in_place(session: Session, message: m.AuthorizeInPlace) -> m.GuestSpec:
    residence = in_place.authorize_in_place(session, message)
    instance = lock_instance(session, residence.instance_id)
    for mapping in mappings_of(session, instance.id):
        _attach_again(session, mapping, message.guest)
    session.flush()
    return _spec(session, instance, residence.epoch).model_copy(
        update={"power_state": in_place.POWER[message.vm_state]}
    )


def record_started(session: Session, message: m.RecordStarted) -> None:
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
