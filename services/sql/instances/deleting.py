"""The deletion of an instance, whatever else is under way with it."""

from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.errors import EvacuationRunningError
from evacuation.model import Evidence, EvidenceKind, VmState
from services.sql.hosts.boards import is_replaced
from services.sql.instances.holdings import remove_instance
from services.sql.ledger.evidence import usable_evidence
from services.sql.ledger.position import require_sound
from services.sql.rows import lock_instance, open_evacuation, unproven_residence
from services.sql.tables import HostRow, InstanceRow, ResidenceRow, utc_now

NOTHING_TO_DO = m.DeletionPlan(evacuation_running=False, guest=None, hypervisor_uuid=None)


def plan_deletion(session: Session, instance_id: str) -> m.DeletionPlan:
    """Of one that is deleted already, only a guest may remain: its host was silent then."""
    require_sound(session)
    instance = lock_instance(session, instance_id)
    instance.deleting = True
    if open_evacuation(session, instance_id) is not None:
        return m.DeletionPlan(evacuation_running=True, guest=None, hypervisor_uuid=None)
    residence = unproven_residence(session, instance_id)
    if residence is None or usable_evidence(session, residence.host, residence.incarnation, instance_id) is not None:
        return NOTHING_TO_DO
    return _destroy_first(session, residence)


def record_deleted(session: Session, guest: m.HostGuest | None, instance_id: str) -> None:
    """Raises EvacuationRunningError: then the evacuation's own workflow removes the instance."""
    instance = lock_instance(session, instance_id)
    if open_evacuation(session, instance_id) is not None:
        raise EvacuationRunningError(f"{instance.name} is being evacuated")
    residence = unproven_residence(session, instance_id)
    if guest is not None and residence is not None and (residence.host, residence.epoch) == (guest.host, guest.epoch):
        residence.proof = own_answer(session, residence, guest)
        session.flush()
    remove_instance(session, instance)


def release_deleted(session: Session, host: str, instance_id: str) -> None:
    """What a deleted instance still held for the sake of a guest that may have run there, once evidence says that it
    does not."""
    instance = lock_instance(session, instance_id)
    residence = unproven_residence(session, instance_id)
    if instance.vm_state is not VmState.DELETED or residence is None or residence.host != host:
        return
    if usable_evidence(session, host, residence.incarnation, instance_id) is not None:
        remove_instance(session, instance)


def deleted_on(session: Session, host: str) -> tuple[str, ...]:
    """Deleted instances whose guest may still run there."""
    found = select(InstanceRow.id).join(ResidenceRow, col(ResidenceRow.instance_id) == col(InstanceRow.id))
    there = (ResidenceRow.host == host, col(ResidenceRow.proof).is_(None), InstanceRow.vm_state == VmState.DELETED)
    return tuple(session.exec(found.where(*there).order_by(col(InstanceRow.id))).all())


def _destroy_first(session: Session, residence: ResidenceRow) -> m.DeletionPlan:
    host = session.get(HostRow, residence.host)
    if host is None:
        return NOTHING_TO_DO
    guest = m.HostGuest(
        host=host.name,
        incarnation=residence.incarnation or host.incarnation or "",
        instance_id=residence.instance_id,
        epoch=residence.epoch,
    )
    return m.DeletionPlan(evacuation_running=False, guest=guest, hypervisor_uuid=host.hypervisor_uuid)


def own_answer(session: Session, residence: ResidenceRow, guest: m.HostGuest) -> Evidence | None:
    """The host's own answer, as proof. Of a board that was replaced, the one that answers now knows nothing."""
    if is_replaced(session.get(HostRow, residence.host), residence.incarnation):
        return usable_evidence(session, residence.host, residence.incarnation, residence.instance_id)
    return destroyed(guest)


def destroyed(guest: m.HostGuest) -> Evidence:
    """The host's own answer, as proof."""
    return Evidence(
        kind=EvidenceKind.GUEST_GONE,
        host=guest.host,
        incarnation=guest.incarnation or None,
        who=guest.host,
        reason="its hypervisor destroyed the guest and read back that it is gone",
        at=utc_now(),
        scope=guest.instance_id,
    )
