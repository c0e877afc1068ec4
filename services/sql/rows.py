"""Reading and locking rows.

Every transaction locks in one order: instance, evacuation, fleet (the turn of a claim), host. On SQLite the
transaction itself is the lock.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, bindparam
from sqlmodel import Session, col, func, select

from evacuation.errors import AmbiguousNameError, HostNotFoundError, InstanceNotFoundError
from evacuation.messages import Destination, ProbeRequest
from evacuation.model import HostState, PowerState
from evacuation.names import as_id
from services.sql.statements import change, write
from services.sql.tables import (
    IS_OPEN,
    AttemptRow,
    EvacuationRow,
    HostRow,
    InstanceRow,
    MigrationRow,
    ResidenceRow,
    utc_now,
)

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
_OPEN = select(EvacuationRow).where(IS_OPEN, col(EvacuationRow.instance_id) == bindparam("instance_id"))


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


def lock_hosts(session: Session, *names: str) -> None:
    """In one order for all: no two of those who lock several wait for each other. Raises HostNotFoundError."""
    for name in sorted(set(names)):
        lock_host(session, name)


def instance_called(session: Session, name_or_id: str) -> str:
    """The id: first by itself, in any form that a uuid has, and then by the name. Raises InstanceNotFoundError,
    AmbiguousNameError."""
    by_id = select(InstanceRow.id).where(col(InstanceRow.id).in_({name_or_id, as_id(name_or_id) or name_or_id}))
    found = session.exec(by_id).first()
    if found is not None:
        return found
    named = select(InstanceRow.id, InstanceRow.host).where(InstanceRow.name == name_or_id)
    rows = session.exec(named.order_by(col(InstanceRow.position))).all()
    if len(rows) > 1:
        every = ", ".join(f"{each} on {host}" if host else each for each, host in rows)
        raise AmbiguousNameError(
            f'{len(rows)} instances are called "{name_or_id}"', remedy=f"name one by its id: {every}"
        )
    if not rows:
        raise _no_instance(name_or_id)
    return rows[0][0]


def host_called(session: Session, name: str) -> str:
    """The name. Raises HostNotFoundError."""
    if session.get(HostRow, name) is None:
        raise _no_host(name)
    return name


def questions(
    session: Session, *where: ColumnElement[bool] | bool, near: int = 0, most: int | None = None
) -> tuple[ProbeRequest, ...]:
    """To the workers of those hosts, in the order of their positions; the nearest to one of these first, so many."""
    asked = select(HostRow.name, HostRow.hypervisor_uuid).where(*where)
    asked = asked.order_by(func.abs(col(HostRow.position) - near), col(HostRow.position)).limit(most)
    return tuple(ProbeRequest(host=name, hypervisor_uuid=uuid) for name, uuid in session.exec(asked).all())


def hosts_up(session: Session) -> frozenset[str]:
    return frozenset(session.exec(select(HostRow.name).where(HostRow.state == HostState.UP)).all())


def open_evacuation(session: Session, instance_id: str) -> EvacuationRow | None:
    return session.exec(_OPEN, params={"instance_id": instance_id}).first()


def open_evacuations_from(session: Session, host: str) -> Sequence[EvacuationRow]:
    """But for those that yielded to it."""
    held = select(EvacuationRow).where(IS_OPEN, EvacuationRow.source == host, col(EvacuationRow.yielded_to).is_(None))
    return session.exec(held.order_by(col(EvacuationRow.started_at))).all()


def attempt_of(session: Session, evacuation: EvacuationRow) -> AttemptRow | None:
    """The row of the evacuation's current attempt, if it got as far as a claim."""
    return session.get(AttemptRow, (evacuation.id, evacuation.attempt))


def write_migration(session: Session, evacuation: EvacuationRow, **values: object) -> None:
    """A record that somebody removed is done without: `check` names it."""
    write(session, MigrationRow, {"id": evacuation.migration_id}, updated_at=utc_now(), **values)


def unproven_residence(session: Session, instance_id: str) -> ResidenceRow | None:
    where = (ResidenceRow.instance_id == instance_id, col(ResidenceRow.proof).is_(None))
    return session.exec(select(ResidenceRow).where(*where)).first()


def unproven_on(session: Session, host: str) -> Sequence[ResidenceRow]:
    where = (ResidenceRow.host == host, col(ResidenceRow.proof).is_(None))
    return session.exec(select(ResidenceRow).where(*where)).all()


def note_start(session: Session, residence: ResidenceRow, power_state: PowerState) -> None:
    """Its guest runs: from here on it has written to its disks. One that was only defined has not."""
    if power_state is PowerState.RUNNING and residence.started_at is None:
        change(session, residence, started_at=utc_now())


def note_boot(host: HostRow, incarnation: str | None) -> None:
    """Another boot than the one that was known: it serves nothing before it has gone through its return."""
    host.incarnation, host.registered_at, host.state = incarnation, utc_now(), HostState.DOWN
    host.reported_at = host.reported_uptime = host.memory = None


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
