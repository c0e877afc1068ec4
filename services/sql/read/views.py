"""Read models of the store, in the order of creation."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from evacuation import views as v
from evacuation.messages import AttemptPhase
from evacuation.model import Candidate, EvidenceKind, PowerState, TaskState, VmState
from evacuation.sightings import Sighting
from services.sql.database import Database
from services.sql.hosts.boards import boards_of
from services.sql.hosts.onlookers import alarms
from services.sql.hosts.sightings import everywhere
from services.sql.instances.residences import residences
from services.sql.ledger.candidates import IS_CURRENT_ATTEMPT, as_candidates, every_host, named_hosts
from services.sql.ledger.whereabouts import somewhere
from services.sql.rows import host_called, hosts_up, instance_called
from services.sql.tables import (
    IS_OPEN,
    ActionEventRow,
    ActionRow,
    AllocationRow,
    AttachmentRow,
    AttemptRow,
    EvacuationRow,
    EvidenceRow,
    InstanceRow,
    MigrationRow,
    PortBindingRow,
    PortRow,
    VolumeRow,
)

if TYPE_CHECKING:
    from evacuation.invariants import Rows
    from evacuation.preflight import Preflight


class SqlViews:
    """What the read commands print; each list is from one moment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hosts(self) -> tuple[v.HostView, ...]:
        return self._database.read(_hosts)

    def host(self, name: str) -> v.HostView:
        """Raises HostNotFoundError."""
        return self._database.read(_one_host, name)

    def hosts_up(self) -> frozenset[str]:
        """Their names."""
        return self._database.read(hosts_up)

    def instances(self, host: str | None = None) -> tuple[v.InstanceView, ...]:
        """All of them, or those of one host."""
        return self._database.read(_instances, host)

    def instance(self, name_or_id: str) -> v.InstanceView:
        """Raises InstanceNotFoundError."""
        return self._database.read(_one_instance, name_or_id)

    def migrations(self) -> tuple[v.MigrationView, ...]:
        return self._database.read(_migrations)

    def actions(self, instance_id: str) -> tuple[v.ActionView, ...]:
        return self._database.read(_actions, instance_id)

    def allocations(self) -> tuple[v.AllocationView, ...]:
        return self._database.read(_allocations)

    def ports(self) -> tuple[v.PortView, ...]:
        return self._database.read(_ports)

    def volumes(self) -> tuple[v.VolumeView, ...]:
        return self._database.read(_volumes)

    def residences(self) -> tuple[v.ResidenceView, ...]:
        return self._database.read(residences)

    def evacuations(self) -> tuple[v.EvacuationView, ...]:
        return self._database.read(_evacuations)

    def open_evacuations(self) -> tuple[v.EvacuationView, ...]:
        return self._database.read(_evacuations, IS_OPEN)

    def evacuations_of(self, instance_id: str) -> tuple[v.EvacuationView, ...]:
        return self._database.read(_evacuations, col(EvacuationRow.instance_id) == instance_id)

    def evacuation(self, evacuation_id: str) -> v.EvacuationView | None:
        found = self._database.read(_evacuations, col(EvacuationRow.id) == evacuation_id)
        return found[0] if found else None

    def preflight(self, host: str) -> "tuple[Preflight, ...]":
        """Of every instance on the host."""
        from services.sql.hosts.preflight import preflight

        return self._database.read(preflight, host)

    def notes(self, host: str) -> tuple[str, ...]:
        """What is to be known of a host by its own report, a line each. Raises HostNotFoundError."""
        from services.sql.hosts.preflight import notes

        return self._database.read(notes, host)

    def everything(self) -> "Rows":
        """All of it, from one moment."""
        from services.sql.read import picture

        return self._database.read(picture.everything)

    def resolve_instance(self, name_or_id: str) -> str:
        """The id. Raises InstanceNotFoundError."""
        return self._database.read(instance_called, name_or_id)

    def resolve_host(self, name: str) -> str:
        """The name. Raises HostNotFoundError."""
        return self._database.read(host_called, name)


def _hosts(session: Session) -> tuple[v.HostView, ...]:
    return _host_views(session, every_host(session))


def _one_host(session: Session, name: str) -> v.HostView:
    return _host_views(session, named_hosts(session, [host_called(session, name)]))[0]


def _host_views(session: Session, rows: Sequence[Any]) -> tuple[v.HostView, ...]:
    about_hosts = (col(EvidenceRow.voided_at).is_(None), EvidenceRow.kind != EvidenceKind.STORAGE_REVOKED)
    current = select(EvidenceRow.host, EvidenceRow.incarnation).where(*about_hosts)
    fenced = set(session.exec(current).all())
    pairs = zip(as_candidates(session, rows), rows, strict=True)
    names = [row.name for row in rows]
    boards, raised = boards_of(session, names), alarms(session, names)
    views = (_host(candidate, row, fenced, boards[row.name]) for candidate, row in pairs)
    return tuple(each.model_copy(update={"alarm": raised.get((each.name, each.incarnation or ""))}) for each in views)


def _host(candidate: Candidate, row: Any, fenced: set[tuple[str, str]], boards: dict[str, Any]) -> v.HostView:
    sizes = candidate.model_dump(include=set(v.HostView.model_fields) - {"name", "enabled", "traits"})
    return v.HostView(
        **sizes,
        name=row.name,
        state=row.state,
        enabled=row.enabled,
        fenced=(row.name, row.incarnation or "") in fenced,
        traits=tuple(row.traits),
        incarnation=row.incarnation,
        hypervisor_uuid=row.hypervisor_uuid,
        reported_at=row.reported_at,
        **boards,
    )


