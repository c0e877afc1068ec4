"""A fleet into an empty store, and out of any."""

import ipaddress
from collections import Counter, defaultdict
from itertools import count
from string import ascii_lowercase
from uuid import uuid4

from sqlmodel import Session, col, select

from evacuation.errors import FleetError
from evacuation.fleet import (
    Fleet,
    FleetFlavor,
    FleetHost,
    FleetInstance,
    FleetNetwork,
    FleetPort,
    FleetServerGroup,
    FleetVolume,
)
from evacuation.fleet_rules import names_like_ids
from evacuation.messages import Connector
from evacuation.model import AttachmentStatus, PortStatus, RootDisk, VmState, VolumeStatus
from services.cloud.sql.allocations import Allocations
from services.sql.database import Database
from services.sql.statements import add_rows
from services.sql.tables import (
    AttachmentRow,
    BlockDeviceRow,
    HostRow,
    InstanceRow,
    LoadedFleet,
    NetworkRow,
    PortBindingRow,
    PortRow,
    ResidenceRow,
    Row,
    ServerGroupRow,
    VolumeRow,
)

_ORDER: tuple[type[Row], ...] = (
    *(HostRow, NetworkRow, ServerGroupRow, VolumeRow, InstanceRow),
    *(ResidenceRow, PortRow, PortBindingRow, AttachmentRow, BlockDeviceRow),
)
"""What is referred to first."""
FIRST_ADDRESS = 2
"""After the network's own address and the gateway's."""


