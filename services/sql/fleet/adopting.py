"""A fleet that runs already gets into the store; adopted again, what has changed is brought up to date."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from evacuation.adoption import ANY_ADDRESS, Adopted, AdoptedHost, require_adoptable
from evacuation.capabilities import HostCapabilities
from evacuation.errors import NotAdoptableError
from evacuation.fleet import Fleet
from services.cloud.sql.allocations import Allocations
from services.sql.database import Database
from services.sql.fleet.adopting_instances import adopt_instance, left_alone
from services.sql.fleet.loading import fleet_of
from services.sql.hosts.reports import lock_known
from services.sql.ledger.candidates import all_candidates
from services.sql.ledger.evidence import current_evidence
from services.sql.rows import lock_host, next_position
from services.sql.statements import execute
from services.sql.tables import HostRow, InstanceRow, LoadedFleet, NetworkRow

CPU_RATIO = 4.0
"""Of a host whose guests nobody sized for this store: Nova's default for new hosts."""


class SqlAdoption:
    """Takes over hosts and guests that run already: all of them, or nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def adopt(self, hosts: Sequence[AdoptedHost]) -> tuple[Adopted, ...]:
        """All of it, in one transaction; what is in the store and is found to be otherwise is brought up to date.
        Raises NotAdoptableError, DuplicateInstanceError."""
        require_adoptable(hosts)
        return self._database.write(_adopt, hosts)


def _adopt(session: Session, hosts: Sequence[AdoptedHost]) -> tuple[Adopted, ...]:
    lock_known(session, [each.id for host in hosts for each in host.instances])
    first = _first_fleet(session)
    allocations = Allocations(session)
    _add_networks(session, hosts)
    found: dict[str, list[Adopted]] = {}
    for host in hosts:
        found[host.name] = [_adopt_host(session, host)]
        session.flush()
        found[host.name] += [adopt_instance(session, allocations, each, host.name, hosts) for each in host.instances]
    session.flush()
    # Last: what one host has no more may have been found on another.
    for host in hosts:
        found[host.name] += _gone(session, host)
    _require_room(session, {host.name for host in hosts})
    allocations.count([host.name for host in hosts])
    if first is not None:
        first.fleet = fleet_of(session, disk_lock=True)
    return tuple(each for host in hosts for each in found[host.name])


def _add_networks(session: Session, hosts: Sequence[AdoptedHost]) -> None:
    named = dict.fromkeys(port.network for host in hosts for each in host.instances for port in each.ports)
    position = next_position(session, NetworkRow.position)
    for name in named:
        if session.get(NetworkRow, name) is None:
            session.add(NetworkRow(name=name, position=position, cidr=ANY_ADDRESS))
            position += 1
    session.flush()


def _adopt_host(session: Session, host: AdoptedHost) -> Adopted:
    if session.get(HostRow, host.name) is None:
        session.add(_new_host(session, host))
        return Adopted(kind="host", name=host.name, host=host.name, change="added")
    row = lock_host(session, host.name)
    if current_evidence(session, row.name, row.incarnation) is not None:
        raise NotAdoptableError(
            f"{row.name} is fenced, and its libvirt answers", remedy="start its host worker, so that it is reconciled"
        )
    before = row.model_dump()
    _update_host(row, host)
    change = "unchanged" if row.model_dump() == before else "updated"
    return Adopted(kind="host", name=host.name, host=host.name, change=change)


def _new_host(session: Session, host: AdoptedHost) -> HostRow:
    return HostRow(
        name=host.name,
        position=next_position(session, HostRow.position),
        vcpus=host.vcpus,
        memory_mb=host.memory_mb,
        disk_gb=0,
        cpu_allocation_ratio=host.cpu_allocation_ratio or CPU_RATIO,
        ram_allocation_ratio=host.ram_allocation_ratio or 1.0,
        availability_zone=host.availability_zone or "nova",
        capabilities=host.capabilities,
    )


def _update_host(row: HostRow, host: AdoptedHost) -> None:
    row.vcpus, row.memory_mb = host.vcpus, host.memory_mb
    row.cpu_allocation_ratio = host.cpu_allocation_ratio or row.cpu_allocation_ratio
    row.ram_allocation_ratio = host.ram_allocation_ratio or row.ram_allocation_ratio
    row.availability_zone = host.availability_zone or row.availability_zone
    row.capabilities = _merged(row.capabilities, host)


def _merged(known: HostCapabilities | None, host: AdoptedHost) -> HostCapabilities:
    """The host's own worker knows more than who asks from afar; only what is new there is taken."""
    found, adopted = host.capabilities, {each.id for each in host.instances}
    if known is None:
        return found
    shared = {each.path: each for each in (*known.shared, *found.shared)}
    left = tuple(each for each in known.unreported if each.id not in adopted)
    return known.model_copy(update={"shared": tuple(shared.values()), "domains": found.domains, "unreported": left})


def _gone(session: Session, host: AdoptedHost) -> list[Adopted]:
    """Instances of the host in the store that it does not have: nothing is concluded from that."""
    there = [each.id for each in host.instances]
    where = (InstanceRow.host == host.name, col(InstanceRow.id).not_in(there))
    rows = session.exec(select(InstanceRow).where(*where).order_by(col(InstanceRow.position))).all()
    return [left_alone(row, f"not found on {host.name}") for row in rows if not row.gone]


def _require_room(session: Session, hosts: set[str]) -> None:
    for host in all_candidates(session):
        sizes = (
            ("vcpus", "--cpu-allocation-ratio", host.vcpus_used, host.vcpus),
            ("MiB of memory", "--ram-allocation-ratio", host.memory_mb_used, host.memory_mb),
        )
        for what, option, used, total in sizes:
            if host.name in hosts and used > total:
                raise NotAdoptableError(
                    f"the guests of {host.name} have {used} {what}, and it has {total} with its allocation ratio",
                    remedy=f"give a greater one: {option}",
                )


def _first_fleet(session: Session) -> LoadedFleet | None:
    """In an empty store the row that turns are taken by; what was found is written into it at the end."""
    if execute(session, select(LoadedFleet.id)).first() is not None:
        return None
    first = LoadedFleet(fleet=Fleet.model_construct(hosts=()))
    session.add(first)
    session.flush()
    return first
