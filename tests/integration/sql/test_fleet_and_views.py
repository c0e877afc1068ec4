import pytest
from sqlalchemy import text
from sqlmodel import Session

from evacuation.errors import AmbiguousNameError, FleetError, HostNotFoundError, InstanceNotFoundError
from evacuation.fleet import Fleet
from services.sql import SqlServices
from services.sql.fleet.loading import device
from services.sql.tables import InstanceRow
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


def _renamed(world: World, asked: str, to: str) -> None:
    """As a release before this one took it."""
    id = world.id_of(asked)

    def rename(session: Session) -> None:
        session.get_one(InstanceRow, id).name = to

    world.services.store._database.write(rename)


def test_id_comes_before_another_instances_name(world: World) -> None:
    id, named = world.id_of("web-02"), world.id_of("web-01")
    for form in (id, id.upper(), id.replace("-", ""), f"{{{id}}}", f"urn:uuid:{id}"):
        _renamed(world, named, form)
        assert world.services.views.resolve_instance(form) == id


def test_store_that_has_a_name_like_an_id_goes_on_with_it(world: World) -> None:
    form = "0f2c1d3a-0b8e-4d5f-9a61-00000000000f"
    first = world.id_of("web-01")
    _renamed(world, "web-01", form)
    assert world.services.views.resolve_instance(form) == first
    exported = world.services.fleet.export()
    assert exported.instances[0].name == form
    world.services.fleet.load(exported)


def test_loading_refuses_a_name_like_an_id_whoever_made_the_fleet(services: SqlServices) -> None:
    fleet = {"hosts": [host("cmp-1")], "instances": [instance("0f2c1d3a0b8e4d5f9a6100000000000f")]}
    with pytest.raises(FleetError, match=r"instances\[0\].name: .* has the form of a uuid"):
        services.fleet.load(Fleet.model_validate(fleet))
    assert services.views.hosts() == ()


def test_ambiguous_name_lists_the_ids(world: World) -> None:
    """Only where the constraint is gone."""
    database = world.services.store._database
    ids = [world.id_of("web-01"), world.id_of("web-03")]
    if database._is_sqlite:
        pytest.skip("SQLite keeps a constraint for good")

    def call_all_the_same(session: Session) -> None:
        session.connection().execute(text("ALTER TABLE instance DROP CONSTRAINT uq_instance_name"))
        session.connection().execute(text("UPDATE instance SET name = 'web' WHERE name IN ('web-01', 'web-03')"))

    database.write(call_all_the_same)
    try:
        with pytest.raises(AmbiguousNameError, match='2 instances are called "web"') as refused:
            world.services.views.resolve_instance("web")
        assert refused.value.remedy == f"name one by its id: {ids[0]} on cmp-1, {ids[1]} on cmp-2"
        assert world.services.views.resolve_instance(ids[1]) == ids[1]
    finally:
        database.write(_distinct_again)


def _distinct_again(session: Session) -> None:
    session.connection().execute(text("UPDATE instance SET name = id WHERE name = 'web'"))
    session.connection().execute(text("ALTER TABLE instance ADD CONSTRAINT uq_instance_name UNIQUE (name)"))


def test_every_volume_of_an_instance_has_a_device_of_its_own(services: SqlServices) -> None:
    names = [f"v-{number}" for number in range(710)]
    fleet = {
        "hosts": [host("cmp-1")],
        "volumes": [{"name": name, "size_gb": 1} for name in names],
        "instances": [instance("a", volumes=names)],
    }
    services.fleet.load(Fleet.model_validate(fleet))
    assert services.fleet.export().instances[0].volumes == tuple(names)


@pytest.mark.parametrize(
    ("index", "name"), [(0, "vda"), (25, "vdz"), (26, "vdaa"), (701, "vdzz"), (702, "vdaaa"), (18277, "vdzzz")]
)
def test_devices_are_named_as_linux_names_them(index: int, name: str) -> None:
    assert device(index) == name
