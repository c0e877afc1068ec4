"""Guests that hosts have running where no residence is. Whoever writes what was seen of a host has it locked."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.capabilities import SeenDomain
from evacuation.model import Evidence, PowerState, VmState
from evacuation.sightings import Sighting, misplaced
from services.sql.hosts.boards import is_replaced
from services.sql.ledger.evidence import current_evidence
from services.sql.rows import lock_host
from services.sql.tables import HostRow, InstanceRow, ResidenceRow, SightingRow

Found = Mapping[str, tuple[int, str]]
"""Epoch and state of guests, by instance."""
Proves = Callable[[Session, str, str | None, str | None], Evidence | None]

_OF = select(SightingRow).where(col(SightingRow.instance_id) == bindparam("instance_id"))


def running_in(guests: Iterable[m.GuestState], *, but: Collection[str] = ()) -> Found:
    """Of what a host's worker answers. A paused one may go on at any time."""
    running = (each for each in guests if each.power_state is PowerState.RUNNING and each.instance_id not in but)
    return {each.instance_id: (each.epoch, "paused" if each.paused else "running") for each in running}


def active_in(domains: Iterable[SeenDomain]) -> Found:
    """Of what a host reports."""
    return {each.id: (each.epoch or 0, each.state or "running") for each in domains if each.active}


def note_guests(
    session: Session, host: str, incarnation: str, found: Found, *, about: Collection[str] | None = None
) -> None:
    """That host, in that boot, has these guests and no others; `about`: of these instances. What is where it may be is
    no sighting, and neither is what belongs to no instance."""
    open_to = _astray(session, host, incarnation, found)
    astray = {key: seen for key, seen in found.items() if key in open_to}
    known = {row.instance_id: row for row in _on(session, host) if about is None or row.instance_id in about}
    for instance_id in known.keys() - astray.keys():
        session.delete(known[instance_id])
    for instance_id, (epoch, state) in astray.items():
        row = known.get(instance_id)
        if row is None or (row.incarnation, row.epoch, row.state) != (incarnation, epoch, state):
            said = SightingRow(instance_id=instance_id, host=host, incarnation=incarnation, epoch=epoch, state=state)
            session.merge(said)
    session.flush()


def record_look(session: Session, instances: Collection[str], reports: Sequence[m.HostReport]) -> None:
    about = frozenset(instances)
    known = set(session.exec(select(SightingRow.host).where(col(SightingRow.instance_id).in_(about))).all())
    for report in sorted(reports, key=lambda each: each.host):
        found = {key: seen for key, seen in running_in(report.guests).items() if key in about}
        if not found and report.host not in known:
            continue
        if lock_host(session, report.host).incarnation == report.incarnation:
            note_guests(session, report.host, report.incarnation, found, about=about)


def forget(session: Session, instance_id: str, host: str, epoch: int | None = None) -> None:
    """Nothing of the instance, up to that epoch, is on that host any more."""
    row = session.get(SightingRow, (instance_id, host))
    if row is not None and (epoch is None or row.epoch <= epoch):
        session.delete(row)
        session.flush()


def seen_of(
    session: Session, instance_id: str, *, but: str | None = None, proves: Proves = current_evidence
) -> tuple[Sighting, ...]:
    """Where its guest is, as far as anybody has seen, and no residence is. `but`: the host that sees to its own guests
    itself. What `proves` raises, this raises."""
    rows = session.exec(_OF, params={"instance_id": instance_id}).all()
    return tuple(_value(row) for row in sorted(rows, key=_place) if row.host != but and _counts(session, row, proves))


def hosts_of(session: Session, instance_id: str) -> list[str]:
    """On which it was seen, whether that counts or not."""
    return sorted(row.host for row in session.exec(_OF, params={"instance_id": instance_id}).all())


def everywhere(session: Session, instances: Collection[str] | None = None) -> dict[str, tuple[Sighting, ...]]:
    """By instance, of these or of all, where anything was seen."""
    which = select(SightingRow.instance_id).distinct().order_by(col(SightingRow.instance_id))
    if instances is not None:
        which = which.where(col(SightingRow.instance_id).in_(instances))
    found = {each: seen_of(session, each) for each in session.exec(which).all()}
    return {each: seen for each, seen in found.items() if seen}


def seen_on(session: Session, host: str, incarnation: str | None) -> list[str]:
    """Instances whose guest was seen there, in that boot."""
    return [row.instance_id for row in _on(session, host) if row.incarnation == incarnation]


def refuse_misplaced(
    session: Session, instance: InstanceRow, *, but: str | None = None, proves: Proves = current_evidence
) -> None:
    """Raises InstanceMisplacedError, and what `proves` raises."""
    seen = seen_of(session, instance.id, but=but, proves=proves)
    if seen:
        raise misplaced(instance.name, instance.host, seen)


def _counts(session: Session, row: SightingRow, proves: Proves) -> bool:
    """A newer boot of another board says nothing about the one before."""
    host = session.get(HostRow, row.host)
    is_over = host is None or host.incarnation != row.incarnation
    if is_over and not is_replaced(host, row.incarnation):
        return False
    if _covered(session, row.host, row.incarnation, [row.instance_id]):
        return False
    return proves(session, row.host, row.incarnation, row.instance_id) is None


def _astray(session: Session, host: str, incarnation: str, found: Found) -> set[str]:
    open_to = set(found) - _covered(session, host, incarnation, found)
    living = (col(InstanceRow.deleting).is_(False), InstanceRow.vm_state != VmState.DELETED)
    known = select(InstanceRow.id).where(col(InstanceRow.id).in_(open_to), *living)
    return set(session.exec(known).all()) if open_to else set()


def _covered(session: Session, host: str, incarnation: str, instances: Collection[str]) -> set[str]:
    """Those that may run there: in that boot, or whatever boot of it is the first."""
    there = select(ResidenceRow).where(ResidenceRow.host == host, col(ResidenceRow.proof).is_(None))
    rows = session.exec(there.where(col(ResidenceRow.instance_id).in_(instances))).all() if instances else ()
    return {row.instance_id for row in rows if row.incarnation in (None, incarnation)}


def _on(session: Session, host: str) -> Sequence[SightingRow]:
    return session.exec(select(SightingRow).where(SightingRow.host == host)).all()


def _place(row: SightingRow) -> str:
    return row.host


def _value(row: SightingRow) -> Sighting:
    return Sighting(host=row.host, incarnation=row.incarnation, epoch=row.epoch, state=row.state)
