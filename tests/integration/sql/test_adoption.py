"""A fleet that runs already is taken into the store, once."""

import pytest

from evacuation import messages as m
from evacuation.adoption import AdoptedHost, AdoptedInstance, AdoptedPort
from evacuation.capabilities import HostCapabilities, SeenDomain, SharedDirectory
from evacuation.errors import DuplicateInstanceError, NotAdoptableError
from evacuation.model import Flavor, PowerReading, PowerState, RootDisk, VmState
from services.sql import SqlServices
from tests.integration.sql.world import World, evidence

WEB, DB = "6f2c1d3a-0b8e-4d5f-9a61-000000000001", "6f2c1d3a-0b8e-4d5f-9a61-000000000002"


def instance(id: str = WEB, name: str = "web", **more: object) -> AdoptedInstance:
    usual = {
        "id": id,
        "name": name,
        "epoch": 1,
        "flavor": Flavor(vcpus=2, memory_mb=1024, disk_gb=0),
        "vm_state": VmState.ACTIVE,
        "power_state": PowerState.RUNNING,
        "root_disk": RootDisk.SHARED,
        "stored": m.StoredDefinition(definition=f"<domain>{name}</domain>", signal="agent"),
        "ports": (AdoptedPort(mac=f"52:54:00:00:00:{id[-2:]}", network="br0"),),
    }
    return AdoptedInstance.model_validate(usual | more)


def host(name: str = "cmp-1", *instances: AdoptedInstance, **more: object) -> AdoptedHost:
    usual = {"name": name, "vcpus": 8, "memory_mb": 16384, "capabilities": HostCapabilities(hypervisor_version="9.0.0")}
    return AdoptedHost.model_validate(usual | {"instances": instances} | more)


def everything(services: SqlServices) -> tuple[object, ...]:
    views = services.views
    lists = (views.hosts, views.instances, views.allocations, views.ports, views.residences)
    return tuple(each() for each in lists)


def changes(services: SqlServices, *hosts: AdoptedHost) -> dict[str, str]:
    return {each.name: each.change for each in services.adoption.adopt(hosts)}


def bring_up(services: SqlServices, name: str, boot: str = "boot-1") -> m.ReturnPlan:
    report = m.HostReport(host=name, hypervisor_uuid=f"uuid-{name}", machine_id="machine", incarnation=boot, guests=())
    plan = services.hosts.register(report)
    services.hosts.complete_return(m.ReturnedHost(host=name, incarnation=boot))
    return plan


def test_adoption_writes_hosts_networks_instances_and_residences(services: SqlServices) -> None:
    found = changes(services, host("cmp-1", instance(), instance(DB, "db")), host("cmp-2", availability_zone="az2"))
    assert found == {"cmp-1": "added", "web": "added", "db": "added", "cmp-2": "added"}
    hosts, instances, allocations, ports, residences = everything(services)
    assert [(h.name, h.vcpus, h.vcpus_used, h.availability_zone, h.state) for h in hosts] == [
        ("cmp-1", 32, 4, "nova", "down"),
        ("cmp-2", 32, 0, "az2", "down"),
    ]
    assert [(i.id, i.name, i.host, i.vm_state, i.power_state, i.epoch) for i in instances] == [
        (WEB, "web", "cmp-1", "active", "running", 1),
        (DB, "db", "cmp-1", "active", "running", 1),
    ]
    assert {(a.consumer_id, a.host, a.memory_mb) for a in allocations} == {(WEB, "cmp-1", 1024), (DB, "cmp-1", 1024)}
    assert [(p.host, p.mac, p.ip, p.status) for p in ports] == [
        ("cmp-1", "52:54:00:00:00:01", None, "ACTIVE"),
        ("cmp-1", "52:54:00:00:00:02", None, "ACTIVE"),
    ]
    assert {(r.instance_id, r.host, r.epoch, r.proof) for r in residences} == {
        (WEB, "cmp-1", 1, None),
        (DB, "cmp-1", 1, None),
    }
    assert services.store.stored_definition(WEB).signal == "agent"


def test_adoption_changes_nothing_when_it_is_repeated(services: SqlServices) -> None:
    fleet = (host("cmp-1", instance()), host("cmp-2"))
    changes(services, *fleet)
    before = everything(services)
    assert set(changes(services, *fleet).values()) == {"unchanged"}
    assert everything(services) == before


