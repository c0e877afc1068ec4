"""What must be unique or exclusive is refused by the database itself, whoever writes."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import IntegrityError

from tests.integration.sql.world import NOW, World


@pytest.fixture
def engine(url: str, world: World) -> Iterator[Engine]:
    made = create_engine(url)
    if made.dialect.name == "sqlite":
        event.listen(made, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys=ON"))
    yield made
    made.dispose()


EVACUATION = (
    "INSERT INTO evacuation (id, instance_id, owner, attempt, phase, request_id, migration_id, source,"
    " vm_state_before, wanted, started_at)"
    " VALUES (:unique, :instance, 'o', 0, '{phase}', 'r', :unique, 'cmp-1', 'active', 'active', :now)"
)
ATTACHMENT = (
    "INSERT INTO attachment (id, name, volume_id, instance_id, position, status)"
    " VALUES (:unique, {name}, :volume, :instance, 2, '{status}')"
)
RESIDENCE = (
    "INSERT INTO residence (instance_id, epoch, host, created_at, proof)"
    " VALUES (:instance, {epoch}, '{host}', :now, {proof})"
)
BINDING = "INSERT INTO port_binding (port_id, host, active, status) VALUES (:port, '{host}', {active}, 'ACTIVE')"
ATTEMPT = (
    "INSERT INTO attempt (evacuation_id, number, instance_id, host, epoch, claimed_at)"
    " VALUES ('ev-1', {number}, :instance, '{host}', {epoch}, :now)"
)
EVENT = (
    "INSERT INTO action_event (evacuation_id, attempt, name, result, started_at, finished_at, details)"
    " VALUES ('ev-1', 1, 'claim', 'success', :now, :now, '')"
)
EVIDENCE = (
    "INSERT INTO evidence (host, incarnation, kind, scope, who, reason, at)"
    " VALUES ('cmp-1', 'boot-1', 'operator', 'host', 'w', 'r', :now)"
)

BREACHES = {
    "two unproven residences": [RESIDENCE.format(epoch=9, host="cmp-2", proof="NULL")],
    "one epoch twice": [RESIDENCE.format(epoch=1, host="cmp-2", proof="'{}'")],
    "a residence on no host": [RESIDENCE.format(epoch=9, host="nowhere", proof="'{}'")],
    "two open evacuations": [EVACUATION.format(phase="undone"), EVACUATION.format(phase="forward")],
    "one epoch for two attempts": [
        ATTEMPT.format(number=1, host="cmp-2", epoch=5),
        ATTEMPT.format(number=2, host="cmp-3", epoch=5),
    ],
    "one attempt twice": [
        ATTEMPT.format(number=1, host="cmp-2", epoch=5),
        ATTEMPT.format(number=1, host="cmp-3", epoch=6),
    ],
    "one event twice": [EVENT, EVENT],
    "current evidence twice": [EVIDENCE, EVIDENCE],
    "two active bindings of a port": [BINDING.format(host="cmp-2", active="true")],
    "two attached attachments of a volume": [ATTACHMENT.format(name=":unique", status="attached")],
    "two attachments of one name": [ATTACHMENT.format(name="'n'", status="reserved")] * 2,
    "one consumer twice on a host": [
        "INSERT INTO allocation (consumer_id, host, vcpus, memory_mb, disk_gb) VALUES (:instance, 'cmp-1', 1, 1, 1)"
    ],
    "two ports with one address": [
        "INSERT INTO port (id, position, instance_id, network, mac, ip)"
        " VALUES (:unique, 9, :instance, 'lan', :unique, '10.0.0.2')"
    ],
    "one device twice": [
        "INSERT INTO block_device (instance_id, volume_id, device, position) VALUES (:instance, :unique, 'vdb', 9)"
    ],
    "one hypervisor under two names": ["UPDATE host SET hypervisor_uuid = 'uuid-cmp-1' WHERE name = 'cmp-2'"],
    "two fleets": ["INSERT INTO loaded_fleet (id, fleet, loaded_at) VALUES (1, '{}', :now)"],
}
HARMLESS = {
    "a proven residence": RESIDENCE.format(epoch=9, host="cmp-2", proof="'{}'"),
    "a closed evacuation": EVACUATION.format(phase="closed"),
    "a reserved attachment": ATTACHMENT.format(name=":unique", status="reserved"),
    "an inactive binding": BINDING.format(host="cmp-2", active="false"),
}
NEED_AN_EVACUATION = ("one epoch for two attempts", "one attempt twice", "one event twice")


def _insert(engine: Engine, world: World, statements: list[str]) -> None:
    views = world.services.views
    known = {"instance": world.id_of("web-01"), "port": views.ports()[0].id, "volume": views.volumes()[0].id}
    with engine.begin() as connection:
        for number, statement in enumerate(statements):
            values = known | {"unique": f"unique-{number}", "now": NOW}
            names = [name for name in values if f":{name}" in statement]
            connection.execute(text(statement), {name: values[name] for name in names})


@pytest.mark.parametrize("breach", BREACHES)
def test_database_refuses(engine: Engine, world: World, breach: str) -> None:
    if breach in NEED_AN_EVACUATION:
        world.evacuation().begin()
    with pytest.raises(IntegrityError):
        _insert(engine, world, BREACHES[breach])


@pytest.mark.parametrize("row", HARMLESS)
def test_database_accepts(engine: Engine, world: World, row: str) -> None:
    _insert(engine, world, [HARMLESS[row]])
