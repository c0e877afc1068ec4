"""What an instance takes of a host's disk: only a root disk that is the host's own."""

import pytest

from evacuation.errors import NoValidHostError
from evacuation.fleet import Fleet
from evacuation.model import Flavor
from services.sql import SqlServices
from tests.integration.sql.test_adoption import changes
from tests.integration.sql.test_adoption import host as adopted_host
from tests.integration.sql.test_adoption import instance as adopted_instance
from tests.integration.sql.world import World, host, instance

BIG = {"flavor": {"vcpus": 1, "memory_mb": 512, "disk_gb": 400}}


@pytest.fixture
def fleet() -> Fleet:
    """The hosts have 100 GiB each."""
    return Fleet.model_validate(
        {
            "hosts": [host("cmp-1"), host("cmp-2")],
            "volumes": [{"name": "root", "size_gb": 400}],
            "instances": [
                instance("bootable", root_disk="volume", volumes=["root"], **BIG),
                instance("shared", root_disk="shared", **BIG),
                instance("local", root_disk="local", flavor={"vcpus": 1, "memory_mb": 512, "disk_gb": 60}),
            ],
        }
    )


def disks(services: SqlServices) -> dict[str, int]:
    return {each.name: each.disk_gb_used for each in services.views.hosts()}


def test_host_stores_only_local_root_disks(services: SqlServices, fleet: Fleet) -> None:
    world = World(services, fleet)
    assert disks(services) == {"cmp-1": 60, "cmp-2": 0}
    assert sorted(each.disk_gb for each in services.views.allocations()) == [0, 0, 60]
    assert services.fleet.export() == fleet
    assert {each.name: each.can for each in services.views.preflight("cmp-1")} == {
        "bootable": True,
        "shared": True,
        "local": False,
    }
    assert world.instance("local").host == "cmp-1"


@pytest.mark.parametrize("name", ["bootable", "shared"])
def test_evacuation_needs_no_room_on_disk_for_what_no_host_stores(
    services: SqlServices, fleet: Fleet, name: str
) -> None:
    world = World(services, fleet)
    world.evacuation(name).recover()
    assert world.instance(name).host == "cmp-2"
    assert disks(services) == {"cmp-1": 60, "cmp-2": 0}


def test_undone_claim_gives_the_source_its_allocation_back_as_it_was(services: SqlServices, fleet: Fleet) -> None:
    world = World(services, fleet)
    before = services.views.allocations()
    evacuation = world.evacuation("shared")
    evacuation.begin()
    evacuation.claim()
    assert disks(services) == {"cmp-1": 60, "cmp-2": 0}
    evacuation.guest_gone()
    evacuation.tear_down()
    assert services.views.allocations() == before


def test_local_disk_needs_its_room_wherever_it_is_placed(services: SqlServices, fleet: Fleet) -> None:
    """No request gets as far; a claim that does finds no room all the same."""
    world = World(services, fleet.model_copy(update={"hosts": (fleet.hosts[0], _with_disk(fleet, 59))}))
    evacuation = world.evacuation("local")
    evacuation.begin()
    with pytest.raises(NoValidHostError, match="needs 60 GiB of disk, 59 free"):
        evacuation.claim()


def _with_disk(fleet: Fleet, size: int) -> object:
    return fleet.hosts[1].model_copy(update={"disk_gb": size})


def test_adopted_guest_takes_no_disk(services: SqlServices) -> None:
    guest = adopted_instance(flavor=Flavor(vcpus=1, memory_mb=512, disk_gb=40))
    changes(services, adopted_host("cmp-1", guest))
    changes(services, adopted_host("cmp-1", guest))
    assert disks(services) == {"cmp-1": 0}
    assert [each.disk_gb for each in services.views.allocations()] == [0]


def test_guest_that_starts_at_home_again_takes_what_it_took(services: SqlServices, fleet: Fleet) -> None:
    world = World(services, fleet)
    before = services.views.allocations()
    world.fence("cmp-1")
    world.bring_up("cmp-1", "boot-2")
    assert services.views.allocations() == before
