"""What hosts report of themselves and of their guests."""

from collections.abc import Iterable

from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.errors import InstanceNotFoundError, MalformedDefinitionError
from evacuation.sizes import require_small, require_travels
from services.sql.hosts.sightings import active_in, note_guests
from services.sql.rows import lock_host, lock_instance, open_evacuation
from services.sql.tables import HostRow, InstanceRow


def stored_definition(session: Session, instance_id: str) -> m.StoredDefinition:
    instance = session.get(InstanceRow, instance_id)
    if instance is None:
        raise InstanceNotFoundError(f'there is no instance "{instance_id}"', remedy="see: evacuate instance list")
    return sendable_of(instance)


def sendable_of(instance: InstanceRow) -> m.StoredDefinition:
    """For a message. Raises MalformedDefinitionError, where Temporal would refuse that and say no more."""
    try:
        require_travels(instance.definition)
    except MalformedDefinitionError as error:
        raise MalformedDefinitionError(f"{instance.name}: {error.message}", remedy=error.remedy) from error
    return stored_of(instance)


def stored_of(instance: InstanceRow) -> m.StoredDefinition:
    return m.StoredDefinition.model_validate({"definition": instance.definition, "signal": instance.guest_signal})


def record_report(session: Session, report: m.HypervisorReport) -> bool:
    """Instances first: every transaction locks in that order. What an older release reports and is too large is left
    out. What runs where no residence is, is noted in any case."""
    reported = {each.instance_id: each.stored for each in report.guests if _is_small(each.stored)}
    residents = [row for row in lock_known(session, reported) if _is_followed(session, row, report.host)]
    host = lock_host(session, report.host)
    if host.incarnation != report.incarnation or _is_late(host, report):
        return False
    note_guests(session, host.name, report.incarnation, active_in(report.capabilities.domains))
    changed = [row for row in residents if stored_of(row) != reported[row.id]]
    for row in changed:
        keep(row, reported[row.id])
    if not changed and host.capabilities == report.capabilities and host.reported_at is not None:
        return False
    host.capabilities, host.reported_at, host.reported_uptime = report.capabilities, report.at, report.uptime
    return True


def _is_small(stored: m.StoredDefinition) -> bool:
    try:
        require_small(stored.definition)
    except MalformedDefinitionError:
        return False
    return True


def _is_late(host: HostRow, report: m.HypervisorReport) -> bool:
    """By the time since the boot, where both say it: a clock that was set back would silence the host until then."""
    if report.uptime is not None and host.reported_uptime is not None:
        return report.uptime < host.reported_uptime
    both_old = report.uptime is None and host.reported_uptime is None
    return both_old and host.reported_at is not None and report.at < host.reported_at


def keep(instance: InstanceRow, stored: m.StoredDefinition) -> None:
    instance.definition, instance.guest_signal = stored.definition, stored.signal


def lock_known(session: Session, ids: Iterable[str]) -> list[InstanceRow]:
    """Those of them that the store has, locked in one order."""
    known = session.exec(select(InstanceRow.id).where(col(InstanceRow.id).in_(list(ids)))).all()
    return [lock_instance(session, each) for each in sorted(known)]


def _is_followed(session: Session, instance: InstanceRow, host: str) -> bool:
    """Adopted with a definition of its own, there, and nobody is taking it elsewhere. Whoever has none is made again
    on every host, from that host's template."""
    at_home = instance.host == host and not instance.gone and open_evacuation(session, instance.id) is None
    return at_home and instance.definition is not None
