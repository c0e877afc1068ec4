"""What hosts report of themselves and of their guests, and what that means for a placement."""

from collections.abc import Iterable
from typing import Protocol

from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.capabilities import HostCapabilities
from evacuation.errors import EvacuateError, InstanceNotFoundError
from services.hypervisors.libvirt.definition import Definition, parse_definition
from services.hypervisors.libvirt.obstacles import Destination, Obstacle, surely_not
from services.sql.rows import lock_host, lock_instance, open_evacuation
from services.sql.tables import HostRow, InstanceRow


class Rule(Protocol):
    """`why_not` for a pre-flight, `surely_not` for an evacuation."""

    def __call__(
        self, definition: Definition, destination: Destination, *, source: HostCapabilities | None
    ) -> tuple[Obstacle, ...]: ...


def stored_definition(session: Session, instance_id: str) -> m.StoredDefinition:
    instance = session.get(InstanceRow, instance_id)
    if instance is None:
        raise InstanceNotFoundError(f'there is no instance "{instance_id}"', remedy="see: evacuate instance list")
    return stored_of(instance)


def stored_of(instance: InstanceRow) -> m.StoredDefinition:
    return m.StoredDefinition.model_validate({"definition": instance.definition, "signal": instance.guest_signal})


def record_report(session: Session, report: m.HypervisorReport) -> bool:
    """Instances first: every transaction locks in that order."""
    reported = {each.instance_id: each.stored for each in report.guests}
    residents = [row for row in lock_known(session, reported) if _is_followed(session, row, report.host)]
    host = lock_host(session, report.host)
    if host.incarnation != report.incarnation or (host.reported_at is not None and report.at < host.reported_at):
        return False
    changed = [row for row in residents if stored_of(row) != reported[row.id]]
    for row in changed:
        keep(row, reported[row.id])
    if not changed and host.capabilities == report.capabilities and host.reported_at is not None:
        return False
    host.capabilities, host.reported_at = report.capabilities, report.at
    return True


def keep(instance: InstanceRow, stored: m.StoredDefinition) -> None:
    instance.definition, instance.guest_signal = stored.definition, stored.signal


def unable(session: Session, instance: InstanceRow, rule: Rule = surely_not) -> dict[str, str]:
    """Every host that cannot bring up the instance from its definition, with the reasons."""
    if instance.definition is None:
        return {}
    fresh = select(HostRow).order_by(col(HostRow.position)).execution_options(populate_existing=True)
    hosts = session.exec(fresh).all()
    try:
        definition = parse_definition(instance.definition)
    except EvacuateError as error:
        return {host.name: error.line for host in hosts}
    source = next((host.capabilities for host in hosts if host.name == instance.host), None)
    found = {host.name: _reasons(rule, definition, host, source) for host in hosts if host.name != instance.host}
    return {name: reasons for name, reasons in found.items() if reasons}


def _reasons(rule: Rule, definition: Definition, host: HostRow, source: HostCapabilities | None) -> str:
    there = Destination(name=host.name, capabilities=host.capabilities)
    return "; ".join(each.cause for each in rule(definition, there, source=source))


def lock_known(session: Session, ids: Iterable[str]) -> list[InstanceRow]:
    """Those of them that the store has, locked in one order."""
    known = session.exec(select(InstanceRow.id).where(col(InstanceRow.id).in_(list(ids)))).all()
    return [lock_instance(session, each) for each in sorted(known)]


def _is_followed(session: Session, instance: InstanceRow, host: str) -> bool:
    """Adopted with a definition of its own, there, and nobody is taking it elsewhere. Whoever has none is made anew
    on every host, from that host's template."""
    at_home = instance.host == host and not instance.gone and open_evacuation(session, instance.id) is None
    return at_home and instance.definition is not None
