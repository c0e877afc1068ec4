"""Destinations that were lost while an instance started there, since its guest was last known to run."""

from collections.abc import Sequence

from sqlalchemy import bindparam
from sqlmodel import Session, col, func, select

from evacuation.errors import FenceDeclinedError
from evacuation.messages import FenceRequest
from evacuation.model import Evidence, EvidenceKind
from evacuation.poison import Loss, Pardon, loss_of, poison_in
from services.sql.rows import lock_instance
from services.sql.statements import change
from services.sql.tables import AttemptRow, EvidenceRow, InstanceRow, ResidenceRow, utc_now

_LAST_START = (
    select(func.max(ResidenceRow.epoch))
    .where(ResidenceRow.instance_id == bindparam("instance_id"), col(ResidenceRow.started_at).is_not(None))
    .scalar_subquery()
)
_LOST = (
    select(AttemptRow)
    .where(
        col(AttemptRow.instance_id) == bindparam("instance_id"),
        col(AttemptRow.lost).is_not(None),
        col(AttemptRow.epoch) > func.coalesce(_LAST_START, 0),
    )
    .order_by(col(AttemptRow.epoch))
)


def losses_of(session: Session, instance_id: str) -> tuple[Loss, ...]:
    return tuple(row.lost for row in _rows(session, instance_id) if row.lost is not None)


def note_loss(session: Session, attempt: AttemptRow | None, evidence: Evidence) -> None:
    """With the proof, in the same transaction: whoever takes the evacuation over knows it, too."""
    if attempt is None or attempt.lost is not None:
        return
    loss = loss_of(evidence, cut=_was_cut(session, evidence))
    if loss is not None:
        change(session, attempt, lost=loss)


def refuse_poison(session: Session, instance: InstanceRow) -> None:
    """Raises PoisonousStartError."""
    error = poison_in(instance.name, losses_of(session, instance.id))
    if error is not None:
        raise error


def refuse_second_cut(session: Session, request: FenceRequest) -> None:
    """However often a person says that it may be tried again: no second host is switched off for the starts of one
    instance. Raises FenceDeclinedError."""
    here = (request.host, request.incarnation)
    cut = [each for each in losses_of(session, request.instance_id) if each.cut]
    before = next((each for each in cut if (each.host, each.incarnation) != here), None)
    if before is not None:
        raise FenceDeclinedError(
            f"{request.host} is not switched off: {before.host} was already, over the start of the same instance",
            remedy=f'confirm it off: evacuate host down {request.host} --confirmed-off "who and how"',
        )


def pardon(session: Session, instance_id: str, *, who: str, said: str) -> tuple[str, ...]:
    """The hosts that were lost, and are held against the instance no more. Again: none."""
    lock_instance(session, instance_id)
    word = Pardon(who=who, said=said, at=utc_now())
    rows = [row for row in _rows(session, instance_id) if row.lost is not None and row.lost.pardon is None]
    for row in rows:
        assert row.lost is not None
        change(session, row, lost=row.lost.model_copy(update={"pardon": word}))
    return tuple(dict.fromkeys(row.host for row in rows))


def _rows(session: Session, instance_id: str) -> Sequence[AttemptRow]:
    return session.exec(_LOST, params={"instance_id": instance_id}).all()


def _was_cut(session: Session, evidence: Evidence) -> bool:
    """By anybody, whatever else proves that boot over: a new one may have come since."""
    where = (EvidenceRow.host == evidence.host, EvidenceRow.incarnation == (evidence.incarnation or ""))
    kind = EvidenceRow.kind == EvidenceKind.POWER_OFF
    return session.exec(select(EvidenceRow.id).where(*where, kind, col(EvidenceRow.cut).is_(True))).first() is not None
