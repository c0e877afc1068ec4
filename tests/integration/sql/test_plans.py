"""No step of an evacuation, and no question about one thing, reads a whole table that grows; no list asks for each of
its rows. The statements are those that the calls make, whatever they are."""

from collections.abc import Callable, Mapping

import pytest
from sqlalchemy import text

from evacuation import messages as m
from evacuation.fleet import Fleet
from services.sql import SqlServices
from tests.benchmarks.grown import BOOT, SOURCE, Size, fill, fleet_of
from tests.benchmarks.store import recover
from tests.integration.sql.world import World, evidence, host, instance
from tests.support.plans import Statements

SIZE, CLOSED = Size(12, 100), 400


@pytest.fixture
def world(services: SqlServices, url: str) -> World:
    """In use for years."""
    services.fleet.load(fleet_of(SIZE))
    ids = {each.name: each.id for each in services.views.instances()}
    fill(url, SIZE, ids, closed=CLOSED, definitions=True)
    if not url.startswith("sqlite"):
        services.database.run(lambda connection: connection.execute(text("ANALYZE")) and None)
    made = World.__new__(World)
    made.services = services
    return made


def recovered(world: World) -> None:
    recover(world.evacuation(f"{SOURCE}-000", "new-1"))


def undone(world: World) -> None:
    evacuation = world.evacuation(f"{SOURCE}-001", "new-2")
    evacuation.begin()
    to = evacuation.claim(target=None).host
    evacuation.bind(1, to)
    evacuation.detach()
    evacuation.attach(1, to)
    evacuation.authorize(1, to, BOOT)
    evacuation.guest_gone(1, to)
    evacuation.tear_down()
    evacuation.abandon()


def in_a_group_and_named(world: World) -> None:
    world.services.store.check_facts(world.id_of(f"{SOURCE}-002"), "cmp-0001")


def deleted(world: World) -> None:
    id = world.id_of(f"{SOURCE}-003")
    world.services.hosts.plan_deletion(id)
    world.services.hosts.record_deleted(None, id)


def reported(world: World) -> None:
    report = m.HypervisorReport.model_validate(
        {"host": "cmp-0001", "incarnation": BOOT, "at": evidence().at.replace(year=2031), "capabilities": {}}
    )
    world.services.hosts.record_report(report)


STEPS: dict[str, Callable[[World], None]] = {
    "a recovery": recovered,
    "an undoing": undone,
    "a named target": in_a_group_and_named,
    "a deletion": deleted,
    "a report": reported,
}


def scans(world: World, calls: Mapping[str, Callable[[World], object]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, call in calls.items():
        statements = Statements(world.services)
        call(world)
        assert statements.count, name
        found[name] = statements.scans()
    return {name: each for name, each in found.items() if each}


def test_step_reads_no_table_that_grows(world: World) -> None:
    assert scans(world, STEPS) == {}


QUESTIONS: dict[str, Callable[[World], object]] = {
    "one instance by name": lambda world: world.services.views.instance(f"{SOURCE}-000"),
    "one host": lambda world: world.services.views.host("cmp-0001"),
    "instances of a host": lambda world: world.services.views.instances("cmp-0001"),
    "open evacuations": lambda world: world.services.views.open_evacuations(),
    "evacuations of an instance": lambda world: world.services.views.evacuations_of(world.id_of("vm-00001")),
    "one evacuation": lambda world: world.services.views.evacuation("old-000001"),
    "actions of an instance": lambda world: world.services.views.actions(world.id_of("vm-00001")),
    "a name": lambda world: world.services.views.resolve_instance("vm-00001"),
    "the exports of a volume": lambda world: world.services.exports.wanted(frozenset({"one"})),
    "an operator's word": lambda world: world.services.evidence.record_evidence(evidence("cmp-0002", BOOT)),
}


def test_question_about_one_thing_reads_no_table_that_grows(world: World) -> None:
    assert scans(world, QUESTIONS) == {}


LISTS: dict[str, Callable[[World], object]] = {
    "hosts": lambda world: world.services.views.hosts(),
    "instances": lambda world: world.services.views.instances(),
    "migrations": lambda world: world.services.views.migrations(),
    "allocations": lambda world: world.services.views.allocations(),
    "ports": lambda world: world.services.views.ports(),
    "volumes": lambda world: world.services.views.volumes(),
    "residences": lambda world: world.services.views.residences(),
    "evacuations": lambda world: world.services.views.evacuations(),
    "actions": lambda world: world.services.views.actions(world.id_of("vm-00001")),
    "everything": lambda world: world.services.views.everything(),
    "export": lambda world: world.services.fleet.export(),
    "the same fleet again": lambda world: world.services.fleet.load(fleet_of(SIZE)),
}
MOST = {"everything": 30}


def test_list_asks_once_for_all_of_its_rows(world: World) -> None:
    statements, counts = Statements(world.services), dict[str, int]()
    for name, ask in LISTS.items():
        statements.forget()
        ask(world)
        counts[name] = statements.count
    assert {name: count for name, count in counts.items() if not 0 < count <= MOST.get(name, 9)} == {}


def test_preflight_asks_for_every_host_once(world: World) -> None:
    """A few for each instance of the host, however many hosts there are."""
    statements = Statements(world.services)
    found = world.services.views.preflight("cmp-0001")
    assert found and statements.count <= 12 + 8 * len(found)


def test_report_of_many_guests_asks_as_often_as_one_of_few(world: World) -> None:
    ids = [each.id for each in world.services.views.instances("cmp-0001")]
    assert len(ids) > 4
    statements, counts = Statements(world.services), set[int]()
    for year, some in ((2031, ids[:2]), (2032, ids)):
        domains = [{"id": each, "name": each[:8], "active": True, "epoch": 1} for each in some]
        report = {"host": "cmp-0001", "incarnation": BOOT, "capabilities": {"domains": domains}}
        statements.forget()
        world.services.hosts.record_report(
            m.HypervisorReport.model_validate(report | {"at": evidence().at.replace(year=year)})
        )
        counts.add(statements.count)
    assert len(counts) == 1, counts


def test_load_writes_each_table_by_one_statement(services: SqlServices) -> None:
    statements = Statements(services)
    services.fleet.load(fleet_of(SIZE))
    assert statements.count <= 30


def test_scan_of_a_whole_table_is_found(services: SqlServices) -> None:
    services.fleet.load(Fleet.model_validate({"hosts": [host("cmp-1")], "instances": [instance("web-01")]}))
    statements = Statements(services)
    for each in ("SELECT * FROM attempt", "SELECT * FROM evacuation WHERE phase = 'closed'"):
        services.database.write(lambda session, each=each: session.execute(text(each)) and None)
    assert len(statements.scans()) == 2
