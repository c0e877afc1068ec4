"""A fleet of any size, and a store in use for years: evacuations that ended long ago, with all their rows."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from typing import Any, NamedTuple, Self
from uuid import uuid4

from sqlalchemy import Connection, insert, update

from evacuation.capabilities import HostCapabilities, SeenDomain, SharedDirectory
from evacuation.fleet import Fleet
from evacuation.messages import AttemptPhase, EvacuationOutcome
from evacuation.model import Evidence, EvidenceKind, HostState, MigrationStatus, PowerReading, VmState
from services.sql.database import connect_database
from services.sql.statements import table_of
from services.sql.tables import (
    ActionEventRow,
    ActionRow,
    AttemptRow,
    EvacuationRow,
    EvidenceRow,
    HostRow,
    InstanceRow,
    MigrationRow,
    PowerReadingRow,
    ResidenceRow,
    Row,
)

SOURCE, BOOT = "dead", "boot-1"
LONG_AGO = datetime(2029, 1, 1, tzinfo=UTC)
EVENTS = 14
LOST = 40
"""Instances of the dead host."""


class Size(NamedTuple):
    hosts: int
    instances: int

    @classmethod
    def parse(cls, text: str) -> Self:
        hosts, _, instances = text.partition("x")
        return cls(int(hosts), int(instances))

    def __str__(self) -> str:
        return f"{self.hosts}x{self.instances}"


def fleet_of(size: Size) -> Fleet:
    """One of its hosts is dead and had 40 of the instances; each has a port and a volume, and every other host could
    take its share of them."""
    alive = [f"cmp-{number:04}" for number in range(1, size.hosts)]
    others = size.instances - LOST
    room = 2 * (size.instances // len(alive) + LOST)
    lost = [(f"{SOURCE}-{number:03}", SOURCE) for number in range(LOST)]
    placed = [*lost, *((f"vm-{number:05}", host) for number, host in zip(range(others), cycle(alive), strict=False))]
    return Fleet.model_validate(
        {
            "hosts": [{"name": n, "vcpus": room, "memory_mb": room * 512, "disk_gb": room} for n in (SOURCE, *alive)],
            "networks": [{"name": "lan", "cidr": "10.0.0.0/8"}],
            "volumes": [{"name": f"{name}-data", "size_gb": 1} for name, _ in placed],
            "instances": [
                {
                    "name": name,
                    "host": host,
                    "flavor": {"vcpus": 1, "memory_mb": 512, "disk_gb": 1},
                    "ports": [{"network": "lan"}],
                    "volumes": [f"{name}-data"],
                }
                for name, host in placed
            ],
        }
    )


def fill(url: str, size: Size, ids: Mapping[str, str], *, closed: int, definitions: bool) -> None:
    """Past the store's own calls: every host is up but the dead one, which is proven off."""
    database = connect_database(url)
    try:
        database.run(lambda connection: _fill(connection, ids, closed=closed, definitions=definitions))
    finally:
        database.close()


def _fill(connection: Connection, ids: Mapping[str, str], *, closed: int, definitions: bool) -> None:
    hosts = table_of(HostRow)
    connection.execute(update(hosts).values(state=HostState.UP, incarnation=BOOT, hypervisor_uuid=hosts.c.name))
    connection.execute(update(hosts).where(hosts.c.name == SOURCE).values(state=HostState.DOWN))
    connection.execute(update(table_of(ResidenceRow)).values(incarnation=BOOT))
    proof = Evidence(
        kind=EvidenceKind.POWER_OFF, host=SOURCE, incarnation=BOOT, who="benchmark", reason="read off", at=LONG_AGO
    )
    connection.execute(insert(table_of(EvidenceRow)), [proof.model_dump(exclude={"also"})])
    read = {"host": SOURCE, "reading": PowerReading.OFF, "at": datetime.now(UTC)}
    connection.execute(insert(table_of(PowerReadingRow)), [read])
    others = [id for name, id in ids.items() if not name.startswith(f"{SOURCE}-")]
    for start in range(0, closed, 5000):
        numbers = range(start, min(start + 5000, closed))
        for kind, rows in _closed(numbers, others, proof).items():
            connection.execute(insert(table_of(kind)), rows)
    if definitions:
        _define(connection, ids)


def _closed(numbers: range, instances: list[str], proof: Evidence) -> dict[type[Row], list[dict[str, Any]]]:
    rows: dict[type[Row], list[dict[str, Any]]] = {
        kind: []
        for kind in (EvacuationRow, AttemptRow, MigrationRow, ActionRow, ActionEventRow, ResidenceRow, EvidenceRow)
    }
    for number, instance_id in zip(numbers, islice(cycle(instances), numbers.start, None), strict=False):
        for kind, more in _one(number, instance_id, proof):
            rows[kind].append(more)
    return rows


