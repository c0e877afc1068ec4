"""Which machine a host is, as the store knows it."""

from evacuation.messages import HostReport
from evacuation.system_uuid import spellings
from tests.integration.sql.world import World, small_fleet

UUID = "4C4C4544-0031-3510-8052-B4C04F4A3733"


def test_host_is_the_machine_that_its_worker_said(services) -> None:
    services.fleet.load(small_fleet())
    assert services.identities.uuid_of("cmp-1") is None and services.identities.uuid_of("nowhere") is None
    report = HostReport(host="cmp-1", hypervisor_uuid=UUID, machine_id="machine", incarnation="boot-1", guests=())
    services.hosts.register(report)
    assert services.identities.uuid_of("cmp-1") == UUID


def test_machine_is_found_by_any_spelling_in_either_case(services) -> None:
    services.fleet.load(small_fleet())
    report = HostReport(host="cmp-2", hypervisor_uuid=UUID, machine_id="machine", incarnation="boot-1", guests=())
    services.hosts.register(report)
    assert services.identities.owner_of(spellings(UUID)) == "cmp-2"
    assert services.identities.owner_of([UUID]) == "cmp-2"
    assert services.identities.owner_of(spellings("8f0dbd5a-51bb-11ee-be56-0242ac120002")) is None


def test_identities_are_only_read(world: World) -> None:
    before = world.snapshot()
    world.services.identities.owner_of(spellings(UUID))
    world.services.identities.uuid_of("cmp-1")
    assert world.snapshot() == before
