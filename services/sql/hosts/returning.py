"""What a host that comes back has to do before it serves. The rules are the functions `_destroy` to `_start`."""

from collections.abc import Iterable, Sequence

from sqlmodel import Session, col, or_, select

from evacuation import messages as m
from evacuation.epochs import FIRST_EPOCH, has_mark_of
from evacuation.ledger import Witness
from evacuation.model import HostState, MigrationStatus, PowerState, VmState
from services.sql.hosts.burying import note_memory, to_bury
from services.sql.hosts.identity import identify
from services.sql.hosts.sightings import note_guests, running_in
from services.sql.ledger.cutting import is_being_cut
from services.sql.ledger.evidence import name_incarnation, void
from services.sql.ledger.guard import MAY_RUN
from services.sql.ledger.position import require_sound
from services.sql.ledger.reconciling import merge
from services.sql.ledger.source import lock_waiting
from services.sql.ledger.taken import bereft_on
from services.sql.rows import (
    lock_host,
    note_boot,
    open_evacuation,
    open_evacuations_from,
    unproven_on,
    unproven_residence,
)
from services.sql.statements import change
from services.sql.tables import IS_OPEN, EvacuationRow, HostRow, InstanceRow, MigrationRow, ResidenceRow

KEPT = (VmState.ACTIVE, VmState.STOPPED)
DISKS_TAKEN = "its disks were taken away"


def register(session: Session, report: m.HostReport) -> m.ReturnPlan:
    require_sound(session, Witness(who=report.host, mark=report.ledger) if report.ledger else None)
    waiting = lock_waiting(session, report.host)
    merge(session, report)
    host = lock_host(session, report.host)
    identify(session, host, report)
    same_boot = host.incarnation == report.incarnation
    fenced = _note_incarnation(session, host, report)
    lost = note_memory(host, report)
    if fenced:
        host.state = HostState.DOWN
    session.flush()
    if is_being_cut(session, host.name):
        return m.ReturnPlan(held_by=(), being_cut=True, destroy=(), quarantine=(), start=())
    for each in waiting:
        change(session, each, yielded_to=report.incarnation)
    reconciliation = _Reconciliation(session, host, report)
    in_service = same_boot and host.state is HostState.UP and not waiting
    if not lost:
        plan = reconciliation.plan_in_service() if in_service else reconciliation.plan()
    else:
        plan = reconciliation.plan_after_loss() if in_service else reconciliation.plan()
        plan = plan.model_copy(update={"bury": tuple(to_bury(session, report))})
    # Who is paused now, for an evacuation that goes on, writes nothing any more.
    quarantined = {each.instance_id for each in plan.quarantine}
    note_guests(session, host.name, report.incarnation, running_in(report.guests, but=quarantined))
    return plan


def _note_incarnation(session: Session, host: HostRow, report: m.HostReport) -> bool:
    """Whether this very boot had been declared off."""
    first = host.incarnation is None
    if first:
        name_incarnation(session, host.name, report.incarnation)
        for residence in unproven_on(session, host.name):
            residence.incarnation = residence.incarnation or report.incarnation
    if host.incarnation != report.incarnation:
        note_boot(host, report.incarnation)
    session.flush()
    return void(session, host.name, report.incarnation, "its own worker answered")


