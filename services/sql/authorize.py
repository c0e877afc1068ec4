"""The point of no return: one transaction proves every older residence empty and writes the destination's."""

from collections.abc import Sequence

from sqlalchemy import bindparam
from sqlmodel import Session, col, func, select

from evacuation import messages as m
from evacuation.errors import (
    DestinationBusyError,
    DestinationUnableError,
    EvidenceVoidedError,
    ResidenceNotProvenError,
    SourceReturnedError,
)
from evacuation.model import HostState, TaskState
from services.sql.actions import write_events
from services.sql.evidence import VOIDABLE, current_evidence, was_voided
from services.sql.guard import lock, lock_forward, lock_undo
from services.sql.rows import attempt_of, lock_host
from services.sql.statements import add, change, execute
from services.sql.tables import AttemptRow, EvacuationRow, HostRow, InstanceRow, ResidenceRow

_RESIDENCES = (
    select(ResidenceRow)
    .where(col(ResidenceRow.instance_id) == bindparam("instance_id"))
    .order_by(col(ResidenceRow.epoch))
)
_IS_CURRENT = (col(AttemptRow.number) == col(EvacuationRow.attempt)) & (
    col(AttemptRow.evacuation_id) == col(EvacuationRow.id)
)
_STARTING = (
    select(func.count())
    .select_from(AttemptRow)
    .join(EvacuationRow, _IS_CURRENT)
    .where(
        col(AttemptRow.host) == bindparam("host"),
        EvacuationRow.phase == m.AttemptPhase.AUTHORIZED,
        col(EvacuationRow.id) != bindparam("but"),
    )
)


def authorize_spawn(session: Session, message: m.AuthorizeSpawn) -> m.Authorized:
    instance, evacuation = lock_forward(session, message.ref, m.AttemptPhase.FORWARD, m.AttemptPhase.AUTHORIZED)
    attempt = attempt_of(session, evacuation)
    assert attempt is not None, "a forward attempt has made its claim"
    first_time = evacuation.phase is m.AttemptPhase.FORWARD
    if first_time:
        _refuse_unable(session, evacuation, attempt, message)
    residences = session.exec(_RESIDENCES, params={"instance_id": instance.id}).all()
    if first_time:
        _prove(session, instance, residences)
        add(session, _residence(attempt, message.incarnation))
        change(session, instance, task_state=TaskState.REBUILD_SPAWNING)
        change(session, evacuation, phase=m.AttemptPhase.AUTHORIZED)
    write_events(session, evacuation, message.events)
    proofs = (residence.proof for residence in residences if residence.epoch < attempt.epoch)
    return m.Authorized(epoch=attempt.epoch, evidence=tuple(proof for proof in proofs if proof is not None))


def _prove(session: Session, instance: InstanceRow, residences: Sequence[ResidenceRow]) -> None:
    """Current evidence becomes the proof of each unproven residence. Raises SourceReturnedError when it was voided,
    ResidenceNotProvenError when there is none."""
    for residence in residences:
        proof = residence.proof or current_evidence(session, residence.host, residence.incarnation, instance.id)
        if proof is None:
            raise _unproven(session, instance, residence)
        change(session, residence, proof=proof)


def call_off(session: Session, ref: m.AttemptRef) -> bool:
    """Whether the attempt is authorised; if not, it cannot become so any more."""
    if _is_authorized(session, ref):
        return True
    lock_undo(session, ref)
    return False


def record_guest_gone(session: Session, message: m.RecordGuestGone) -> None:
    """An attempt that never was authorised has nothing to prove, and cannot be authorised any more."""
    _, evacuation = lock(session, message.ref)
    if _is_authorized(session, message.ref):
        _prove_own(session, message)
        change(session, evacuation, phase=m.AttemptPhase.UNDOING)
    lock_undo(session, message.ref)
    write_events(session, evacuation, message.events)


def _is_authorized(session: Session, ref: m.AttemptRef) -> bool:
    _, evacuation = lock(session, ref)
    return (evacuation.attempt, evacuation.phase) == (ref.attempt, m.AttemptPhase.AUTHORIZED)


def _prove_own(session: Session, message: m.RecordGuestGone) -> None:
    attempt = session.get_one(AttemptRow, (message.ref.evacuation_id, message.ref.attempt))
    residence = session.get_one(ResidenceRow, (attempt.instance_id, attempt.epoch))
    if residence.proof is None and message.evidence.kind in VOIDABLE:
        _refuse_voided(session, residence)
    change(session, residence, proof=residence.proof or message.evidence)


def _refuse_voided(session: Session, residence: ResidenceRow) -> None:
    """What was said of a whole host counts only while it is current: its own worker may have answered since."""
    lock_host(session, residence.host)
    if current_evidence(session, residence.host, residence.incarnation) is None:
        raise EvidenceVoidedError(f"{residence.host} was seen alive after its fence: the guest may run there")


def _residence(attempt: AttemptRow, incarnation: str) -> ResidenceRow:
    return ResidenceRow(
        instance_id=attempt.instance_id,
        epoch=attempt.epoch,
        host=attempt.host,
        incarnation=incarnation,
        evacuation_id=attempt.evacuation_id,
        attempt=attempt.number,
    )


def _refuse_unable(session: Session, evacuation: EvacuationRow, attempt: AttemptRow, asked: m.AuthorizeSpawn) -> None:
    """The destination is locked from here on: it cannot go down, or fill up to its cap, before the commit."""
    host = lock_host(session, attempt.host)
    if asked.host != host.name:
        raise DestinationUnableError(f"attempt {attempt.number} goes to {host.name}, not to {asked.host}")
    if host.state is not HostState.UP or not host.enabled:
        raise DestinationUnableError(f"{host.name} is {'down' if host.enabled else 'disabled'}")
    if host.incarnation != asked.incarnation:
        raise DestinationUnableError(f"{host.name} has booted again since it was prepared")
    if _starting_on(session, host, evacuation) >= host.max_evacuations:
        raise DestinationBusyError(f"{host.name} has {host.max_evacuations} evacuations in flight, its most")


def _starting_on(session: Session, host: HostRow, but: EvacuationRow) -> int:
    return execute(session, _STARTING, host=host.name, but=but.id).scalar_one()


def _unproven(
    session: Session, instance: InstanceRow, residence: ResidenceRow
) -> SourceReturnedError | ResidenceNotProvenError:
    place = f"{residence.host} (boot {residence.incarnation or 'unknown'})"
    if was_voided(session, residence.host, residence.incarnation):
        return SourceReturnedError(f"{place} was seen alive after its fence: {instance.name} may run there")
    return ResidenceNotProvenError(
        f"{instance.name} may run on {place}", remedy=f"fence {residence.host}, or confirm it off"
    )
