"""A ledger that somebody has seen further on, or that is another one, learns from the hosts what it has lost.

What runs is the truth: in the ledger as it was, no guest of an epoch started before every older place was proven
empty."""

from collections.abc import Iterable, Mapping, Sequence

from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.ledger import LedgerMark, StartMark
from evacuation.model import Evidence, MigrationStatus, PowerState, VmState
from services.cloud.sql.allocations import Allocations
from services.sql.hosts.boards import identity_of
from services.sql.hosts.reports import lock_known
from services.sql.hosts.sightings import note_guests, running_in
from services.sql.ledger.endings import close, settle_on
from services.sql.ledger.evidence import void
from services.sql.ledger.guard import MAY_RUN
from services.sql.ledger.lost_starts import expect, is_lost
from services.sql.ledger.proofs import gone_from
from services.sql.rows import lock_host, note_boot, note_start, open_evacuation, write_migration
from services.sql.statements import change
from services.sql.tables import EvacuationRow, HostRow, InstanceRow, LedgerRow, ResidenceRow, utc_now

Seen = tuple[m.HostReport, m.GuestState]
"""A guest, and the report of its host."""


def reconcile(session: Session, found: m.Reconcile) -> m.Reconciled:
    """Epochs and position are over all that was seen; what runs where the ledger did not know of it lives there from
    now on; nobody doubts the ledger any more. Who answers by the name of a host and is another one was not asked."""
    found = _of_hosts_themselves(session, found)
    guests = _by_instance(found.reports)
    locked = lock_known(session, [*guests, *found.starts])
    raised = [row.name for row in locked if _raise_epoch(session, row, guests.get(row.id, []), found.starts)]
    moved, conflicts = _settle(session, locked, guests, found)
    for report in found.reports:
        _note_boot(session, report)
    awaited = expect(session, locked, found)
    known = {row.id for row in locked}
    unknown = [f"{r.host}: {g.instance_id}" for id, seen in guests.items() if id not in known for r, g in seen]
    return m.Reconciled(
        position=_take_over(session, found),
        moved=tuple(moved),
        raised=tuple(raised),
        conflicts=tuple(conflicts),
        unknown=tuple(unknown),
        not_asked=found.unasked,
        awaited=tuple(awaited),
    )


def _of_hosts_themselves(session: Session, found: m.Reconcile) -> m.Reconcile:
    """Another board knows nothing of what runs on the one that the ledger knows."""
    strangers = tuple(each.host for each in found.reports if _is_another(session.get(HostRow, each.host), each))
    own = tuple(each for each in found.reports if each.host not in strangers)
    return found.model_copy(update={"reports": own, "unasked": (*found.unasked, *strangers)})


def _is_another(host: HostRow | None, report: m.HostReport) -> bool:
    return host is not None and identity_of(host) not in (None, report.identity)


def merge(session: Session, report: m.HostReport) -> None:
    """A host that a reconciliation could not ask is here: what it says is learned now, before anything there is
    destroyed or started."""
    ledger = session.get(LedgerRow, 1)
    if ledger is None or report.host not in ledger.unasked:
        return
    guests = _by_instance([report])
    found = m.Reconcile(reports=(report,), running=frozenset(guests), who=report.host)
    locked = lock_known(session, guests)
    _settle(session, locked, guests, found)
    for row in locked:
        _raise_epoch(session, row, guests[row.id], {})
    # The ledger's row is locked last.
    lock_host(session, report.host)
    ledger.unasked = [each for each in ledger.unasked if each != report.host]


def _by_instance(reports: Iterable[m.HostReport]) -> dict[str, list[Seen]]:
    found: dict[str, list[Seen]] = {}
    for report in reports:
        for guest in report.guests:
            found.setdefault(guest.instance_id, []).append((report, guest))
    return found


def _raise_epoch(session: Session, row: InstanceRow, seen: Sequence[Seen], starts: Mapping[str, StartMark]) -> bool:
    start = starts.get(row.id)
    epochs = [row.last_epoch, *(guest.epoch for _, guest in seen), *([start.epoch] if start else [])]
    grows = max(epochs) > row.last_epoch
    change(session, row, last_epoch=max(epochs))
    return grows


def _settle(
    session: Session, rows: Iterable[InstanceRow], guests: Mapping[str, list[Seen]], found: m.Reconcile
) -> tuple[list[m.FoundElsewhere], list[str]]:
    moved: list[m.FoundElsewhere] = []
    conflicts: list[str] = []
    asked = {report.host for report in found.reports}
    for row in rows:
        here = [(report, guest) for report, guest in guests.get(row.id, []) if not guest.paused]
        running = [report.host for report, guest in here if guest.power_state is PowerState.RUNNING]
        if len(running) > 1:
            conflicts.append(f"{row.name} runs on {' and on '.join(running)}")
        elif here and not row.gone:
            report, guest = max(here, key=lambda seen: seen[1].epoch)
            moved += _settle_one(session, row, report, guest, found, asked)
    return moved, conflicts


