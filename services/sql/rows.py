"""Reading and locking rows.

Every transaction locks in one order: instance, evacuation, fleet (the turn of a claim), host. On SQLite the
transaction itself is the lock.
"""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from evacuation.errors import HostNotFoundError, InstanceNotFoundError
from evacuation.messages import AttemptPhase, Destination
from services.sql.tables import AttemptRow, EvacuationRow, HostRow, InstanceRow, MigrationRow, ResidenceRow

# FOR NO KEY UPDATE: foreign keys to the row may be written meanwhile.
LOCK = {"key_share": True}


def lock_instance(session: Session, instance_id: str) -> InstanceRow:
    """Raises InstanceNotFoundError."""
    row = session.get(InstanceRow, instance_id, with_for_update=LOCK)
    if row is None:
        raise InstanceNotFoundError(f'there is no instance "{instance_id}"', remedy="see: evacuate instance list")
    return row


def lock_host(session: Session, name: str) -> HostRow:
    """Raises HostNotFoundError."""
    row = session.get(HostRow, name, with_for_update=LOCK)
    if row is None:
        raise HostNotFoundError(f'there is no host "{name}"', remedy="see: evacuate host list")
    return row


def open_evacuation(session: Session, instance_id: str) -> EvacuationRow | None:
    is_open = (EvacuationRow.instance_id == instance_id, EvacuationRow.phase != AttemptPhase.CLOSED)
    return session.exec(select(EvacuationRow).where(*is_open)).first()


def open_evacuations_from(session: Session, host: str) -> Sequence[EvacuationRow]:
    is_open = (EvacuationRow.source == host, EvacuationRow.phase != AttemptPhase.CLOSED)
    return session.exec(select(EvacuationRow).where(*is_open).order_by(col(EvacuationRow.started_at))).all()


def attempt_of(session: Session, evacuation: EvacuationRow) -> AttemptRow | None:
    """The row of the evacuation's current attempt, if it got as far as a claim."""
    return session.get(AttemptRow, (evacuation.id, evacuation.attempt))


def migration_of(session: Session, evacuation: EvacuationRow) -> MigrationRow:
    row = session.get(MigrationRow, evacuation.migration_id)
    assert row is not None, "every evacuation that began has its migration record"
    return row


def unproven_residence(session: Session, instance_id: str) -> ResidenceRow | None:
    where = (ResidenceRow.instance_id == instance_id, col(ResidenceRow.proof).is_(None))
    return session.exec(select(ResidenceRow).where(*where)).first()


def unproven_on(session: Session, host: str) -> Sequence[ResidenceRow]:
    where = (ResidenceRow.host == host, col(ResidenceRow.proof).is_(None))
    return session.exec(select(ResidenceRow).where(*where)).all()


def destination_of(attempt: AttemptRow) -> Destination:
    return Destination(
        host=attempt.host,
        hypervisor_uuid=attempt.hypervisor_uuid,
        incarnation=attempt.incarnation,
        epoch=attempt.epoch,
    )
