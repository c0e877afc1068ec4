"""A fleet into an empty store, and out of any."""

import ipaddress
from collections import Counter
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
from evacuation.messages import Connector
from evacuation.model import AttachmentStatus, PortStatus, RootDisk, VmState, VolumeStatus
from services.sql.block_devices import mappings_of
from services.sql.database import Database
from services.sql.holdings import ports_of
from services.sql.tables import (
    AllocationRow,
    AttachmentRow,
    BlockDeviceRow,
    HostRow,
    InstanceRow,
    LoadedFleet,
    NetworkRow,
    PortBindingRow,
    PortRow,
    ResidenceRow,
    ServerGroupRow,
    VolumeRow,
)

FIRST_ADDRESS = 2
"""After the network's own address and the gateway's."""


class SqlFleet:
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
        session.add(LoadedFleet(fleet=fleet))
        _Loading(session, fleet).run()
    elif fleet not in (loaded.fleet, _export(session)):
        raise FleetError("the store has a fleet already, and this is another one", remedy="use an empty store")


class _Loading:
    def __init__(self, session: Session, fleet: Fleet) -> None:
        self._session = session
        self._fleet = fleet
        self._volume_ids = {volume.name: str(uuid4()) for volume in fleet.volumes}
        self._cidrs = {network.name: ipaddress.ip_network(network.cidr) for network in fleet.networks}
        self._taken: Counter[str] = Counter()
        self._ports = count()

    def run(self) -> None:
        add = self._session.add
        for position, host in enumerate(self._fleet.hosts):
            add(HostRow(position=position, traits=list(host.traits), **host.model_dump(exclude={"traits"})))
        for position, network in enumerate(self._fleet.networks):
            add(NetworkRow(position=position, **network.model_dump()))
        for position, group in enumerate(self._fleet.server_groups):
            add(ServerGroupRow(position=position, **group.model_dump()))
        for position, volume in enumerate(self._fleet.volumes):
            add(VolumeRow(id=self._volume_ids[volume.name], position=position, **volume.model_dump()))
        self._session.flush()
        rows = [self._instance(position, each) for position, each in enumerate(self._fleet.instances)]
        self._session.flush()
        for row, instance in zip(rows, self._fleet.instances, strict=True):
            self._hold(row, instance)

    def _instance(self, position: int, instance: FleetInstance) -> InstanceRow:
        kept = instance.model_dump(exclude={"flavor", "ports", "volumes", "traits"})
        sizes = instance.flavor.model_dump()
        row = InstanceRow(
            id=str(uuid4()), position=position, last_epoch=1, traits=list(instance.traits), **kept, **sizes
        )
        self._session.add(row)
        return row

    def _hold(self, row: InstanceRow, instance: FleetInstance) -> None:
        """A first residence also for a stopped instance: its guest is defined there."""
        self._session.add(ResidenceRow(instance_id=row.id, epoch=1, host=instance.host))
        self._session.add(AllocationRow(consumer_id=row.id, host=instance.host, **instance.flavor.model_dump()))
        for port in instance.ports:
            self._port(row, port, instance.host)
        first = 0 if instance.root_disk is RootDisk.VOLUME else 1
        for index, name in enumerate(instance.volumes):
            self._volume(row, self._volume_ids[name], index, _device(first + index))

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
        self._session.add(new)
        self._session.flush()
        self._session.add(PortBindingRow(port_id=new.id, host=host, active=True, status=PortStatus.ACTIVE))

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
        mapping = BlockDeviceRow(
            instance_id=row.id, volume_id=volume_id, device=device, position=position, attachment_id=attachment.id
        )
        self._session.add(attachment)
        self._session.add(mapping)
        self._session.get_one(VolumeRow, volume_id).status = VolumeStatus.IN_USE


def _device(index: int) -> str:
    """vda, vdb, … vdz, vdaa: the root disk, unless it is a volume, is vda."""
    letters = ascii_lowercase[index % 26]
    return f"vd{ascii_lowercase[index // 26 - 1]}{letters}" if index >= 26 else f"vd{letters}"


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
    names = {volume.id: volume.name for volume in volumes}
    return Fleet(
        hosts=tuple(FleetHost(**row.model_dump(include=set(FleetHost.model_fields))) for row in hosts),
        networks=tuple(FleetNetwork(name=row.name, cidr=row.cidr) for row in networks),
        volumes=tuple(FleetVolume(name=row.name, size_gb=row.size_gb) for row in volumes),
        server_groups=tuple(FleetServerGroup(name=row.name, policy=row.policy) for row in groups),
        instances=tuple(_export_instance(session, row, names) for row in session.exec(living).all()),
        disk_lock=disk_lock,
    )


def _export_instance(session: Session, row: InstanceRow, volume_names: dict[str, str]) -> FleetInstance:
    kept = row.model_dump(include=set(FleetInstance.model_fields) - {"flavor", "ports", "volumes"})
    return FleetInstance(
        **kept,
        flavor=FleetFlavor(**row.flavor.model_dump()),
        ports=tuple(FleetPort(network=port.network) for port in ports_of(session, row.id)),
        volumes=tuple(volume_names[mapping.volume_id] for mapping in mappings_of(session, row.id)),
    )