def _settle_one(
    session: Session, row: InstanceRow, report: m.HostReport, guest: m.GuestState, found: m.Reconcile, asked: set[str]
) -> list[m.FoundElsewhere]:
    residences = session.exec(select(ResidenceRow).where(ResidenceRow.instance_id == row.id)).all()
    evacuation, before = open_evacuation(session, row.id), row.host
    own = next((each for each in residences if (each.host, each.epoch) == (report.host, guest.epoch)), None)
    if own is None and guest.epoch <= max((each.epoch for each in residences), default=0):
        return []
    if own is not None and not is_lost(row, own) and not _is_left_over(own, evacuation, row.id in found.running):
        return []
    for each in residences:
        if each is not own and each.proof is None:
            each.proof = _outlived(each, report, guest, asked, found.who)
    session.flush()
    is_new = own is None or is_lost(row, own)
    residence = own or ResidenceRow(
        instance_id=row.id, epoch=guest.epoch, host=report.host, incarnation=report.incarnation
    )
    if is_new and evacuation is not None:
        residence.evacuation_id, residence.attempt = evacuation.id, evacuation.attempt
    session.add(residence)
    session.flush()
    _live_there(session, row, residence, guest, evacuation)
    return [m.FoundElsewhere(instance=row.name, source=before, destination=report.host, epoch=guest.epoch)]


def _is_left_over(own: ResidenceRow, evacuation: EvacuationRow | None, runs: bool) -> bool:
    """By an evacuation that nobody carries out any more, though its guest has started."""
    return own.proof is None and evacuation is not None and not runs and evacuation.phase in MAY_RUN


def _outlived(older: ResidenceRow, report: m.HostReport, guest: m.GuestState, asked: set[str], who: str) -> Evidence:
    if older.host in asked and older.host != report.host:
        why = "its own worker has answered the reconciliation: nothing of it runs there"
    else:
        why = f"epoch {guest.epoch} was found on {report.host}: it was started only once this place was proven empty"
    return gone_from(older, who, why)


def _live_there(
    session: Session,
    row: InstanceRow,
    residence: ResidenceRow,
    guest: m.GuestState,
    evacuation: EvacuationRow | None,
) -> None:
    """As the last transaction of an evacuation leaves it."""
    note_start(session, residence, guest.power_state)
    settle_on(session, residence, f"reconciled/{row.id}/{residence.epoch}")
    allocations = Allocations(session)
    allocations.drop(row.id, *([evacuation.migration_id] if evacuation else []), but=residence.host)
    allocations.resize(row.id, residence.host, row.on_host)
    wanted = evacuation.wanted if evacuation else row.wanted_vm_state or row.vm_state
    running = guest.power_state is PowerState.RUNNING
    change(
        session,
        row,
        host=residence.host,
        vm_state=VmState.ACTIVE if running else wanted,
        power_state=guest.power_state,
        task_state=None,
        fault=None,
        wanted_vm_state=None,
    )
    if evacuation is not None:
        _close(session, evacuation, residence)


def _close(session: Session, evacuation: EvacuationRow, residence: ResidenceRow) -> None:
    outcome = m.EvacuationOutcome(
        evacuation_id=evacuation.id,
        instance_id=evacuation.instance_id,
        outcome="recovered",
        source=evacuation.source,
        destination=residence.host,
        reason="its guest was found there when the store was reconciled",
        started_at=evacuation.started_at,
        finished_at=utc_now(),
    )
    write_migration(session, evacuation, destination=residence.host)
    close(session, evacuation, MigrationStatus.DONE, outcome)


def _note_boot(session: Session, report: m.HostReport) -> None:
    """A boot that this ledger does not know goes through its return by itself; one that it took for off answers."""
    if session.get(HostRow, report.host) is None:
        return
    host = lock_host(session, report.host)
    if host.incarnation not in (None, report.incarnation):
        note_boot(host, report.incarnation)
    void(session, report.host, report.incarnation, "its own worker answered the reconciliation")
    note_guests(session, report.host, report.incarnation, running_in(report.guests))


def _take_over(session: Session, found: m.Reconcile) -> int:
    """The position that this transaction leaves at least."""
    session.flush()
    row = session.exec(select(LedgerRow).where(col(LedgerRow.id) == 1).with_for_update()).one()
    marks: list[LedgerMark] = [each.ledger for each in found.reports if each.ledger is not None]
    marks += [*found.starts.values(), *([row.doubt.mark] if row.doubt else [])]
    others = {mark.ledger for mark in marks if mark.ledger != row.ledger}
    row.position = max([row.position, *(mark.position for mark in marks if mark.ledger == row.ledger)]) + 1
    row.replaces = sorted({*row.replaces, *others})
    row.unasked = sorted({*found.unasked})
    row.doubt = None
    return row.position
