"""Many threads at once: nothing is oversubscribed, nothing deadlocks."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import Session

from evacuation.errors import EvacuateError, NoValidHostError
from evacuation.fleet import Fleet
from services.sql import SqlServices
from services.sql.database import connect_database
from services.sql.engines import OVERFLOW, POSTGRES_CONNECTIONS, SQLITE_CONNECTIONS
from tests.integration.sql.world import Evacuation, World, host, instance

INSTANCES, FIT = 40, 30


@pytest.fixture
def crowd(services: SqlServices) -> World:
    hosts = [host("cmp-0", vcpus=INSTANCES, memory_mb=65536)]
    hosts += [host(f"cmp-{n}", vcpus=10, max_evacuations=4) for n in (1, 2, 3)]
    instances = [instance(f"web-{n}", "cmp-0") for n in range(INSTANCES)]
    world = World(services, Fleet.model_validate({"hosts": hosts, "instances": instances}))
    world.fence("cmp-0")
    return world


def _begin(world: World, number: int) -> Evacuation:
    evacuation = world.evacuation(f"web-{number}", f"ev-{number}")
    evacuation.begin()
    return evacuation


def _claim(evacuation: Evacuation) -> str | None:
    try:
        return evacuation.claim(target=None).host
    except NoValidHostError:
        return None


def _authorize(evacuation: Evacuation, to: str) -> str | None:
    try:
        evacuation.authorize(host=to)
    except EvacuateError as error:
        return type(error).__name__
    return None


def test_concurrent_claims_and_authorisations_keep_capacity_and_caps(crowd: World) -> None:
    with ThreadPoolExecutor(INSTANCES) as pool:
        evacuations = list(pool.map(lambda n: _begin(crowd, n), range(INSTANCES)))
        hosts = list(pool.map(_claim, evacuations))
        won = [(evacuation, to) for evacuation, to in zip(evacuations, hosts, strict=True) if to]
        answers = list(pool.map(lambda pair: _authorize(*pair), won))
    assert len(won) == FIT
    assert {name: hosts.count(name) for name in ("cmp-1", "cmp-2", "cmp-3")} == {"cmp-1": 10, "cmp-2": 10, "cmp-3": 10}
    assert all(each.vcpus_used <= each.vcpus for each in crowd.services.views.hosts())
    assert answers.count(None) == 12
    assert answers.count("DestinationBusyError") == FIT - 12


def test_anti_affinity_holds_when_its_members_claim_at_once(services: SqlServices) -> None:
    members = [instance(f"db-{n}", "cmp-0", server_group="db") for n in range(4)]
    fleet = {
        "hosts": [host(f"cmp-{n}") for n in range(4)],
        "server_groups": [{"name": "db", "policy": "anti-affinity"}],
        "instances": members,
    }
    world = World(services, Fleet.model_validate(fleet))
    world.fence("cmp-0")
    evacuations = [world.evacuation(f"db-{n}", f"ev-{n}") for n in range(4)]
    for each in evacuations:
        each.begin()
    with ThreadPoolExecutor(4) as pool:
        hosts = list(pool.map(_claim, evacuations))
    assert sorted(name for name in hosts if name) == ["cmp-1", "cmp-2", "cmp-3"]


def test_one_of_many_evacuations_of_an_instance_begins(world: World) -> None:
    rivals = [world.evacuation(evacuation_id=f"ev-{n}", owner=f"run-{n}") for n in range(8)]

    def begin(rival: Evacuation) -> bool:
        try:
            rival.begin()
        except EvacuateError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begin, rivals)) == 1


def test_write_waits_for_a_connection_when_readers_hold_them_all(url: str) -> None:
    connections = SQLITE_CONNECTIONS if url.startswith("sqlite") else POSTGRES_CONNECTIONS + OVERFLOW
    database, held, released = connect_database(url), threading.Semaphore(0), threading.Event()

    def read_slowly(session: Session) -> None:
        session.connection()
        held.release()
        assert released.wait(10)

    with ThreadPoolExecutor(2 * connections + 1) as pool:
        readers = [pool.submit(database.read, read_slowly) for _ in range(2 * connections)]
        assert all(held.acquire(timeout=10) for _ in range(connections))
        written = pool.submit(database.write, lambda session: bool(session.connection()))
        assert not held.acquire(timeout=0.3) and not written.done()
        released.set()
        assert written.result(10)
        assert [reader.result(10) for reader in readers] == [None] * len(readers)
    database.close()


def test_every_transaction_has_a_position_of_its_own_when_many_write_at_once(world: World) -> None:
    before = world.services.ledger.show().position
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: world.fence("cmp-1", f"boot-{n}"), range(2, 26)))
    assert world.services.ledger.show().position == before + 24
