"""Reading and locking rows.

Every transaction locks in one order: instance, evacuation, fleet (the turn of a claim), host. On SQLite the
transaction itself is the lock.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam
from sqlmodel import Session, col, func, select

from evacuation.errors import HostNotFoundError, InstanceNotFoundError
from evacuation.messages import AttemptPhase, Destination
from services.sql.statements import write
from services.sql.tables import AttemptRow, EvacuationRow, HostRow, InstanceRow, MigrationRow, ResidenceRow, utc_now

# FOR NO KEY UPDATE: foreign keys to the row may be written meanwhile.
LOCK: dict[str, Any] = {"key_share": True}

_INSTANCE = (
    select(InstanceRow)
    .where(col(InstanceRow.id) == bindparam("instance_id"))
    .with_for_update(**LOCK)
    .execution_options(populate_existing=True)
)
_HOST = (
    select(HostRow)
    .where(col(HostRow.name) == bindparam("name"))
    .with_for_update(**LOCK)
    .execution_options(populate_existing=True)
)
_OPEN = select(EvacuationRow).where(
    col(EvacuationRow.instance_id) == bindparam("instance_id"), EvacuationRow.phase != AttemptPhase.CLOSED
)


def lock_instance(session: Session, instance_id: str) -> InstanceRow:
    """Raises InstanceNotFoundError."""
    row = session.exec(_INSTANCE, params={"instance_id": instance_id}).first()
    if row is None:
        raise _no_instance(instance_id)
    return row


def lock_host(session: Session, name: str) -> HostRow:
    """Raises HostNotFoundError."""
    row = session.exec(_HOST, params={"name": name}).first()
    if row is None:
        raise _no_host(name)
    return row


def instance_called(session: Session, name_or_id: str) -> str:
    """The id. Raises InstanceNotFoundError."""
    either = (InstanceRow.id == name_or_id) | (InstanceRow.name == name_or_id)
    found = session.exec(select(InstanceRow.id).where(either)).first()
    if found is None:
        raise _no_instance(name_or_id)
    return found


def host_called(session: Session, name: str) -> str:
    """The name. Raises HostNotFoundError."""
    if session.get(HostRow, name) is None:
        raise _no_host(name)
    return name


def open_evacuation(session: Session, instance_id: str) -> EvacuationRow | None:
    return session.exec(_OPEN, params={"instance_id": instance_id}).first()


def open_evacuations_from(session: Session, host: str) -> Sequence[EvacuationRow]:
    is_open = (EvacuationRow.source == host, EvacuationRow.phase != AttemptPhase.CLOSED)
    return session.exec(select(EvacuationRow).where(*is_open).order_by(col(EvacuationRow.started_at))).all()


def attempt_of(session: Session, evacuation: EvacuationRow) -> AttemptRow | None:
    """The row of the evacuation's current attempt, if it got as far as a claim."""
    return session.get(AttemptRow, (evacuation.id, evacuation.attempt))


def write_migration(session: Session, evacuation: EvacuationRow, **values: object) -> None:
    known = write(session, MigrationRow, {"id": evacuation.migration_id}, updated_at=utc_now(), **values)
    assert known, "every evacuation that began has its migration record"


def unproven_residence(session: Session, instance_id: str) -> ResidenceRow | None:
    where = (ResidenceRow.instance_id == instance_id, col(ResidenceRow.proof).is_(None))
    return session.exec(select(ResidenceRow).where(*where)).first()


def unproven_on(session: Session, host: str) -> Sequence[ResidenceRow]:
    where = (ResidenceRow.host == host, col(ResidenceRow.proof).is_(None))
    return session.exec(select(ResidenceRow).where(*where)).all()


def next_position(session: Session, column: int) -> int:
    """Behind every row that there is."""
    return int(session.exec(select(func.coalesce(func.max(column) + 1, 0))).one())


def destination_of(attempt: AttemptRow) -> Destination:
    return Destination(
        host=attempt.host,
        hypervisor_uuid=attempt.hypervisor_uuid,
        incarnation=attempt.incarnation,
        epoch=attempt.epoch,
    )


def _no_instance(asked: str) -> InstanceNotFoundError:
    return InstanceNotFoundError(f'there is no instance "{asked}"', remedy="see: evacuate instance list")


def _no_host(asked: str) -> HostNotFoundError:
    return HostNotFoundError(f'there is no host "{asked}"', remedy="see: evacuate host list")