class SqlFleet:
    """Loads a fleet once, and exports it as it is now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, fleet: Fleet) -> None:
        """All of it, in one transaction. The same fleet again: no change. Raises FleetError for another one."""
        self._database.write(_load, fleet)

    def export(self) -> Fleet:
        """The fleet as it is now. Raises FleetError when there is none."""
        return self._database.read(_export)


def _load(session: Session, fleet: Fleet) -> None:
    loaded = session.get(LoadedFleet, 1)
    if loaded is None:
        for problem in names_like_ids(fleet):
            raise FleetError(f"{problem.location}: {problem.message}", remedy="give it another name")
        session.add(LoadedFleet(fleet=fleet))
        _Loading(session, fleet).run()
    elif fleet not in (loaded.fleet, _export(session)):
        raise FleetError("the store has a fleet already, and this is another one", remedy="use an empty store")


class _Loading:
    """Rows are made first, and then written, one statement for each table."""

    def __init__(self, session: Session, fleet: Fleet) -> None:
        self._session = session
        self._fleet = fleet
        self._volume_ids = {volume.name: str(uuid4()) for volume in fleet.volumes}
        self._cidrs = {network.name: ipaddress.ip_network(network.cidr) for network in fleet.networks}
        self._taken: Counter[str] = Counter()
        self._ports = count()
        self._rows: dict[type[Row], list[Row]] = {kind: [] for kind in _ORDER}

    def run(self) -> None:
        for position, host in enumerate(self._fleet.hosts):
            self._add(HostRow(position=position, traits=list(host.traits), **host.model_dump(exclude={"traits"})))
        for position, network in enumerate(self._fleet.networks):
            self._add(NetworkRow(position=position, **network.model_dump()))
        for position, group in enumerate(self._fleet.server_groups):
            self._add(ServerGroupRow(position=position, **group.model_dump()))
        used = {name for instance in self._fleet.instances for name in instance.volumes}
        for position, volume in enumerate(self._fleet.volumes):
            status = VolumeStatus.IN_USE if volume.name in used else VolumeStatus.AVAILABLE
            id = self._volume_ids[volume.name]
            self._add(VolumeRow(id=id, position=position, status=status, **volume.model_dump()))
        rows = [self._instance(position, each) for position, each in enumerate(self._fleet.instances)]
        for row, instance in zip(rows, self._fleet.instances, strict=True):
            self._hold(row, instance)
        for each in self._rows.values():
            add_rows(self._session, each)
        allocations = Allocations(self._session)
        pairs = zip(rows, self._fleet.instances, strict=True)
        allocations.hold((row.id, each.host, row.on_host) for row, each in pairs)
        allocations.count([host.name for host in self._fleet.hosts])

    def _add(self, row: Row) -> None:
        self._rows[type(row)].append(row)

    def _instance(self, position: int, instance: FleetInstance) -> InstanceRow:
        kept = instance.model_dump(exclude={"flavor", "ports", "volumes", "traits"})
        sizes = instance.flavor.model_dump()
        row = InstanceRow(
            id=str(uuid4()), position=position, last_epoch=1, traits=list(instance.traits), **kept, **sizes
        )
        self._add(row)
        return row

    def _hold(self, row: InstanceRow, instance: FleetInstance) -> None:
        """A first residence also for a stopped instance: its guest is defined there."""
        self._add(ResidenceRow(instance_id=row.id, epoch=1, host=instance.host))
        for port in instance.ports:
            self._port(row, port, instance.host)
        first = 0 if instance.root_disk is RootDisk.VOLUME else 1
        for index, name in enumerate(instance.volumes):
            self._volume(row, self._volume_ids[name], index, device(first + index))

    def _port(self, row: InstanceRow, port: FleetPort, host: str) -> None:
        number, offset = next(self._ports), self._taken[port.network]
        self._taken[port.network] += 1
        new = PortRow(
            id=str(uuid4()),
            position=number,
            instance_id=row.id,
            network=port.network,
            mac=f"fa:16:3e:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
            ip=str(self._cidrs[port.network][FIRST_ADDRESS + offset]),
        )
        self._add(new)
        self._add(PortBindingRow(port_id=new.id, host=host, active=True, status=PortStatus.ACTIVE))

    def _volume(self, row: InstanceRow, volume_id: str, position: int, device: str) -> None:
        assert row.host is not None, "an instance of a fleet has a host"
        attachment = AttachmentRow(
            id=str(uuid4()),
            name=f"fleet/{volume_id}",
            volume_id=volume_id,
            instance_id=row.id,
            status=AttachmentStatus.ATTACHED,
            connector=Connector(host=row.host, incarnation=""),
        )
        self._add(attachment)
        self._add(
            BlockDeviceRow(
                instance_id=row.id, volume_id=volume_id, device=device, position=position, attachment_id=attachment.id
            )
        )


def device(index: int) -> str:
    """vda, vdb, … vdz, vdaa, … vdzz, vdaaa: the root disk, unless it is a volume, is vda."""
    letters = ""
    while index >= 0:
        index, letter = index // 26 - 1, index % 26
        letters = ascii_lowercase[letter] + letters
    return f"vd{letters}"


def _export(session: Session) -> Fleet:
    loaded = session.get(LoadedFleet, 1)
    if loaded is None:
        raise FleetError("the store has no fleet", remedy="load one: evacuate fleet load FILE")
    return fleet_of(session, disk_lock=loaded.fleet.disk_lock)


def fleet_of(session: Session, *, disk_lock: bool) -> Fleet:
    """As the rows are now."""
    living = select(InstanceRow).where(InstanceRow.vm_state != VmState.DELETED).order_by(col(InstanceRow.position))
    hosts = session.exec(select(HostRow).order_by(col(HostRow.position))).all()
    networks = session.exec(select(NetworkRow).order_by(col(NetworkRow.position))).all()
    volumes = session.exec(select(VolumeRow).order_by(col(VolumeRow.position))).all()
    groups = session.exec(select(ServerGroupRow).order_by(col(ServerGroupRow.position))).all()
    held = _Held(session, {volume.id: volume.name for volume in volumes})
    return Fleet(
        hosts=tuple(FleetHost(**row.model_dump(include=set(FleetHost.model_fields))) for row in hosts),
        networks=tuple(FleetNetwork(name=row.name, cidr=row.cidr) for row in networks),
        volumes=tuple(FleetVolume(name=row.name, size_gb=row.size_gb) for row in volumes),
        server_groups=tuple(FleetServerGroup(name=row.name, policy=row.policy) for row in groups),
        instances=tuple(_export_instance(row, held) for row in session.exec(living).all()),
        disk_lock=disk_lock,
    )


class _Held:
    """Networks and volumes of every instance, in their order."""

    def __init__(self, session: Session, volume_names: dict[str, str]) -> None:
        self.networks: defaultdict[str, list[str]] = defaultdict(list)
        self.volumes: defaultdict[str, list[str]] = defaultdict(list)
        ports = select(PortRow.instance_id, PortRow.network).order_by(col(PortRow.position))
        for instance_id, network in session.exec(ports).all():
            self.networks[instance_id].append(network)
        mapped = select(BlockDeviceRow.instance_id, BlockDeviceRow.volume_id).order_by(col(BlockDeviceRow.position))
        for instance_id, volume_id in session.exec(mapped).all():
            self.volumes[instance_id].append(volume_names[volume_id])


def _export_instance(row: InstanceRow, held: _Held) -> FleetInstance:
    kept = row.model_dump(include=set(FleetInstance.model_fields) - {"flavor", "ports", "volumes"})
    return FleetInstance(
        **kept,
        flavor=FleetFlavor(**row.flavor.model_dump()),
        ports=tuple(FleetPort(network=network) for network in held.networks[row.id]),
        volumes=tuple(held.volumes[row.id]),
    )
