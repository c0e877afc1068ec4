"""The deletion of an instance, whatever else is under way with it."""

from sqlmodel import Session

from evacuation import messages as m
from evacuation.errors import EvacuationRunningError
from evacuation.model import Evidence, EvidenceKind
from services.sql.evidence import current_evidence
from services.sql.holdings import remove_instance
from services.sql.rows import lock_instance, open_evacuation, unproven_residence
from services.sql.tables import HostRow, ResidenceRow, utc_now

NOTHING_TO_DO = m.DeletionPlan(evacuation_running=False, guest=None, hypervisor_uuid=None)


def plan_deletion(session: Session, instance_id: str) -> m.DeletionPlan:
    """Of one that is deleted already, only a guest may remain: its host was silent then."""
    instance = lock_instance(session, instance_id)
    instance.deleting = True
    if open_evacuation(session, instance_id) is not None:
        return m.DeletionPlan(evacuation_running=True, guest=None, hypervisor_uuid=None)
    residence = unproven_residence(session, instance_id)
    if residence is None or current_evidence(session, residence.host, residence.incarnation, instance_id) is not None:
        return NOTHING_TO_DO
    return _destroy_first(session, residence)


def record_deleted(session: Session, guest: m.HostGuest | None, instance_id: str) -> None:
    """Raises EvacuationRunningError: then the evacuation's own workflow removes the instance."""
    instance = lock_instance(session, instance_id)
    if open_evacuation(session, instance_id) is not None:
        raise EvacuationRunningError(f"{instance.name} is being evacuated")
    residence = unproven_residence(session, instance_id)
    if guest is not None and residence is not None and (residence.host, residence.epoch) == (guest.host, guest.epoch):
        residence.proof = destroyed(guest)
        session.flush()
    remove_instance(session, instance)


def _destroy_first(session: Session, residence: ResidenceRow) -> m.DeletionPlan:
    host = session.get_one(HostRow, residence.host)
    guest = m.HostGuest(
        host=host.name,
        incarnation=residence.incarnation or host.incarnation or "",
        instance_id=residence.instance_id,
        epoch=residence.epoch,
    )
    return m.DeletionPlan(evacuation_running=False, guest=guest, hypervisor_uuid=host.hypervisor_uuid)


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