def test_adoption_brings_up_to_date_what_has_changed(services: SqlServices) -> None:
    changes(services, host("cmp-1", instance(), instance(DB, "db")))
    bigger = instance(
        name="web-renamed",
        flavor=Flavor(vcpus=4, memory_mb=2048, disk_gb=0),
        vm_state=VmState.STOPPED,
        power_state=PowerState.SHUTDOWN,
        ports=(AdoptedPort(mac="52:54:00:00:00:99", network="br1"),),
    )
    found = changes(services, host("cmp-1", bigger, memory_mb=32768))
    assert found == {"cmp-1": "updated", "web-renamed": "updated", "db": "left"}
    hosts, instances, _, ports, residences = everything(services)
    assert (hosts[0].memory_mb, hosts[0].vcpus_used) == (32768, 6)
    assert (instances[0].name, instances[0].vm_state, instances[0].power_state) == (
        "web-renamed",
        "stopped",
        "shutdown",
    )
    assert {p.mac for p in ports if p.instance_id == WEB} == {"52:54:00:00:00:99"}
    assert len(residences) == 2


def test_adoption_keeps_the_epoch_of_a_mark(services: SqlServices) -> None:
    changes(services, host("cmp-1", instance(epoch=7)))
    assert services.views.residences()[0].epoch == services.views.instances()[0].epoch == 7


