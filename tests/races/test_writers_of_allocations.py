"""Two that write allocations at once on PostgreSQL: one is held just before its commit, until the other has ended or
waits for it. No host has more on it than it has."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, event, text

from evacuation.errors import EvacuateError
from evacuation.fleet import Fleet
from services.sql import SqlServices, open_services
from tests.integration.sql.test_allocations import adopt
from tests.integration.sql.world import World, host, instance
from tests.support.postgres import empty

BIG = {"flavor": {"vcpus": 1, "memory_mb": 4096, "disk_gb": 1}}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def url(postgres_original: str) -> str:
    empty(postgres_original)
    return postgres_original


@pytest.fixture
def rival(url: str) -> Iterator[SqlServices]:
    opened = open_services(url)
    yield opened
    opened.close()


@pytest.fixture
def world(services: SqlServices) -> World:
    """One host that is left, of 6144 MiB, with 1024 in use: one of 4096 fits, or what grows there by as much."""
    hosts = [host("cmp-1", memory_mb=16384), host("cmp-2", memory_mb=6144), host("cmp-3", memory_mb=512)]
    instances = [
        instance("web-01", **BIG),
        instance("web-02", **BIG),
        instance("web-03", "cmp-2", flavor={"vcpus": 1, "memory_mb": 1024, "disk_gb": 1}),
    ]
    made = World(services, Fleet.model_validate({"hosts": hosts, "instances": instances}))
    made.fence("cmp-1")
    made.evacuation("web-01", "ev-1").begin()
    made.evacuation("web-02", "ev-2").begin()
    return made


def claim(world: World) -> None:
    world.evacuation("web-01", "ev-1").claim(target=None)


def claim_of_another(world: World) -> None:
    world.evacuation("web-02", "ev-2").claim(target=None)


def adopt_grown(world: World) -> None:
    adopt(world, "web-03", "cmp-2", memory_mb=5120)


def adopt_new(world: World) -> None:
    adopt(world, "new-01", "cmp-2", memory_mb=4096)


def come_back(world: World) -> None:
    world.bring_up("cmp-3", "boot-2")


def delete(world: World) -> None:
    world.services.hosts.record_deleted(None, world.id_of("web-03"))


OTHERS = {
    "claim": claim_of_another,
    "adopt, grown": adopt_grown,
    "adopt, new": adopt_new,
    "return": come_back,
    "delete": delete,
}


def held(work: Callable[[World], None], world: World, until: Callable[[], None]) -> str | None:
    """The commit of the transaction that writes is held."""

    def hold(connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            until()

    event.listen(world.services.database._engine, "commit", hold)
    try:
        return tried(work, world)
    finally:
        event.remove(world.services.database._engine, "commit", hold)


def tried(work: Callable[[World], None], world: World) -> str | None:
    try:
        work(world)
    except EvacuateError as error:
        return type(error).__name__
    return None


def waiting_in(services: SqlServices) -> Callable[[], int]:
    """How many transactions wait for another one's lock."""

    def waiting() -> int:
        with services.database._engine.connect() as connection:
            return int(connection.execute(text(WAITING)).scalar_one())

    return waiting


def of(services: SqlServices) -> World:
    other = World.__new__(World)
    other.services = services
    return other


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("claims_first", [True, False])
def test_claim_and_another_writer_never_oversubscribe_a_host(
    world: World, rival: SqlServices, name: str, claims_first: bool
) -> None:
    pair = (claim, OTHERS[name]) if claims_first else (OTHERS[name], claim)
    reached, ended, waiting = threading.Event(), threading.Event(), waiting_in(rival)

    def until() -> None:
        reached.set()
        while not ended.wait(0.01) and waiting() == 0:
            pass

    def second() -> str | None:
        assert reached.wait(30)
        try:
            return tried(pair[1], of(rival))
        finally:
            ended.set()

    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(held, pair[0], world, until), pool.submit(second)]
        found = [each.result() for each in answers]
    for each in world.services.views.hosts():
        assert each.memory_mb_used <= each.memory_mb, (each.name, found)