def _instances(session: Session, host: str | None = None) -> tuple[v.InstanceView, ...]:
    there = () if host is None else (InstanceRow.host == host,)
    rows = session.exec(select(InstanceRow).where(*there).order_by(col(InstanceRow.position))).all()
    alive = somewhere(session, None if host is None else [row.id for row in rows])
    seen = everywhere(session, None if host is None else [row.id for row in rows])
    return tuple(_instance(row, alive=row.id in alive, seen=seen.get(row.id, ())) for row in rows)


def _one_instance(session: Session, name_or_id: str) -> v.InstanceView:
    row = session.get_one(InstanceRow, instance_called(session, name_or_id))
    seen = everywhere(session, [row.id]).get(row.id, ())
    return _instance(row, alive=bool(somewhere(session, [row.id])), seen=seen)


def _instance(row: InstanceRow, *, alive: bool, seen: tuple[Sighting, ...]) -> v.InstanceView:
    """One that is marked for deletion shows that as its task, unless an evacuation has it in hand. Of one that is
    proven not to run anywhere, the power state that was recorded last is over."""
    shown = row.model_dump(include=set(v.InstanceView.model_fields))
    if not alive:
        shown["power_state"] = PowerState.NOSTATE
    if row.deleting and row.vm_state is not VmState.DELETED:
        shown["task_state"] = row.task_state or TaskState.DELETING
    return v.InstanceView(**shown, epoch=row.last_epoch, seen_elsewhere=seen)


def _migrations(session: Session) -> tuple[v.MigrationView, ...]:
    rows = session.exec(select(MigrationRow).order_by(col(MigrationRow.created_at), col(MigrationRow.id))).all()
    return tuple(v.MigrationView(**row.model_dump()) for row in rows)


def _actions(session: Session, instance_id: str) -> tuple[v.ActionView, ...]:
    mine = select(ActionRow).where(ActionRow.instance_id == instance_id).order_by(col(ActionRow.started_at))
    events = _events(session, instance_id)
    return tuple(
        v.ActionView(
            action=row.action,
            request_id=row.request_id,
            evacuation_id=row.evacuation_id,
            events=tuple(events[row.evacuation_id]),
        )
        for row in session.exec(mine).all()
    )


def _events(session: Session, instance_id: str) -> Mapping[str, list[v.EventView]]:
    """By evacuation."""
    mine = select(ActionRow.evacuation_id).where(ActionRow.instance_id == instance_id)
    events = select(ActionEventRow).where(col(ActionEventRow.evacuation_id).in_(mine))
    found: defaultdict[str, list[v.EventView]] = defaultdict(list)
    for row in session.exec(events.order_by(col(ActionEventRow.started_at), col(ActionEventRow.id))).all():
        found[row.evacuation_id].append(v.EventView(**row.model_dump()))
    return found


def _allocations(session: Session) -> tuple[v.AllocationView, ...]:
    rows = session.exec(select(AllocationRow).order_by(col(AllocationRow.id))).all()
    return tuple(v.AllocationView(**row.model_dump()) for row in rows)


def _ports(session: Session) -> tuple[v.PortView, ...]:
    active = select(PortBindingRow).where(col(PortBindingRow.active).is_(True))
    bindings = {row.port_id: row for row in session.exec(active).all()}
    rows = session.exec(select(PortRow).order_by(col(PortRow.position))).all()
    return tuple(_port(row, bindings.get(row.id)) for row in rows)


def _port(row: PortRow, binding: PortBindingRow | None) -> v.PortView:
    return v.PortView(
        id=row.id,
        instance_id=row.instance_id,
        host=binding.host if binding else None,
        mac=row.mac,
        ip=row.ip,
        status=binding.status if binding else "DOWN",
    )


def _volumes(session: Session) -> tuple[v.VolumeView, ...]:
    attachments: dict[str, list[v.AttachmentView]] = {}
    for row in session.exec(select(AttachmentRow).order_by(col(AttachmentRow.position))).all():
        attachments.setdefault(row.volume_id, []).append(_attachment(row))
    rows = session.exec(select(VolumeRow).order_by(col(VolumeRow.position))).all()
    return tuple(
        v.VolumeView(id=row.id, name=row.name, status=row.status, attachments=tuple(attachments.get(row.id, ())))
        for row in rows
    )


def _attachment(row: AttachmentRow) -> v.AttachmentView:
    host = row.connector.host if row.connector else None
    return v.AttachmentView(id=row.id, instance_id=row.instance_id, host=host, status=row.status)


def _evacuations(session: Session, *which: ColumnElement[bool]) -> tuple[v.EvacuationView, ...]:
    found = (
        select(EvacuationRow, InstanceRow.name, AttemptRow.host)
        .join(InstanceRow, col(InstanceRow.id) == col(EvacuationRow.instance_id))
        .outerjoin(AttemptRow, IS_CURRENT_ATTEMPT)
        .where(*which)
        .order_by(col(EvacuationRow.started_at), col(EvacuationRow.id))
    )
    return tuple(_evacuation(row, instance, host) for row, instance, host in session.exec(found).all())


def _evacuation(row: EvacuationRow, instance: str, destination: str | None) -> v.EvacuationView:
    return v.EvacuationView(
        **row.model_dump(include={"id", "instance_id", "source", "attempt", "phase", "outcome"}),
        instance=instance,
        destination=destination,
        open=row.phase is not AttemptPhase.CLOSED,
        holds_source=_holds_source(row),
    )


def _holds_source(row: EvacuationRow) -> bool:
    yields = row.waits and row.phase is AttemptPhase.UNDONE
    return row.phase is not AttemptPhase.CLOSED and row.yielded_to is None and not yields
