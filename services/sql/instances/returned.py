"""What a host that comes back has done, as it is recorded: a guest is gone from there, and the host is up."""

from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.errors import StaleAttemptError
from evacuation.model import EvidenceKind, HostState, MigrationStatus, PowerState, VmState
from services.sql.hosts import sightings
from services.sql.hosts.returning import bereft_here
from services.sql.instances.deleting import own_answer
from services.sql.instances.holdings import remove_instance
from services.sql.instances.starting import refuse_boot_before
from services.sql.ledger.cutting import is_being_cut
from services.sql.rows import lock_host, lock_instance, unproven_residence
from services.sql.tables import EvidenceRow, InstanceRow, MigrationRow, utc_now


def record_destroyed(session: Session, guest: m.HostGuest) -> None:
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


def complete_return(session: Session, ref: m.ReturnedHost) -> None:
    host = lock_host(session, ref.host)
    refuse_boot_before(host, ref.incarnation)
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
