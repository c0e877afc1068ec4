"""Starts that a restored ledger has lost and that nobody could see: only the run that was to make one tells of it.

The guest may run, or come yet, where it was to be started. That place becomes its residence, so that nothing of it
starts elsewhere before the place is proven empty."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlmodel import Session, select

from evacuation import messages as m
from evacuation.ledger import StartMark
from evacuation.model import Evidence, PowerState, TaskState
from services.sql.ledger.proofs import gone_from
from services.sql.rows import attempt_of, lock_host, note_boot, open_evacuation, unproven_residence
from services.sql.statements import add, change
from services.sql.tables import AttemptRow, EvacuationRow, HostRow, InstanceRow, ResidenceRow


class _Place(NamedTuple):
    host: str
    incarnation: str | None


def is_lost(row: InstanceRow, residence: ResidenceRow) -> bool:
    """Whether the residence is known by what was written down of its start alone."""
    return residence.proof is None and residence.evacuation_id is None and residence.host != row.host


def expect(session: Session, rows: Iterable[InstanceRow], found: m.Reconcile) -> list[str]:
    """Instances whose guest may run where nobody could look, each with the place. What was seen is settled before."""
    known = [row for row in rows if row.id in found.starts and not row.gone]
    for row in known:
        _prove_what_is_empty(session, row, found)
    by_position = sorted(known, key=lambda row: found.starts[row.id].position)
    return [told for row in by_position for told in _expect(session, row, found.starts[row.id], found)]


def _expect(session: Session, row: InstanceRow, start: StartMark, found: m.Reconcile) -> list[str]:
    residences = session.exec(select(ResidenceRow).where(ResidenceRow.instance_id == row.id)).all()
    attempt = _attempt(session, row, start)
    place = _place(session, start, attempt)
    if (
        place is None
        or _is_seen(row, start, found)
        or start.epoch <= max((each.epoch for each in residences), default=0)
    ):
        return []
    if _is_empty(row, place, found):
        return []
    for each in residences:
        change(session, each, proof=each.proof or _outlived(each, start, place, found.who))
    session.flush()
    residence = ResidenceRow(instance_id=row.id, epoch=start.epoch, host=place.host, incarnation=place.incarnation)
    _take_up(session, row, add(session, residence), attempt, runs=row.id in found.running)
    _note_boot(session, place)
    return [f"{row.name} on {place.host} (epoch {start.epoch})"]


def _attempt(session: Session, row: InstanceRow, start: StartMark) -> AttemptRow | None:
    where = (AttemptRow.instance_id == row.id, AttemptRow.epoch == start.epoch)
    return session.exec(select(AttemptRow).where(*where)).first()


def _place(session: Session, start: StartMark, attempt: AttemptRow | None) -> _Place | None:
    """None: nobody knows, or it is no host of this fleet."""
    if start.host is not None:
        place = _Place(start.host, start.incarnation)
    elif attempt is not None:
        place = _Place(attempt.host, attempt.incarnation)
    else:
        return None
    return place if session.get(HostRow, place.host) is not None else None


def _is_seen(row: InstanceRow, start: StartMark, found: m.Reconcile) -> bool:
    guests = (guest for report in found.reports for guest in report.guests)
    return any(guest.instance_id == row.id and guest.epoch >= start.epoch for guest in guests)


def _is_empty(row: InstanceRow, place: _Place, found: m.Reconcile) -> bool:
    """Its own worker has answered, and nothing of it can come any more: no run waits for its start, or it was meant for
    another boot."""
    answered = next((report for report in found.reports if report.host == place.host), None)
    if answered is None:
        return False
    return row.id not in found.running or place.incarnation not in (None, answered.incarnation)


def _take_up(
    session: Session, row: InstanceRow, residence: ResidenceRow, attempt: AttemptRow | None, *, runs: bool
) -> None:
    """The start of an open attempt that no workflow carries out: whoever adopts it settles it there first."""
    evacuation = open_evacuation(session, row.id)
    if runs or attempt is None or evacuation is None or not _is_current(session, evacuation, attempt):
        return
    change(session, residence, evacuation_id=evacuation.id, attempt=attempt.number)
    change(session, evacuation, phase=m.AttemptPhase.AUTHORIZED)
    change(session, row, task_state=TaskState.REBUILD_SPAWNING, power_state=PowerState.NOSTATE)


def _is_current(session: Session, evacuation: EvacuationRow, attempt: AttemptRow) -> bool:
    return evacuation.phase is m.AttemptPhase.FORWARD and attempt_of(session, evacuation) is attempt


def _note_boot(session: Session, place: _Place) -> None:
    """A start in a boot that the ledger does not know came after the one that it knows: it has to go through its
    return."""
    host = lock_host(session, place.host)
    if host.incarnation is not None and place.incarnation not in (None, host.incarnation):
        note_boot(host, place.incarnation)


def _prove_what_is_empty(session: Session, row: InstanceRow, found: m.Reconcile) -> None:
    """Of an earlier reconciliation, once its host has answered."""
    residence = unproven_residence(session, row.id)
    if residence is None or not is_lost(row, residence):
        return
    here = [guest for report in found.reports if report.host == residence.host for guest in report.guests]
    if not any(guest.instance_id == row.id for guest in here) and _is_empty(
        row, _Place(residence.host, residence.incarnation), found
    ):
        why = "its own worker has answered the reconciliation: nothing of it runs there"
        change(session, residence, proof=gone_from(residence, found.who, why))


def _outlived(older: ResidenceRow, start: StartMark, place: _Place, who: str) -> Evidence:
    why = f"epoch {start.epoch} was to be started on {place.host}, only once this place was proven empty"
    return gone_from(older, who, why)