class _Reconciliation:
    """The store's view of one host beside what its hypervisor reports."""

    def __init__(self, session: Session, host: HostRow, report: m.HostReport) -> None:
        self._session = session
        self._host = host.name
        self._incarnation = report.incarnation
        self._reported = {guest.instance_id: guest for guest in report.guests}
        self._residences = self._by_instance()
        self._instances = {row.id: row for row in self._concerned()}
        self._in_flight = self._evacuations()
        self._bereft = bereft_on(session, self._host, self._incarnation)

    def plan(self) -> m.ReturnPlan:
        held = [row.instance_id for row in open_evacuations_from(self._session, self._host)]
        held += [each for each in self._starting_before() if each not in held]
        return m.ReturnPlan(
            held_by=tuple(self._instances[each].name for each in held),
            held_ids=tuple(held),
            destroy=tuple(self._destroy()),
            quarantine=tuple(self._quarantine()),
            start=tuple(self._start()),
        )

    def plan_in_service(self) -> m.ReturnPlan:
        """A worker that starts again on a host that stayed up changes nothing, but for what was deleted meanwhile, and
        for guests without their disks."""
        destroy = tuple(guest for guest in self._destroy() if self._is_over(self._instances[guest.instance_id]))
        start = tuple(guest for guest in self._start() if guest.instance_id in self._bereft)
        return m.ReturnPlan(held_by=(), destroy=destroy, quarantine=(), start=start)

    def _is_over(self, row: InstanceRow) -> bool:
        return row.gone or self._without_disks(row) > 0

    def plan_after_loss(self) -> m.ReturnPlan:
        """A host that stayed up and has forgotten what was called off there: what runs is looked at as if it came back,
        and nothing is started for it but what would be in any case."""
        return self.plan().model_copy(update={"start": self.plan_in_service().start})

    def _destroy(self) -> Iterable[m.GuestKey]:
        """Evacuated from here, deleted, left over, or without its disks; by the old epoch, so that a newer guest is not
        touched."""
        owed = self._owed()
        for row in self._instances.values():
            bereft = self._without_disks(row)
            leftover = 0 if row.id in self._in_flight else self._leftover(row)
            epoch = max(owed.get(row.id, 0), leftover, bereft)
            if epoch:
                yield self._key(row, epoch, DISKS_TAKEN if bereft else m.EVACUATED)

    def _leftover(self, row: InstanceRow) -> int:
        """The epoch of a guest that must not be here any more; 0 if there is none."""
        guest, here = self._reported.get(row.id), self._residences.get(row.id, [])
        unproven = [each.epoch for each in here if each.proof is None]
        if not row.gone and row.host != self._host and self._has_moved_here(row):
            return 0
        if row.gone or row.host != self._host:
            return max([*unproven, _at_least_first(guest) if guest else 0])
        if guest is None or guest.epoch in unproven or _is_taken_over(guest, unproven):
            return 0
        # It belongs here, but what runs has no residence: it was proven gone, or never was allowed.
        return _at_least_first(guest)

    def _without_disks(self, row: InstanceRow) -> int:
        """The epoch of a guest that belongs here and has lost disks; 0 if it has not. Whether or not it is reported: it
        may be gone, and nobody heard that it was destroyed."""
        if row.host != self._host or row.id in self._in_flight or not belongs(row):
            return 0
        return self._bereft.get(row.id, 0)

    def _has_moved_here(self, row: InstanceRow) -> bool:
        """It runs here with the mark of the one guest that may run, elsewhere: somebody has migrated it, and it is the
        only copy."""
        guest, lives = self._reported.get(row.id), unproven_residence(self._session, row.id)
        if guest is None or lives is None or guest.power_state is not PowerState.RUNNING:
            return False
        return lives.host != self._host and has_mark_of(lives.epoch, guest.epoch)

    def _quarantine(self) -> Iterable[m.GuestKey]:
        """But for what an evacuation has started here in this boot: that is its guest."""
        owed, started = self._owed(), self._started_now()
        for row in self._instances.values():
            guest = self._reported.get(row.id)
            if guest is None or row.id not in self._in_flight or (row.id, guest.epoch) in started:
                continue
            if _at_least_first(guest) > owed.get(row.id, 0):
                yield self._key(row, guest.epoch)

    def _start(self) -> Iterable[m.GuestKey]:
        for row in self._instances.values():
            here = self._residences.get(row.id, [])
            if row.host == self._host and row.id not in self._in_flight and belongs(row) and not self._runs(row):
                yield self._key(row, max((each.epoch for each in here), default=0))

    def _runs(self, row: InstanceRow) -> bool:
        """As it should, in this incarnation and by its current residence, and so recorded. What was once evacuated is
        started in any case: it may have been paused since the report, and its volumes and ports taken away. So is
        one that runs and is not recorded: the return before this one died between the two."""
        if row.last_evacuation_id is not None or row.power_state is not wanted_power(row) or row.id in self._bereft:
            return False
        guest = self._reported.get(row.id)
        current = [
            r for r in self._residences.get(row.id, []) if r.proof is None and r.incarnation == self._incarnation
        ]
        if guest is None or guest.paused or guest.epoch not in [residence.epoch for residence in current]:
            return False
        return guest.power_state is wanted_power(row)

    def _key(self, row: InstanceRow, epoch: int, why: str = m.EVACUATED) -> m.GuestKey:
        return m.GuestKey(instance_id=row.id, name=row.name, epoch=epoch, why=why)

    def _by_instance(self) -> dict[str, list[ResidenceRow]]:
        """Of who may run here, and of who belongs here; not of all that ever did."""
        at_home = select(InstanceRow.id).where(InstanceRow.host == self._host)
        counts = or_(col(ResidenceRow.proof).is_(None), col(ResidenceRow.instance_id).in_(at_home))
        rows = self._session.exec(select(ResidenceRow).where(ResidenceRow.host == self._host, counts)).all()
        found: dict[str, list[ResidenceRow]] = {}
        for row in rows:
            found.setdefault(row.instance_id, []).append(row)
        return found

    def _concerned(self) -> Sequence[InstanceRow]:
        ids = col(InstanceRow.id).in_([*self._reported, *self._residences, *self._owed()])
        concerned = select(InstanceRow).where(or_(ids, InstanceRow.host == self._host))
        return self._session.exec(concerned.order_by(col(InstanceRow.position))).all()

    def _evacuations(self) -> frozenset[str]:
        """But for those that yielded to this host: what they were to move is at home again."""
        is_open = select(EvacuationRow.instance_id).where(IS_OPEN)
        return frozenset(self._session.exec(is_open.where(col(EvacuationRow.yielded_to).is_(None))).all())

    def _starting_before(self) -> Sequence[str]:
        """Instances whose start was authorised here in an older boot, and whose evacuation has not ended: once it has,
        they belong here, and are to be started again."""
        return [row.instance_id for row in self._authorised() if row.incarnation != self._incarnation]

    def _started_now(self) -> frozenset[tuple[str, int]]:
        """Instances, and the epochs of their guests, whose start was authorised here in this boot."""
        now = (row for row in self._authorised() if row.incarnation == self._incarnation)
        return frozenset((row.instance_id, row.epoch) for row in now)

    def _authorised(self) -> Sequence[ResidenceRow]:
        """Residences here of evacuations that have not ended."""
        in_flight = (IS_OPEN, col(EvacuationRow.phase).in_(MAY_RUN), ResidenceRow.attempt == EvacuationRow.attempt)
        unproven = (ResidenceRow.host == self._host, col(ResidenceRow.proof).is_(None))
        joined = select(ResidenceRow).join(EvacuationRow, col(EvacuationRow.id) == col(ResidenceRow.evacuation_id))
        return self._session.exec(joined.where(*unproven, *in_flight)).all()

    def _owed(self) -> dict[str, int]:
        """Epochs of the guests that `done` migrations left behind here."""
        left = (MigrationRow.source == self._host, MigrationRow.status == MigrationStatus.DONE)
        rows = self._session.exec(select(MigrationRow).where(*left).order_by(col(MigrationRow.created_at))).all()
        return {row.instance_id: row.source_epoch for row in rows}