@pytest.mark.parametrize(
    ("hosts", "error", "words"),
    [
        ((host("cmp-1", instance()), host("cmp-2", instance(name="copy"))), DuplicateInstanceError, "web on cmp-1"),
        ((host("cmp-1", instance()), host("cmp-2", instance(DB, "web"))), DuplicateInstanceError, "same name web"),
        ((host("cmp-1"), host("cmp-1")), DuplicateInstanceError, "same host cmp-1"),
        ((host("cmp-1", instance(name="my web")),), NotAdoptableError, "'my web' on cmp-1"),
        ((host("cmp 1"),), NotAdoptableError, "'cmp 1' is not a host's name"),
        (
            (
                host(
                    "cmp-1", instance(), instance(DB, "db", ports=(AdoptedPort(mac="52:54:00:00:00:01", network="n"),))
                ),
            ),
            DuplicateInstanceError,
            "MAC address",
        ),
        ((host("cmp-1", instance(), vcpus=1, cpu_allocation_ratio=1.0),), NotAdoptableError, "2 vcpus, and it has 1"),
    ],
)
def test_adoption_is_refused_and_changes_nothing(
    services: SqlServices, hosts: tuple[AdoptedHost, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        services.adoption.adopt(hosts)
    assert everything(services) == ((), (), (), (), ())


def test_adoption_is_refused_when_the_instance_lives_on_another_host(services: SqlServices) -> None:
    changes(services, host("cmp-1", instance()), host("cmp-2"))
    before = everything(services)
    with pytest.raises(DuplicateInstanceError, match="lives on cmp-1, which nothing proves off"):
        services.adoption.adopt((host("cmp-2", instance()),))
    assert everything(services) == before


def test_adoption_follows_an_instance_when_its_host_is_proven_off(services: SqlServices) -> None:
    changes(services, host("cmp-1", instance()), host("cmp-2"))
    bring_up(services, "cmp-1")
    services.evidence.record_evidence(evidence("cmp-1", "boot-1"))
    assert changes(services, host("cmp-2", instance()))["web"] == "updated"
    residences = services.views.residences()
    assert [(r.host, r.epoch, r.proof is not None) for r in residences] == [("cmp-1", 1, True), ("cmp-2", 2, False)]
    assert {a.host for a in services.views.allocations()} == {p.host for p in services.views.ports()} == {"cmp-2"}


def running(name: str, *instances: AdoptedInstance, epoch: int = 1, state: str = "running") -> AdoptedHost:
    """With what its libvirt says that runs."""
    seen = tuple(SeenDomain(id=each.id, name=each.name, active=True, epoch=epoch, state=state) for each in instances)
    return host(name, *instances, capabilities=HostCapabilities(domains=seen))


@pytest.mark.parametrize("order", [1, -1], ids=["old host first", "new host first"])
@pytest.mark.parametrize("mark", [0, 1], ids=["not marked yet", "marked"])
def test_adoption_follows_a_guest_that_was_migrated_when_both_hosts_are_read(
    services: SqlServices, order: int, mark: int
) -> None:
    changes(services, running("cmp-1", instance(), instance(DB, "db")), running("cmp-2"))
    both = (running("cmp-1", instance(DB, "db")), running("cmp-2", instance(), epoch=mark))
    assert changes(services, *both[::order])["web"] == "updated"
    residences = {r.instance_id: (r.host, r.epoch, r.proof, len(r.moved_from)) for r in services.views.residences()}
    assert residences == {WEB: ("cmp-2", 1, None, 1), DB: ("cmp-1", 1, None, 0)}
    assert {a.host for a in services.views.allocations() if a.consumer_id == WEB} == {"cmp-2"}
    before = everything(services)
    assert set(changes(services, *both).values()) == {"unchanged"}
    assert everything(services) == before


@pytest.mark.parametrize(
    "found",
    [
        (running("cmp-2", instance()),),
        (running("cmp-1"), running("cmp-2", instance(), epoch=7)),
        (running("cmp-1"), running("cmp-2", instance(), state="migrating")),
        (running("cmp-1"), host("cmp-2", instance(vm_state=VmState.STOPPED))),
        (running("cmp-1", instance()).model_copy(update={"instances": ()}), running("cmp-2", instance())),
    ],
    ids=["the old host was not read", "another mark", "on its way", "it does not run", "left out on the old host"],
)
def test_adoption_does_not_follow_what_may_be_a_copy(services: SqlServices, found: tuple[AdoptedHost, ...]) -> None:
    changes(services, running("cmp-1", instance()), running("cmp-2"))
    before = everything(services)
    with pytest.raises(DuplicateInstanceError, match="lives on cmp-1"):
        services.adoption.adopt(found)
    assert everything(services) == before


def test_adoption_follows_with_its_mark_what_has_left_a_host_that_is_off_since(services: SqlServices) -> None:
    changes(services, running("cmp-1", instance()), running("cmp-2"))
    bring_up(services, "cmp-1")
    services.evidence.record_evidence(evidence("cmp-1", "boot-1"))
    assert changes(services, running("cmp-2", instance()))["web"] == "updated"
    assert [(r.host, r.epoch, r.proof) for r in services.views.residences()] == [("cmp-2", 1, None)]


def test_adoption_takes_a_word_for_a_proof_only_after_the_power_was_read(services: SqlServices) -> None:
    services.adoption.adopt((host("cmp-1", instance()),))
    bring_up(services, "cmp-1")
    services.evidence.record_evidence(evidence("cmp-1", "boot-1", "operator"))
    before = everything(services)
    with pytest.raises(DuplicateInstanceError, match="whose power was not read"):
        services.adoption.adopt((host("cmp-2", instance()),))
    assert everything(services) == before
    services.evidence.record_reading("cmp-1", PowerReading.UNKNOWN, evidence().at)
    assert changes(services, host("cmp-2", instance()))["web"] == "updated"


def test_adoption_is_refused_when_the_host_is_fenced(services: SqlServices) -> None:
    changes(services, host("cmp-1", instance()))
    bring_up(services, "cmp-1")
    services.evidence.record_evidence(evidence("cmp-1", "boot-1"))
    with pytest.raises(NotAdoptableError, match="cmp-1 is fenced"):
        services.adoption.adopt((host("cmp-1", instance()),))


def test_adoption_leaves_an_instance_alone_while_it_is_evacuated(world: World) -> None:
    world.evacuation().begin()
    before = world.instance()
    found = world.services.adoption.adopt((host("cmp-1", instance(before.id, "web-01")),))
    assert [(each.change, each.note) for each in found if each.name == "web-01"] == [("left", "it is being evacuated")]
    assert world.instance() == before


def test_adoption_leaves_a_loaded_fleet_as_it_is(world: World) -> None:
    exported = world.services.fleet.export()
    changes(world.services, host("cmp-9", instance()))
    after = world.services.fleet.export()
    assert after.hosts[:3] == exported.hosts and after.instances[:4] == exported.instances
    assert after.instances[4].name == "web" and after.hosts[3].name == "cmp-9"


def test_adopted_fleet_can_be_claimed_and_exported(services: SqlServices) -> None:
    changes(services, host("cmp-1", instance()), host("cmp-2"))
    assert [each.name for each in services.fleet.export().instances] == ["web"]
    assert services.store.check_facts(WEB).placement.source == "cmp-1"


def test_adoption_from_afar_keeps_what_the_host_itself_reported(services: SqlServices) -> None:
    changes(services, host("cmp-1"))
    bring_up(services, "cmp-1")
    own = HostCapabilities(cpu_models=("EPYC",), network_devices=("br0",))
    report = m.HypervisorReport(host="cmp-1", incarnation="boot-1", at=evidence().at, capabilities=own)
    services.hosts.record_report(report)
    shared = SharedDirectory(path="/srv/vms", marker="m-1")
    found = host("cmp-1", capabilities=HostCapabilities(cpu_models=("Haswell",), shared=(shared,)))
    assert changes(services, found) == {"cmp-1": "updated"}
    assert not services.hosts.record_report(
        report.model_copy(update={"capabilities": own.model_copy(update={"shared": (shared,)})})
    )


def test_adoption_refuses_a_name_like_an_id(services: SqlServices) -> None:
    for guests in ((host("cmp-1", instance(name=DB.upper())),), (host(DB.replace("-", "")),)):
        with pytest.raises(NotAdoptableError, match="would be taken for an id") as refused:
            services.adoption.adopt(guests)
        assert "--skip" in refused.value.remedy
    assert services.views.hosts() == ()
