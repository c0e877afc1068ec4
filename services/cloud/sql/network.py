"""Ports and their bindings."""

from sqlmodel import Session, col, select

from evacuation.errors import DestinationUnableError, ObjectGoneError
from evacuation.messages import AttemptRef, Nic
from evacuation.model import PortStatus
from services.sql.database import Database
from services.sql.instances.holdings import bind_ports, drop_other_bindings, ports_of
from services.sql.ledger.guard import lock_forward, lock_undo
from services.sql.tables import HostRow, PortBindingRow, PortRow


class SqlNetwork:
    """The port `Network`. A port is in status BUILD on a destination until the evacuation finishes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def bind(self, ref: AttemptRef, host: str) -> tuple[Nic, ...]:
        try:
            return self._database.write(_bind, ref, host)
        except ObjectGoneError as error:
            raise DestinationUnableError(f"{host} was removed: {error.message}", remedy=error.remedy) from error

    def unbind(self, ref: AttemptRef) -> None:
        self._database.write(_unbind, ref)

    def is_bound(self, instance_id: str, host: str) -> bool:
        return self._database.read(_is_bound, instance_id, host)


def nics_of(session: Session, instance_id: str) -> tuple[Nic, ...]:
    return tuple(Nic(port_id=p.id, network=p.network, mac=p.mac, ip=p.ip or "") for p in ports_of(session, instance_id))


def _bind(session: Session, ref: AttemptRef, host: str) -> tuple[Nic, ...]:
    lock_forward(session, ref)
    bind_ports(session, ref.instance_id, host, PortStatus.BUILD)
    return nics_of(session, ref.instance_id)


def _unbind(session: Session, ref: AttemptRef) -> None:
    """Every other place is proven empty when the guard lets a compensation through."""
    _, evacuation = lock_undo(session, ref)
    if evacuation.yielded_to is not None:
        return
    drop_other_bindings(session, ref.instance_id, evacuation.source)
    if session.get(HostRow, evacuation.source) is not None:
        bind_ports(session, ref.instance_id, evacuation.source, PortStatus.ACTIVE)


def _is_bound(session: Session, instance_id: str, host: str) -> bool:
    mine = select(PortRow.id).where(PortRow.instance_id == instance_id)
    active = (col(PortBindingRow.active).is_(True), col(PortBindingRow.port_id).in_(mine))
    hosts = session.exec(select(PortBindingRow.host).where(*active)).all()
    return len(hosts) == len(session.exec(mine).all()) and set(hosts) <= {host}
