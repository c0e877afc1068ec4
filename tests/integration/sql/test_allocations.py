"""Whoever writes allocations takes the turn, and the host's generation grows: found by watching what is committed."""

from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from evacuation import messages as m
from evacuation.adoption import AdoptedHost, AdoptedInstance
from evacuation.capabilities import HostCapabilities
from evacuation.model import Flavor, PowerState, RootDisk, VmState
from services.cloud.sql.allocations import Allocations
from services.sql import SqlServices
from services.sql.tables import AllocationRow
from tests.integration.sql.world import World, small_fleet
from tests.support.allocations import Watch


@pytest.fixture
def world(services: SqlServices) -> World:
    return World(services)


def adopt(world: World, name: str = "web-01", on: str = "cmp-1", memory_mb: int = 1024) -> None:
    id = world.id_of(name) if name in {each.name for each in world.services.views.instances()} else name
    found = AdoptedInstance(
        id=id,
        name=name,
        epoch=1,
        flavor=Flavor(vcpus=1, memory_mb=memory_mb, disk_gb=0),
        vm_state=VmState.ACTIVE,
        power_state=PowerState.RUNNING,
        root_disk=RootDisk.SHARED,
        stored=m.StoredDefinition(definition="<domain/>"),
    )
    host = AdoptedHost(name=on, vcpus=8, memory_mb=8192, capabilities=HostCapabilities(), instances=(found,))
    world.services.adoption.adopt([host])


def claim(world: World) -> None:
    world.evacuation().begin()
    world.evacuation().claim()


def release(world: World) -> None:
    claim(world)
    world.evacuation().tear_down()


def finish(world: World) -> None:
    world.evacuation().recover()


def abandon_deleted(world: World) -> None:
    release(world)
    world.services.hosts.plan_deletion(world.id_of("web-01"))
    world.evacuation().abandon(deleted=True)


def delete(world: World) -> None:
    world.services.hosts.record_deleted(None, world.id_of("web-02"))


def adopt_where_it_was_moved_to(world: World) -> None:
    world.fence("cmp-1")
    adopt(world, on="cmp-2")


WRITERS: dict[str, tuple[Callable[[World], None], int]] = {
    "claim": (claim, 1),
    "release": (release, 2),
    "finish": (finish, 2),
    "abandon of a deleted instance": (abandon_deleted, 3),
    "delete": (delete, 1),
    "adopt another size": (adopt, 1),
    "adopt a new one": (lambda world: adopt(world, name="new-01"), 1),
    "adopt after a move by hand": (adopt_where_it_was_moved_to, 1),
}
"""With the number of transactions that change allocations."""


@pytest.mark.parametrize("name", WRITERS)
def test_writer_of_allocations_has_the_turn_and_the_generation(world: World, name: str) -> None:
    watch = Watch(world.services)
    work, times = WRITERS[name]
    work(world)
    assert watch.seen == times


def test_load_and_adoption_into_an_empty_store_have_the_turn(services: SqlServices) -> None:
    watch = Watch(services)
    services.fleet.load(small_fleet())
    assert watch.seen == 1


def test_adoption_into_an_empty_store_has_the_turn(services: SqlServices) -> None:
    watch = Watch(services)
    empty = World.__new__(World)
    empty.services = services
    adopt(empty, name="new-01")
    assert watch.seen == 1
    assert [each.name for each in services.fleet.export().instances] == ["new-01"]


def test_adoption_takes_no_generation_when_nothing_changed(world: World) -> None:
    adopt(world)
    watch = Watch(world.services)
    adopt(world)
    assert watch.seen == 0


def without_the_turn(session: Session) -> None:
    session.add(AllocationRow(consumer_id="nobody", host="cmp-2", vcpus=1, memory_mb=1, disk_gb=1))
    session.flush()
    session.execute(text("UPDATE host SET generation = generation + 1"))


def without_the_generation(session: Session) -> None:
    Allocations(session)
    session.exec(select(AllocationRow)).first().vcpus = 4  # type: ignore[union-attr]  # the fleet has some


def of_another_host(session: Session) -> None:
    Allocations(session)
    session.execute(text("UPDATE allocation SET host = 'cmp-3'"))
    session.execute(text("UPDATE host SET generation = generation + 1 WHERE name = 'cmp-3'"))


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (without_the_turn, "without the turn"),
        (without_the_generation, "generations stayed: .'cmp-1'"),
        (of_another_host, "stayed: .'cmp-1'"),
    ],
)
def test_watch_finds_a_writer_that_goes_another_way(world: World, work: Callable[[Session], None], words: str) -> None:
    Watch(world.services)
    with pytest.raises(AssertionError, match=words):
        world.services.database.write(work)
