"""The guard: which calls of which attempt the store still listens to.

The tables below are the whole rule. A call is accepted when the evacuation is open, its owner is the caller, and
the pair (attempts the call is ahead of the row, phase of the row) is listed; anything else is late.
"""

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from evacuation.errors import InstanceDeletedError, ResidenceNotProvenError, StaleAttemptError
from evacuation.messages import AttemptPhase, AttemptRef
from services.sql.rows import LOCK, lock_instance
from services.sql.statements import change
from services.sql.tables import EvacuationRow, InstanceRow

Locked = tuple[InstanceRow, EvacuationRow]
Found = tuple[InstanceRow, EvacuationRow | None]

_BOTH = (
    select(InstanceRow, EvacuationRow)
    .join(EvacuationRow, col(EvacuationRow.instance_id) == col(InstanceRow.id))
    .where(col(InstanceRow.id) == bindparam("instance_id"), col(EvacuationRow.id) == bindparam("evacuation_id"))
    .with_for_update(**LOCK)
    .execution_options(populate_existing=True)
)

MAY_RUN = (AttemptPhase.AUTHORIZED, AttemptPhase.STARTED)
"""The attempt's guest may run on its destination."""

_UNDO: dict[tuple[int, AttemptPhase], AttemptPhase] = {
    (0, AttemptPhase.FORWARD): AttemptPhase.UNDOING,
    (0, AttemptPhase.UNDOING): AttemptPhase.UNDOING,
    (0, AttemptPhase.UNDONE): AttemptPhase.UNDONE,
    # The attempt's claim never happened, or is still on its way: from here on it is late.
    (1, AttemptPhase.UNDONE): AttemptPhase.UNDOING,
}
"""What a compensation makes of the phase."""


def lock(session: Session, ref: AttemptRef) -> Locked:
    """Instance and evacuation, locked. Raises StaleAttemptError when it is closed, or another run's."""
    instance, evacuation = find(session, ref)
    return instance, _open(ref, evacuation)


def find(session: Session, ref: AttemptRef) -> Found:
    """Instance and evacuation, locked in this order, open or not. Raises InstanceNotFoundError."""
    both = session.exec(_BOTH, params={"instance_id": ref.instance_id, "evacuation_id": ref.evacuation_id}).first()
    if both is not None:
        return both[0], both[1]
    # Never begun; or begun by a transaction that ended while this one waited for the instance.
    instance = lock_instance(session, ref.instance_id)
    return instance, session.get(EvacuationRow, ref.evacuation_id, with_for_update=LOCK)


def _open(ref: AttemptRef, evacuation: EvacuationRow | None) -> EvacuationRow:
    if evacuation is None or evacuation.instance_id != ref.instance_id:
        raise stale(ref, "it never began")
    if evacuation.phase is AttemptPhase.CLOSED:
        raise stale(ref, "it is over")
    if evacuation.owner != ref.owner:
        raise stale(ref, "another run has taken it over")
    return evacuation


def is_closed_by(row: EvacuationRow | None, ref: AttemptRef, outcome: str | None = None) -> bool:
    """By the caller itself: its call comes a second time."""
    if row is None or row.phase is not AttemptPhase.CLOSED or row.owner != ref.owner:
        return False
    return outcome is None or (row.outcome is not None and row.outcome.outcome == outcome)


def lock_forward(session: Session, ref: AttemptRef, *phases: AttemptPhase) -> Locked:
    """For a call that moves the attempt forward. Raises StaleAttemptError, InstanceDeletedError."""
    return require_forward(find(session, ref), ref, *phases)


def require_forward(found: Found, ref: AttemptRef, *phases: AttemptPhase) -> Locked:
    """As `lock_forward`, for what is found and locked already."""
    instance, evacuation = found[0], _open(ref, found[1])
    if evacuation.attempt != ref.attempt or evacuation.phase not in (phases or (AttemptPhase.FORWARD,)):
        raise stale(ref, f"attempt {evacuation.attempt} is {evacuation.phase}")
    refuse_deleted(instance)
    return instance, evacuation


def lock_undo(session: Session, ref: AttemptRef) -> Locked:
    """For a compensation; the first one ends the attempt's time. Raises ResidenceNotProvenError while the
    attempt's guest may run, StaleAttemptError."""
    instance, evacuation = lock(session, ref)
    ahead = ref.attempt - evacuation.attempt
    if ahead == 0 and evacuation.phase in MAY_RUN:
        raise ResidenceNotProvenError(
            f"the guest of attempt {ref.attempt} may run on its destination", remedy="settle it there first"
        )
    phase = _UNDO.get((ahead, evacuation.phase))
    if phase is None:
        raise stale(ref, f"attempt {evacuation.attempt} is {evacuation.phase}")
    change(session, evacuation, attempt=ref.attempt, phase=phase)
    return instance, evacuation


def lock_tear_down(session: Session, ref: AttemptRef) -> Locked:
    """As `lock_undo`, for what takes things away. Stale, too, once the source has the instance again."""
    instance, evacuation = lock_undo(session, ref)
    if evacuation.yielded_to is not None:
        raise stale(ref, "its source came back while it waited")
    return instance, evacuation


def refuse_deleted(instance: InstanceRow) -> None:
    if instance.gone:
        raise InstanceDeletedError(f"instance {instance.name} was deleted")


def stale(ref: AttemptRef, why: str) -> StaleAttemptError:
    return StaleAttemptError(f"attempt {ref.attempt} of evacuation {ref.evacuation_id} acts no more: {why}")
