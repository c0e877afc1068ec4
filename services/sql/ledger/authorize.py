"""The point of no return: one transaction proves every older residence empty and writes the destination's."""

from collections.abc import Sequence

from sqlalchemy import bindparam
from sqlmodel import Session, col, func, select

from evacuation import messages as m
from evacuation.errors import (
    DestinationBusyError,
    DestinationUnableError,
    EvidenceVoidedError,
)
from evacuation.fencing import is_voidable
from evacuation.model import HostState, PowerState, TaskState
from services.sql.hosts.sightings import hosts_of, refuse_misplaced
from services.sql.ledger.actions import write_events
from services.sql.ledger.evidence import usable_evidence
from services.sql.ledger.guard import MAY_RUN, find, is_closed_by, lock, lock_forward, lock_undo, require_forward, stale
from services.sql.ledger.losses import note_loss
from services.sql.ledger.position import require_asked, require_sound
from services.sql.ledger.taken import bereft_on
from services.sql.ledger.unproven import unproven
from services.sql.refused import gone
from services.sql.rows import attempt_of, lock_host, lock_hosts
from services.sql.statements import add, change, execute
from services.sql.tables import IS_OPEN, AttemptRow, EvacuationRow, HostRow, InstanceRow, ResidenceRow

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
        IS_OPEN,
        EvacuationRow.phase == m.AttemptPhase.AUTHORIZED,
        col(EvacuationRow.id) != bindparam("but"),
    )
)


def authorize_spawn(session: Session, message: m.AuthorizeSpawn) -> m.Authorized:
    instance, evacuation = lock_forward(session, message.ref, m.AttemptPhase.FORWARD, m.AttemptPhase.AUTHORIZED)
    attempt = attempt_of(session, evacuation)
    if attempt is None:
        raise gone(f"the record of attempt {evacuation.attempt} is gone")
    first_time = evacuation.phase is m.AttemptPhase.FORWARD
    require_asked(session)
    require_sound(session, *message.witnessed)
    residences = session.exec(_RESIDENCES, params={"instance_id": instance.id}).all()
    if first_time:
        unproven_on = (each.host for each in residences if each.proof is None)
        lock_hosts(session, attempt.host, *unproven_on, *hosts_of(session, instance.id))
        _refuse_unable(session, evacuation, attempt, message)
        refuse_misplaced(session, instance, proves=usable_evidence)
        _prove(session, instance, residences)
        # Last: a full destination is waited for, and what nobody can wait for must not be found out only then.
        _refuse_full(session, evacuation, attempt)
        add(session, _residence(attempt, message.incarnation))
        # Nothing of it runs, until the destination has started it.
        change(session, instance, task_state=TaskState.REBUILD_SPAWNING, power_state=PowerState.NOSTATE)
        change(session, evacuation, phase=m.AttemptPhase.AUTHORIZED)
    write_events(session, evacuation, message.events)
    proofs = (residence.proof for residence in residences if residence.epoch < attempt.epoch)
    return m.Authorized(epoch=attempt.epoch, evidence=tuple(proof for proof in proofs if proof is not None))


def _prove(session: Session, instance: InstanceRow, residences: Sequence[ResidenceRow]) -> None:
    """Current evidence becomes the proof of each unproven residence, whose hosts are locked: nobody voids it before the
    commit. Raises SourceReturnedError or PowerReadsOnError when it was voided, ResidenceNotProvenError when there is
    none, PowerUnreadError."""
    for residence in residences:
        proof = residence.proof or usable_evidence(session, residence.host, residence.incarnation, instance.id)
        if proof is None:
            raise unproven(session, instance.name, residence.host, residence.incarnation)
        change(session, residence, proof=proof)


def record_start(session: Session, ref: m.AttemptRef) -> None:
    """The guest's start is known: from here on the attempt only goes forward, whoever takes it over."""
    found = find(session, ref)
    if is_closed_by(found[1], ref, outcome="recovered"):
        return
    _, evacuation = require_forward(found, ref, *MAY_RUN)
    change(session, evacuation, phase=m.AttemptPhase.STARTED)


def call_off(session: Session, ref: m.AttemptRef) -> bool:
    """Whether the attempt's guest may run; if not, it cannot be authorised any more."""
    if _may_run(lock(session, ref)[1], ref):
        return True
    lock_undo(session, ref)
    return False


def is_bereft(session: Session, ref: m.AttemptRef) -> bool:
    """Whether the attempt's guest may run, and has lost a disk."""
    own = (ResidenceRow.evacuation_id == ref.evacuation_id, ResidenceRow.attempt == ref.attempt)
    residence = session.exec(select(ResidenceRow).where(ResidenceRow.instance_id == ref.instance_id, *own)).first()
    if residence is None or residence.proof is not None:
        return False
    return ref.instance_id in bereft_on(session, residence.host, residence.incarnation)


def record_guest_gone(session: Session, message: m.RecordGuestGone) -> None:
    """An attempt that never was authorised has nothing to prove, and cannot be authorised any more. One whose start
    is recorded is undone for a deletion only."""
    instance, evacuation = lock(session, message.ref)
    if _may_run(evacuation, message.ref):
        if evacuation.phase is m.AttemptPhase.STARTED and not instance.gone:
            raise stale(message.ref, f"{instance.name} has started: it only goes forward")
        _prove_own(session, message)
        if message.begun:
            note_loss(session, attempt_of(session, evacuation), message.evidence)
        change(session, evacuation, phase=m.AttemptPhase.UNDOING)
    lock_undo(session, message.ref)
    write_events(session, evacuation, message.events)


def _may_run(evacuation: EvacuationRow, ref: m.AttemptRef) -> bool:
    return evacuation.attempt == ref.attempt and evacuation.phase in MAY_RUN


def _prove_own(session: Session, message: m.RecordGuestGone) -> None:
    """Where the residence is gone there is nothing to prove any more."""
    ref = message.ref
    own = (ResidenceRow.evacuation_id == ref.evacuation_id, ResidenceRow.attempt == ref.attempt)
    residence = session.exec(select(ResidenceRow).where(ResidenceRow.instance_id == ref.instance_id, *own)).first()
    if residence is None:
        return
    if residence.proof is None and is_voidable(message.evidence):
        _refuse_voided(session, residence)
    change(session, residence, proof=residence.proof or message.evidence)


def _refuse_voided(session: Session, residence: ResidenceRow) -> None:
    """What was said of a whole host counts only while it is current: its own worker may have answered since. Raises
    PowerUnreadError, too."""
    if usable_evidence(session, residence.host, residence.incarnation, residence.instance_id) is None:
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


def _refuse_full(session: Session, evacuation: EvacuationRow, attempt: AttemptRow) -> None:
    host = lock_host(session, attempt.host)
    if _starting_on(session, host, evacuation) >= host.max_evacuations:
        raise DestinationBusyError(
            f"{host.name} has {host.max_evacuations} evacuations in flight, its most",
            remedy="it waits for its turn; see them: evacuate migration list",
        )


def _starting_on(session: Session, host: HostRow, but: EvacuationRow) -> int:
    return execute(session, _STARTING, host=host.name, but=but.id).scalar_one()
