"""What must not start on a host that has lost, in a boot that is known, what it remembered of called-off guests."""

from collections.abc import Iterator

from sqlmodel import Session, col, or_, select

from evacuation import messages as m
from services.sql.rows import open_evacuation
from services.sql.tables import AttemptRow, HostRow, InstanceRow, ResidenceRow

LOST = ""
"""Stands in the host's row until it has come back: whoever dies meanwhile begins again."""


def note_memory(host: HostRow, report: m.HostReport) -> bool:
    """Whether that of this boot is lost. The first in a boot has nothing to forget: calls of before are refused by
    their incarnation. A worker that does not say can bury nothing, and is none that the loss is forgotten by."""
    if report.memory is None:
        return False
    if host.memory is None:
        host.memory = report.memory
    if host.memory != report.memory:
        host.memory = LOST
    return host.memory == LOST


def to_bury(session: Session, report: m.HostReport) -> Iterator[m.GuestKey]:
    """Of everything that was ever given to this boot, but for what may be there by right."""
    running = {(guest.instance_id, guest.epoch) for guest in report.guests}
    for row in _given_here(session, report):
        spared = _spared(session, row, report, running)
        epoch = row.last_epoch if spared is None else spared - 1
        if epoch > 0:
            yield m.GuestKey(instance_id=row.id, name=row.name, epoch=epoch)


def _given_here(session: Session, report: m.HostReport) -> list[InstanceRow]:
    residences = select(ResidenceRow.instance_id).where(
        ResidenceRow.host == report.host,
        or_(ResidenceRow.incarnation == report.incarnation, col(ResidenceRow.incarnation).is_(None)),
    )
    attempts = select(AttemptRow.instance_id).where(
        AttemptRow.host == report.host,
        or_(AttemptRow.incarnation == report.incarnation, col(AttemptRow.incarnation).is_(None)),
    )
    given = or_(col(InstanceRow.id).in_(residences), col(InstanceRow.id).in_(attempts))
    return list(session.exec(select(InstanceRow).where(given).order_by(col(InstanceRow.position))).all())


def _spared(session: Session, row: InstanceRow, report: m.HostReport, running: set[tuple[str, int]]) -> int | None:
    """The epoch of the residence here that nothing has called off: its guest is there, or nobody has to do with it.
    While somebody has, the host may have answered already that the guest cannot come any more."""
    here = (ResidenceRow.host == report.host, ResidenceRow.incarnation == report.incarnation)
    where = (ResidenceRow.instance_id == row.id, col(ResidenceRow.proof).is_(None), *here)
    epoch = session.exec(select(ResidenceRow.epoch).where(*where)).first()
    if epoch is None or row.gone or not ((row.id, epoch) in running or _is_at_rest(session, row)):
        return None
    return epoch


def _is_at_rest(session: Session, row: InstanceRow) -> bool:
    return row.task_state is None and open_evacuation(session, row.id) is None
