"""Read models of the store, in the order of creation."""

from collections.abc import Iterable

from sqlmodel import Session, col, select

from evacuation import views as v
from evacuation.invariants import Rows, SeenBinding, SeenMapping
from evacuation.messages import AttemptPhase
from evacuation.model import Candidate, Evidence, EvidenceKind, TaskState, VmState
from evacuation.preflight import Preflight
from services.sql.database import Database
from services.sql.facts import all_hosts, candidates
from services.sql.preflight import preflight
from services.sql.rows import attempt_of, host_called, instance_called
from services.sql.tables import (
    ActionEventRow,
    ActionRow,
    AllocationRow,
    AttachmentRow,
    BlockDeviceRow,
    EvacuationRow,
    EvidenceRow,
    HostRow,
    InstanceRow,
    MigrationRow,
    PortBindingRow,
    PortRow,
    ResidenceRow,
    VolumeRow,
)


class SqlViews:
    """What the read commands print; each list is from one moment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hosts(self) -> tuple[v.HostView, ...]:
        return self._database.read(_hosts)

    def instances(self) -> tuple[v.InstanceView, ...]:
        return self._database.read(_instances)

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
        return self._database.read(_residences)

    def evacuations(self) -> tuple[v.EvacuationView, ...]:
        return self._database.read(_evacuations)

    def preflight(self, host: str) -> tuple[Preflight, ...]:
        """Of every instance on the host."""
        return self._database.read(preflight, host)

    def everything(self) -> Rows:
        """All of it, from one moment."""
        return self._database.read(_everything)

    def resolve_instance(self, name_or_id: str) -> str:
        """The id. Raises InstanceNotFoundError."""
        return self._database.read(instance_called, name_or_id)

    def resolve_host(self, name: str) -> str:
        """The name. Raises HostNotFoundError."""
        return self._database.read(host_called, name)


def _everything(session: Session) -> Rows:
    return Rows(
        hosts=_hosts(session),
        instances=_instances(session),
        migrations=_migrations(session),
        allocations=_allocations(session),
        ports=_ports(session),
        volumes=_volumes(session),
        residences=_residences(session),
        evacuations=_evacuations(session),
        inactive_bindings=_inactive_bindings(session),
        mappings=_mappings(session),
        caps=dict(session.exec(select(HostRow.name, HostRow.max_evacuations)).all()),
    )


def _hosts(session: Session) -> tuple[v.HostView, ...]:
    rows = {row.name: row for row in session.exec(select(HostRow)).all()}
    about_hosts = (col(EvidenceRow.voided_at).is_(None), EvidenceRow.kind != EvidenceKind.STORAGE_REVOKED)
    current = select(EvidenceRow.host, EvidenceRow.incarnation).where(*about_hosts)
    fenced = set(session.exec(current).all())
    return tuple(_host(each, rows[each.name], fenced) for each in candidates(session, all_hosts(session)))


def _host(candidate: Candidate, row: HostRow, fenced: set[tuple[str, str]]) -> v.HostView:
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
    )


def _instances(session: Session) -> tuple[v.InstanceView, ...]:
    rows = session.exec(select(InstanceRow).order_by(col(InstanceRow.position))).all()
    return tuple(_instance(row) for row in rows)


def _instance(row: InstanceRow) -> v.InstanceView:
    """One that is marked for deletion shows that as its task, unless an evacuation has it in hand."""
    shown = row.model_dump(include=set(v.InstanceView.model_fields))
    if row.deleting and row.vm_state is not VmState.DELETED:
        shown["task_state"] = row.task_state or TaskState.DELETING
    return v.InstanceView(**shown, epoch=row.last_epoch)


def _migrations(session: Session) -> tuple[v.MigrationView, ...]:
    rows = session.exec(select(MigrationRow).order_by(col(MigrationRow.created_at), col(MigrationRow.id))).all()
    return tuple(v.MigrationView(**row.model_dump()) for row in rows)


def _actions(session: Session, instance_id: str) -> tuple[v.ActionView, ...]:
    rows = session.exec(
        select(ActionRow).where(ActionRow.instance_id == instance_id).order_by(col(ActionRow.started_at))
    ).all()
    return tuple(
        v.ActionView(
            action=row.action,
            request_id=row.request_id,
            evacuation_id=row.evacuation_id,
            events=tuple(_events(session, row.evacuation_id)),
        )
        for row in rows
    )


def _events(session: Session, evacuation_id: str) -> Iterable[v.EventView]:
    events = select(ActionEventRow).where(ActionEventRow.evacuation_id == evacuation_id)
    for row in session.exec(events.order_by(col(ActionEventRow.started_at), col(ActionEventRow.id))).all():
        yield v.EventView(**row.model_dump())


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


def _residences(session: Session) -> tuple[v.ResidenceView, ...]:
    names = _names(session)
    order = (col(ResidenceRow.created_at), col(ResidenceRow.instance_id), col(ResidenceRow.epoch))
    rows = session.exec(select(ResidenceRow).order_by(*order)).all()
    return tuple(
        v.ResidenceView(
            **row.model_dump(include={"instance_id", "host", "incarnation", "epoch"}),
            instance=names[row.instance_id],
            proof=_proof(row.proof) if row.proof else None,
        )
        for row in rows
    )


def _proof(evidence: Evidence) -> str:
    return "; ".join(f"{each.kind}: {each.reason}" for each in (evidence, *evidence.also))


def _evacuations(session: Session) -> tuple[v.EvacuationView, ...]:
    names = _names(session)
    rows = session.exec(select(EvacuationRow).order_by(col(EvacuationRow.started_at), col(EvacuationRow.id))).all()
    return tuple(_evacuation(session, row, names[row.instance_id]) for row in rows)


def _evacuation(session: Session, row: EvacuationRow, instance: str) -> v.EvacuationView:
    attempt = attempt_of(session, row)
    return v.EvacuationView(
        **row.model_dump(include={"id", "instance_id", "source", "attempt", "phase", "outcome"}),
        instance=instance,
        destination=attempt.host if attempt else None,
        open=row.phase is not AttemptPhase.CLOSED,
    )


def _inactive_bindings(session: Session) -> tuple[SeenBinding, ...]:
    inactive = select(PortRow, PortBindingRow).join(PortBindingRow, col(PortBindingRow.port_id) == col(PortRow.id))
    rows = session.exec(inactive.where(col(PortBindingRow.active).is_(False))).all()
    return tuple(SeenBinding(instance_id=port.instance_id, port_id=port.id, host=row.host) for port, row in rows)


def _mappings(session: Session) -> tuple[SeenMapping, ...]:
    rows = session.exec(select(BlockDeviceRow)).all()
    return tuple(SeenMapping(**row.model_dump(include=set(SeenMapping.model_fields))) for row in rows)


def _names(session: Session) -> dict[str, str]:
    return dict(session.exec(select(InstanceRow.id, InstanceRow.name)).all())
