import pytest

from evacuation.errors import FleetError, HostNotFoundError, InstanceNotFoundError
from evacuation.fleet import Fleet
from services.sql import SqlServices
from tests.integration.sql.world import World, host, instance, small_fleet


def test_fleet_comes_out_as_it_went_in(services: SqlServices) -> None:
    fleet = Fleet.model_validate(
        {
            "hosts": [host("cmp-1", traits=["SSD"], availability_zone="az1", cpu_allocation_ratio=2.0)],
            "networks": [{"name": "lan", "cidr": "10.0.0.0/24"}, {"name": "six", "cidr": "fd00::/64"}],
            "volumes": [{"name": "v", "size_gb": 1}],
            "server_groups": [{"name": "g", "policy": "soft-affinity"}],
            "instances": [
                instance("a", ports=[{"network": "lan"}, {"network": "six"}], volumes=["v"], server_group="g"),
                instance("b", vm_state="error", task_state="powering-off", evacuate=False, traits=["SSD"]),
            ],
            "disk_lock": False,
        }
    )
    services.fleet.load(fleet)
    assert services.fleet.export() == fleet


def test_loading_the_same_fleet_again_changes_nothing(world: World) -> None:
    world.evacuation().recover()
    before = world.snapshot()
    world.services.fleet.load(small_fleet())
    world.services.fleet.load(world.services.fleet.export())
    assert world.snapshot() == before


def test_loading_another_fleet_is_refused(world: World) -> None:
    with pytest.raises(FleetError):
        world.services.fleet.load(Fleet.model_validate({"hosts": [host("other")]}))


def test_exporting_nothing_is_refused(services: SqlServices) -> None:
    with pytest.raises(FleetError):
        services.fleet.export()


def test_ports_get_addresses_after_the_gateway_in_order(services: SqlServices) -> None:
    ports = [{"network": "lan"}, {"network": "lan"}]
    fleet = {
        "hosts": [host("cmp-1")],
        "networks": [{"name": "lan", "cidr": "10.0.0.0/29"}],
        "instances": [instance("a", ports=ports), instance("b", ports=ports)],
    }
    services.fleet.load(Fleet.model_validate(fleet))
    found = services.views.ports()
    assert [port.ip for port in found] == ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]
    assert len({port.mac for port in found}) == 4


def test_loaded_hosts_are_down_until_they_return(services: SqlServices) -> None:
    services.fleet.load(small_fleet())
    assert {(each.state, each.enabled, each.fenced) for each in services.views.hosts()} == {("down", True, False)}
    assert {each.power_state for each in services.views.instances()} == {"nostate"}


def test_views_are_in_the_order_of_creation(world: World) -> None:
    assert [each.name for each in world.services.views.instances()] == ["web-01", "web-02", "db-01", "web-03"]
    assert [each.name for each in world.services.views.hosts()] == ["cmp-1", "cmp-2", "cmp-3"]


def test_names_and_ids_resolve_to_the_id(world: World) -> None:
    views = world.services.views
    assert views.resolve_instance(views.resolve_instance("web-02")) == views.instances()[1].id
    assert views.resolve_host("cmp-1") == "cmp-1"
    with pytest.raises(InstanceNotFoundError):
        views.resolve_instance("nobody")
    with pytest.raises(HostNotFoundError):
        views.resolve_host("nowhere")