def _one(number: int, instance_id: str, proof: Evidence) -> Iterator[tuple[type[Row], dict[str, Any]]]:
    id, at, migration = f"old-{number:06}", LONG_AGO + timedelta(minutes=number), str(uuid4())
    outcome = EvacuationOutcome.model_validate(
        {"evacuation_id": id, "instance_id": instance_id, "outcome": "recovered", "source": SOURCE, "started_at": at}
    )
    whose = {"evacuation_id": id, "instance_id": instance_id}
    epoch = -1 - number
    yield (
        EvacuationRow,
        {
            **{"id": id, "instance_id": instance_id, "owner": "run", "attempt": 1, "phase": AttemptPhase.CLOSED},
            **{"request_id": id, "migration_id": migration, "source": SOURCE, "source_incarnation": "boot-0"},
            **{"vm_state_before": VmState.ACTIVE, "wanted": VmState.ACTIVE, "outcome": outcome},
            **{"started_at": at, "closed_at": at},
        },
    )
    voided = {"voided_at": at if number % 2 else None, "voided_why": "its own worker answered"}
    about = {"host": "cmp-0001", "incarnation": f"boot-of-{number}"}
    yield EvidenceRow, proof.model_dump(exclude={"also"}) | about | voided
    yield AttemptRow, {**whose, "number": 1, "host": "cmp-0001", "epoch": epoch, "claimed_at": at}
    yield (
        MigrationRow,
        {
            **whose,
            **{"id": migration, "type": "evacuation", "status": MigrationStatus.COMPLETED, "source": SOURCE},
            **{"source_epoch": 1, "destination": "cmp-0001", "created_at": at, "updated_at": at},
        },
    )
    yield ActionRow, {**whose, "action": "evacuate", "request_id": id, "started_at": at, "finished_at": at}
    for step in range(EVENTS):
        yield (
            ActionEventRow,
            {
                **{"evacuation_id": id, "attempt": 1, "name": f"step-{step}", "result": "success", "details": ""},
                **{"started_at": at, "finished_at": at},
            },
        )
    yield (
        ResidenceRow,
        {
            **{"instance_id": instance_id, "epoch": epoch, "host": SOURCE, "incarnation": "boot-0"},
            **{"proof": proof, "evacuation_id": id, "attempt": 1, "created_at": at},
        },
    )


def _define(connection: Connection, ids: Mapping[str, str]) -> None:
    instances, hosts = table_of(InstanceRow), table_of(HostRow)
    for name, id in ids.items():
        mine = update(instances).where(instances.c.id == id)
        connection.execute(mine.values(definition=_definition(name, id), guest_signal="agent"))
    homes: dict[str, list[SeenDomain]] = {}
    for id, name, host in connection.execute(
        instances.select().with_only_columns(instances.c.id, instances.c.name, instances.c.host)
    ):
        homes.setdefault(host, []).append(SeenDomain(id=id, name=name, active=True))
    for host in connection.execute(hosts.select().with_only_columns(hosts.c.name)).scalars().all():
        said = _capabilities(tuple(homes.get(host, ())))
        connection.execute(update(hosts).where(hosts.c.name == host).values(capabilities=said, reported_at=LONG_AGO))


def _capabilities(domains: tuple[SeenDomain, ...]) -> HostCapabilities:
    """As a host with QEMU 7.2 says."""
    kinds, versions = ("i440fx", "q35"), [f"{major}.{minor}" for major in range(2, 8) for minor in range(10)]
    machines = tuple(f"pc-{kind}-{version}" for kind in kinds for version in versions)
    return HostCapabilities(
        hypervisor_version="9.0.0",
        machines={"x86_64": machines, "i686": machines},
        cpu_models=tuple(f"Model-v{number}" for number in range(80)),
        network_devices=("br0", "br1", "eth0", "eth1"),
        networks=("default",),
        shared=(SharedDirectory(path="/srv/vms", marker="marker-1"),),
        domains=domains,
    )


def _definition(name: str, id: str) -> str:
    return f"""<domain type="kvm"><name>{name}</name><uuid>{id}</uuid><memory unit="MiB">512</memory><vcpu>1</vcpu>
<os><type arch="x86_64" machine="pc-q35-7.2">hvm</type></os><cpu mode="custom"><model>Model-v7</model></cpu><devices>
<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="/srv/vms/{name}.qcow2"/>
<target dev="vda" bus="virtio"/></disk><interface type="bridge"><mac address="fa:16:3e:00:00:01"/>
<source bridge="br0"/><model type="virtio"/></interface></devices></domain>"""
