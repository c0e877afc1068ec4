"""Opening an evacuation, or taking over the one that a closed run left open."""

from uuid import uuid4

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.errors import InstanceChangedError, OwnerChangedError
from evacuation.model import TaskState
from services.sql.hosts.sightings import refuse_misplaced
from services.sql.ledger.actions import write_events
from services.sql.ledger.guard import refuse_deleted, stale
from services.sql.ledger.position import require_sound_for
from services.sql.ledger.source import compare_source
from services.sql.rows import attempt_of, destination_of, lock_instance, open_evacuation
from services.sql.statements import add, change, execute
from services.sql.tables import ActionRow, EvacuationRow, InstanceRow, MigrationRow, ResidenceRow

_EPOCHS = (
    select(ResidenceRow.epoch)
    .where(col(ResidenceRow.instance_id) == bindparam("instance_id"), col(ResidenceRow.host) == bindparam("host"))
    .order_by(col(ResidenceRow.epoch).desc())
)


def begin(session: Session, message: m.Begin) -> m.Begun:
    instance = lock_instance(session, message.ref.instance_id)
    require_sound_for(session, instance, message.witnessed)
    running = open_evacuation(session, instance.id)
    if message.adopts is not None:
        evacuation = _adopt(session, message, running)
    else:
        evacuation = _begun_before(session, message, running) or _open(session, message, instance)
    write_events(session, evacuation, message.events)
    return _begun(session, evacuation)


def _adopt(session: Session, message: m.Begin, running: EvacuationRow | None) -> EvacuationRow:
    left = message.adopts
    assert left is not None
    if running is None:
        _refuse_closed(session, message.ref, left.evacuation_id)
    if running is None or running.id != left.evacuation_id or running.owner not in (left.owner, message.ref.owner):
        raise OwnerChangedError("another run wrote this evacuation meanwhile")
    if running.owner != message.ref.owner:
        interrupted = running.phase is m.AttemptPhase.FORWARD
        change(
            session,
            running,
            owner=message.ref.owner,
            phase=m.AttemptPhase.UNDOING if interrupted else running.phase,
            source_incarnation=running.source_incarnation if running.evidence else message.source_incarnation,
        )
    return running


def _begun_before(session: Session, message: m.Begin, running: EvacuationRow | None) -> EvacuationRow | None:
    _refuse_closed(session, message.ref, message.ref.evacuation_id)
    if running is None:
        return None
    if running.id != message.ref.evacuation_id:
        raise OwnerChangedError("another evacuation of this instance is open")
    if running.owner != message.ref.owner:
        raise stale(message.ref, "another run has taken it over")
    return running


def _refuse_closed(session: Session, ref: m.AttemptRef, evacuation_id: str) -> None:
    known = session.get(EvacuationRow, evacuation_id)
    if known is not None and known.phase is m.AttemptPhase.CLOSED and known.owner == ref.owner:
        raise stale(ref, "it is over")


def _open(session: Session, message: m.Begin, instance: InstanceRow) -> EvacuationRow:
    refuse_deleted(instance)
    _compare(instance, message.instance)
    refuse_misplaced(session, instance)
    evidence = compare_source(session, message)
    new = EvacuationRow(
        id=message.ref.evacuation_id,
        instance_id=instance.id,
        owner=message.ref.owner,
        request_id=message.request_id,
        migration_id=str(uuid4()),
        source=message.instance.source,
        source_incarnation=message.source_incarnation,
        evidence=evidence,
        vm_state_before=instance.vm_state,
        task_state_before=instance.task_state,
        wanted=message.instance.wanted,
    )
    evacuation = add(session, new)
    change(session, instance, task_state=TaskState.REBUILDING, last_evacuation_id=evacuation.id)
    add(session, _migration(session, evacuation))
    add(session, ActionRow(evacuation_id=evacuation.id, instance_id=instance.id, request_id=message.request_id))
    return evacuation


def _compare(instance: InstanceRow, read: m.InstanceSnapshot) -> None:
    now = (instance.host, instance.vm_state, instance.task_state, instance.last_evacuation_id)
    if now != (read.source, read.vm_state, read.task_state, read.last_evacuation_id):
        raise InstanceChangedError(
            f"{instance.name} was changed by somebody else after the check", remedy="ask for its evacuation again"
        )


def _migration(session: Session, evacuation: EvacuationRow) -> MigrationRow:
    return MigrationRow(
        id=evacuation.migration_id,
        evacuation_id=evacuation.id,
        instance_id=evacuation.instance_id,
        source=evacuation.source,
        source_epoch=_last_epoch_on(session, evacuation.instance_id, evacuation.source),
    )


def _last_epoch_on(session: Session, instance_id: str, host: str) -> int:
    return execute(session, _EPOCHS, instance_id=instance_id, host=host).scalars().first() or 0


def _begun(session: Session, evacuation: EvacuationRow) -> m.Begun:
    attempt = attempt_of(session, evacuation)
    return m.Begun(
        evacuation_id=evacuation.id,
        attempt=evacuation.attempt,
        phase=evacuation.phase,
        started_at=evacuation.started_at,
        wanted=evacuation.wanted,
        migration_id=evacuation.migration_id,
        destination=destination_of(attempt) if attempt else None,
    )
