"""What hosts report, and what a placement makes of it."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import Session

from evacuation import messages as m
from evacuation.capabilities import HostCapabilities, SeenDomain, SharedDirectory
from evacuation.errors import HostNotFoundError
from services.sql.ledger.judging import Judge, Reports
from services.sql.tables import InstanceRow
from tests.integration.sql.world import HOSTS, NOW, World

DOMAINS = Path(__file__).parents[2] / "unit" / "domains"
SHARED = SharedDirectory(path="/srv/vms", marker="m-1")
ABLE = HostCapabilities(
    machines={"x86_64": ("pc-q35-7.2",)}, cpu_models=("EPYC",), network_devices=("br0",), shared=(SHARED,)
)


@pytest.fixture
def world(world: World) -> World:
    """web-01 and web-03 were adopted with a definition."""
    world.define("web-01", "web-03")
    return world


UNCHANGED = m.StoredDefinition(definition="<domain/>")


def definition(name: str = "web") -> str:
    return (DOMAINS / f"{name}.xml").read_text(encoding="utf-8")


def report(world: World, host: str = "cmp-1", *names: str, second: int = 0, **more: object) -> m.HypervisorReport:
    """Of a host, and of the instances of those names, whose definitions are of that second too."""
    stored = m.StoredDefinition(definition=definition().replace("52:54:00", f"52:54:{second:02}"), signal="agent")
    usual = m.HypervisorReport(
        host=host,
        incarnation="boot-1",
        at=NOW + timedelta(seconds=second),
        capabilities=ABLE,
        guests=tuple(m.DefinedGuest(instance_id=world.id_of(name), stored=stored) for name in names),
    )
    return usual.model_copy(update=more)


def stored(world: World, name: str = "web-01") -> m.StoredDefinition:
    return world.services.store.stored_definition(world.id_of(name))


def rejected(world: World, name: str = "web-01") -> dict[str, str]:
    id = world.id_of(name)

    def judge(session: Session) -> dict[str, str]:
        return Judge(Reports(session), session.get_one(InstanceRow, id)).unable(HOSTS)

    return world.services.database.read(judge)


def test_report_keeps_capabilities_and_definitions(world: World) -> None:
    assert world.services.hosts.record_report(report(world, "cmp-1", "web-01"))
    assert stored(world).definition is not None and stored(world).signal == "agent"
    assert stored(world, "web-02") == m.StoredDefinition()
    assert world.host("cmp-1").reported_at == NOW


def test_report_writes_nothing_when_nothing_is_new(world: World) -> None:
    first = report(world, "cmp-1", "web-01")
    assert world.services.hosts.record_report(first)
    later = first.model_copy(update={"at": NOW + timedelta(hours=1)})
    assert not world.services.hosts.record_report(later)
    assert world.host("cmp-1").reported_at == NOW


def test_report_that_is_late_changes_nothing(world: World) -> None:
    world.services.hosts.record_report(report(world, "cmp-1", "web-01", second=5))
    newest = stored(world)
    assert not world.services.hosts.record_report(report(world, "cmp-1", "web-01", second=4))
    assert stored(world) == newest


def test_report_counts_when_the_hosts_clock_was_set_back(world: World) -> None:
    """What orders the reports of one boot is the time since the boot."""
    record = world.services.hosts.record_report
    record(report(world, "cmp-1", "web-01", second=50, uptime=100.0))
    assert record(report(world, "cmp-1", "web-01", second=4, uptime=101.0))
    newest = stored(world)
    assert not record(report(world, "cmp-1", "web-01", second=59, uptime=100.5))
    assert stored(world) == newest
    world.bring_up("cmp-1", "boot-2")
    assert record(report(world, "cmp-1", "web-01", second=1, uptime=2.0, incarnation="boot-2"))


def test_report_of_a_worker_of_another_release_counts(world: World) -> None:
    """It says no time since the boot, or the one before it did not."""
    record = world.services.hosts.record_report
    record(report(world, "cmp-1", "web-01", second=50))
    assert record(report(world, "cmp-1", "web-01", second=4, uptime=101.0))
    assert record(report(world, "cmp-1", "web-01", second=3))


def test_report_of_another_boot_changes_nothing(world: World) -> None:
    assert not world.services.hosts.record_report(report(world, "cmp-1", "web-01", incarnation="boot-0"))
    assert stored(world) == UNCHANGED and world.host("cmp-1").reported_at is None


def test_report_of_an_unknown_host_is_refused(world: World) -> None:
    with pytest.raises(HostNotFoundError):
        world.services.hosts.record_report(report(world, "cmp-9"))


def test_report_about_an_instance_that_lives_elsewhere_is_ignored(world: World) -> None:
    world.services.hosts.record_report(report(world, "cmp-1", "web-03"))
    assert stored(world, "web-03") == UNCHANGED


def test_report_gives_no_definition_to_an_instance_that_has_none(world: World) -> None:
    """It was not adopted: every host makes it again from its own template."""
    world.services.hosts.record_report(report(world, "cmp-1", "web-01", "web-02"))
    assert stored(world, "web-02") == m.StoredDefinition() and stored(world) != UNCHANGED


def test_report_leaves_an_instance_alone_while_it_is_evacuated(world: World) -> None:
    world.services.hosts.record_report(report(world, "cmp-1", "web-01"))
    before = stored(world)
    evacuation = world.evacuation()
    evacuation.begin()
    world.services.hosts.record_report(report(world, "cmp-1", "web-01", second=9))
    assert stored(world) == before


def test_stored_definition_goes_with_the_instance_when_it_starts_again(world: World) -> None:
    world.services.hosts.record_report(report(world, "cmp-1", "web-01"))
    guest = m.HostGuest(host="cmp-1", incarnation="boot-1", instance_id=world.id_of("web-01"), epoch=1)
    spec = world.services.hosts.authorize_start(guest)
    assert (spec.definition, spec.signal) == (stored(world).definition, "agent")


def test_placement_knows_no_obstacle_when_the_instance_has_no_definition(world: World) -> None:
    assert rejected(world, "web-02") == {}


def test_placement_passes_over_hosts_that_cannot_bring_up_the_guest(world: World) -> None:
    hosts = world.services.hosts
    hosts.record_report(report(world, "cmp-1", "web-01"))
    seen = SeenDomain(id="another", name="web", active=True)
    hosts.record_report(report(world, "cmp-2", capabilities=ABLE.model_copy(update={"domains": (seen,)})))
    assert rejected(world) == {"cmp-2": "has another domain of its name"}
    evacuation = world.evacuation()
    world.fence()
    evacuation.begin()
    assert evacuation.claim(target=None).host == "cmp-3"


def test_placement_trusts_the_instance_where_nothing_was_reported(world: World) -> None:
    """That its root disk is shared is the fleet's word; a host that is not told of shared directories shows nothing."""
    blind = ABLE.model_copy(update={"shared": ()})
    for name in ("cmp-1", "cmp-2"):
        world.services.hosts.record_report(
            report(world, name, *(["web-01"] if name == "cmp-1" else []), capabilities=blind)
        )
    assert rejected(world) == {}


def test_placement_passes_over_hosts_with_another_directory_of_the_same_path(world: World) -> None:
    hosts = world.services.hosts
    hosts.record_report(report(world, "cmp-1", "web-01"))
    other = ABLE.model_copy(update={"shared": (SharedDirectory(path="/srv/vms", marker="m-2"),)})
    hosts.record_report(report(world, "cmp-2", capabilities=other))
    hosts.record_report(report(world, "cmp-3"))
    assert rejected(world) == {"cmp-2": "does not see the shared directory of /srv/vms/web.qcow2"}


def test_check_knows_the_files_of_a_definition_that_are_no_volumes(world: World) -> None:
    world.services.hosts.record_report(report(world, "cmp-1", "web-01"))
    seen = world.services.store.check_facts(world.id_of("web-01")).instance
    assert (seen.defined, seen.files) == (True, ("/srv/vms/web.qcow2",))
    other = world.services.store.check_facts(world.id_of("web-02")).instance
    assert (other.defined, other.files) == (False, ())