def bereft_here(session: Session, host: str, incarnation: str | None) -> Sequence[str]:
    """Names of instances of this host that a return has to wait for, or to start again: the disks of their guests were
    taken away."""
    ids = col(InstanceRow.id).in_(bereft_on(session, host, incarnation))
    rows = session.exec(select(InstanceRow).where(ids, InstanceRow.host == host)).all()
    return sorted(row.name for row in rows if belongs(row) and not _is_held_elsewhere(session, row))


def _is_held_elsewhere(session: Session, row: InstanceRow) -> bool:
    """By an evacuation that this host does not wait for."""
    running = open_evacuation(session, row.id)
    return running is not None and running.yielded_to is None and running.source != row.host


def _at_least_first(guest: m.GuestState) -> int:
    """By which a guest is destroyed. One without an epoch is older than every one that has one, and none the less a
    guest."""
    return max(guest.epoch, FIRST_EPOCH)


def _is_taken_over(guest: m.GuestState, unproven: Sequence[int]) -> bool:
    """Without an epoch, and no other guest's: it was there when the fleet was loaded, or is only defined."""
    return not guest.epoch and (FIRST_EPOCH in unproven or guest.power_state is not PowerState.RUNNING)


def belongs(row: InstanceRow) -> bool:
    """It is to be defined, and may be to run, where it is recorded: also what a failed evacuation left in error."""
    failed = row.vm_state is VmState.ERROR and row.wanted_vm_state is not None
    return not row.gone and (row.vm_state in KEPT or failed)


def wanted_power(row: InstanceRow) -> PowerState:
    state = row.wanted_vm_state if row.vm_state is VmState.ERROR else row.vm_state
    return PowerState.SHUTDOWN if state is VmState.STOPPED else PowerState.RUNNING
