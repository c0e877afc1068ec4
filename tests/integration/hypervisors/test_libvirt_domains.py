"""What the libvirt driver does with definitions, on libvirt's own test driver."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from evacuation import messages as m
from evacuation.errors import (
    DestinationUnableError,
    HypervisorUnableError,
    HypervisorUnavailableError,
    NobodyWaitsError,
    SignalPatternError,
    SpawnFailedError,
)
from evacuation.model import PowerState, RootDisk
from services.definitions.libvirt.metadata import epoch_of
from services.definitions.libvirt.names import NAMESPACE
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.domains import Domains
from services.hypervisors.libvirt.driver import LibvirtHypervisor
from services.hypervisors.libvirt.look import LibvirtLook
from tests.integration.hypervisors.worlds import INSTANCE, OTHER, LibvirtWorld, call, eventually, spawn, spec

BOTH = (INSTANCE, OTHER)
SHUT_DOWN = PowerState.SHUTDOWN
REPOSITORY = Path(__file__).resolve().parents[3]


class Bench:
    """A driver, and libvirt itself beside it on the same connection."""

    def __init__(self, world: LibvirtWorld) -> None:
        self.world = world
        self.driver = world.hypervisor("cmp-1")

    @property
    def connection(self) -> LibvirtConnection:
        return self.driver._connection

    @property
    def domains(self) -> Domains:
        return self.driver._domains

    def define(self, *, name: str = "web-01", instance: str = INSTANCE, autostart: bool = False, run: bool = False):
        xml = (
            f"<domain type='test'><name>{name}</name><uuid>{instance}</uuid><memory>65536</memory><os><type>hvm</type>"
        )

        self.connection.run("define", xml + "<type>hvm</type></os></domain>")
        self.connection.run("set_autostart", instance, autostart)
        if run:
            self.connection.run("create", instance)

    def autostarts(self) -> bool:
        return self.domains.autostarts(INSTANCE)


@pytest.fixture
def bench(libvirt_world: LibvirtWorld, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """How long a machine takes to give a pattern its second of the processor is not what is tested."""
    monkeypatch.setattr("services.hypervisors.libvirt.patterns.WAIT", 60.0)
    return Bench(libvirt_world)


def test_inventory_gives_a_domain_without_a_mark_the_oldest_epoch(bench: Bench) -> None:
    bench.define(run=True)
    assert bench.driver.inventory() == (m.GuestState(instance_id=INSTANCE, epoch=0, power_state=PowerState.RUNNING),)


def test_look_tells_of_what_runs_and_by_which_mark(bench: Bench) -> None:
    bench.define(run=True)
    bench.define(name="off", instance=OTHER)
    spawn(bench.driver, spec(1))
    found = LibvirtLook(bench.world.options("cmp-1"), bench.connection).look()
    assert [(each.id, each.name, each.epoch, each.state, each.disks) for each in found.domains if each.id in BOTH] == [
        (INSTANCE, "web-01", 1, "running", ())
    ]
    assert [each.path for each in found.shared] == [str(bench.world.path / "shared")]


def test_spawn_marks_the_guest_that_was_there_before_when_its_epoch_is_the_first(bench: Bench) -> None:
    bench.define(run=True, autostart=True)
    spawn(bench.driver, spec(1))
    assert [guest.epoch for guest in bench.driver.inventory()] == [1]
    assert not bench.autostarts()


def test_spawn_refuses_a_guest_without_a_mark_when_it_is_an_evacuation(bench: Bench) -> None:
    bench.define(run=True)
    with pytest.raises(DestinationUnableError, match="epoch 0"):
        spawn(bench.driver, spec(2))


def test_guest_without_a_mark_is_destroyed_when_its_instance_was_evacuated(bench: Bench) -> None:
    bench.define(run=True)
    bench.driver.destroy(INSTANCE, 1)
    assert bench.driver.inventory() == ()


def test_spawned_guest_is_never_started_by_libvirtd_itself(bench: Bench) -> None:
    bench.define(autostart=True)
    spawn(bench.driver, spec(2))
    assert not bench.autostarts()


def test_spawn_names_the_conflict_when_another_domain_has_the_name(bench: Bench) -> None:
    bench.define(instance=OTHER)
    with pytest.raises(DestinationUnableError) as caught:
        spawn(bench.driver, spec(2))
    assert "rename or undefine" in caught.value.remedy
    assert [guest.instance_id for guest in bench.driver.inventory()] == [OTHER]


def test_spawn_replaces_an_older_definition_that_has_another_name(bench: Bench) -> None:
    bench.define(name="old-name")
    stored = (
        f"<domain><name>new-name</name><uuid>{INSTANCE}</uuid><memory>65536</memory><os><type>hvm</type></os></domain>"
    )
    spawn(bench.driver, spec(2).model_copy(update={"definition": stored}))
    assert [(seen.name, seen.epoch, seen.active) for seen in bench.domains.all()] == [("new-name", 2, True)]


def test_older_definition_is_back_when_the_spawn_was_called_off(bench: Bench) -> None:
    def nobody_waits() -> None:
        raise NobodyWaitsError("the activity is over")

    spawn(bench.driver, spec(1, power_state=SHUT_DOWN))
    with pytest.raises(NobodyWaitsError):
        bench.driver.spawn(spec(2), last_look=nobody_waits, beat=lambda _: None)
    assert [(guest.epoch, guest.power_state) for guest in bench.driver.inventory()] == [(1, SHUT_DOWN)]


def test_last_look_comes_when_the_guest_is_defined_and_not_yet_created(bench: Bench) -> None:
    seen: list[tuple[int, PowerState]] = []

    def look() -> None:
        seen.extend((guest.epoch, guest.power_state) for guest in bench.driver.inventory())

    bench.driver.spawn(spec(4), last_look=look, beat=lambda _: None)
    assert seen == [(4, SHUT_DOWN)]
    assert epoch_of(bench.domains.definition(INSTANCE) or "") == 4


def test_spawn_leaves_nothing_when_the_guest_does_not_give_its_signal(bench: Bench) -> None:
    driver = LibvirtHypervisor(bench.world.options("cmp-2", signal="serial", signal_timeout=0.05))
    with pytest.raises(SpawnFailedError, match="no sign of life"):
        spawn(driver, spec(1))
    assert driver.inventory() == ()


def test_settle_waits_for_the_signal_and_destroys_without_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spawner died while it waited: the guest runs, and nobody has heard from it."""
    monkeypatch.setattr("services.hypervisors.libvirt.driver.SETTLE_WAIT", 0.05)
    driver = LibvirtHypervisor(bench.world.options("cmp-2", signal="serial"))

    def die(progress: str) -> None:
        if progress.startswith("waiting for a console"):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("services.hypervisors.libvirt.guests.LibvirtGuests._back_out", lambda *_: None)
        driver.spawn(spec(1), last_look=lambda: None, beat=die)
    assert [guest.power_state for guest in driver.inventory()] == [PowerState.RUNNING]
    assert not driver.settle(call(1))
    assert driver.inventory() == ()


def test_settle_goes_forward_when_the_signal_came_after_the_spawner_died(bench: Bench) -> None:
    options = bench.world.options("cmp-2", signal="serial")
    driver = LibvirtHypervisor(options)

    def die(progress: str) -> None:
        if progress.startswith("waiting for a console"):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("services.hypervisors.libvirt.guests.LibvirtGuests._back_out", lambda *_: None)
        driver.spawn(spec(1), last_look=lambda: None, beat=die)
    (options.state_dir / "consoles" / f"{INSTANCE}.log").write_text("web-01 login: ")
    assert driver.settle(call(1))


EVIL = r"([\w\s=-]+)+Z$"


def test_spawn_refuses_a_pattern_that_nobody_can_look_for_before_it_defines_anything(bench: Bench) -> None:
    driver = LibvirtHypervisor(bench.world.options("cmp-2", signal="serial", signal_line=EVIL))
    with pytest.raises(SignalPatternError, match="takes longer than 1 s"):
        spawn(driver, spec(1))
    assert driver.inventory() == ()


def test_spawn_ends_and_leaves_nothing_when_what_the_guest_says_keeps_the_pattern_busy(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line that anybody thought of has shown it before."""
    monkeypatch.setattr("services.hypervisors.libvirt.signals.require_sound", lambda _: None)
    options = bench.world.options("cmp-2", signal="serial", signal_line=EVIL)
    driver, said = LibvirtHypervisor(options), list[str]()

    def beat(progress: str) -> None:
        said.append(progress)
        if progress.startswith("waiting for a console line"):
            (options.state_dir / "consoles" / f"{INSTANCE}.log").write_text("a = b - c d e f g h i j k l m n o p q r\n")

    with pytest.raises(SignalPatternError, match="takes longer than 1 s"):
        driver.spawn(spec(1), last_look=lambda: None, beat=beat)
    assert said
    assert driver.inventory() == ()


def test_settle_destroys_a_guest_of_which_nobody_can_tell_whether_it_is_up(bench: Bench) -> None:
    options = bench.world.options("cmp-2", signal="serial", signal_line=r"login: *$")
    driver = LibvirtHypervisor(options)

    def die(progress: str) -> None:
        if progress.startswith("waiting for a console"):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("services.hypervisors.libvirt.guests.LibvirtGuests._back_out", lambda *_: None)
        driver.spawn(spec(1), last_look=lambda: None, beat=die)
    kept = options.state_dir / "signals" / f"{INSTANCE}.json"
    kept.write_text(kept.read_text().replace("login: *$", "([a-z ]+)+Z$"))
    (options.state_dir / "consoles" / f"{INSTANCE}.log").write_text("a b c d e f g h i j k l m n o p q r s t u\n")
    assert not driver.settle(call(1))
    assert driver.inventory() == ()


def test_signal_of_the_definition_is_heeded(bench: Bench) -> None:
    stored = f"""<domain><name>web-01</name><uuid>{INSTANCE}</uuid><memory>65536</memory><os><type>hvm</type></os>
    <metadata><e:instance xmlns:e="{NAMESPACE}"><e:signal kind="agent"/></e:instance></metadata></domain>"""
    with pytest.raises(DestinationUnableError, match="no channel"):
        spawn(bench.driver, spec(2).model_copy(update={"definition": stored}))
    assert bench.driver.inventory() == ()


def test_prepare_refuses_when_a_shared_directory_is_not_there(bench: Bench, tmp_path: Path) -> None:
    driver = LibvirtHypervisor(bench.world.options("cmp-2", shared_dirs=(tmp_path / "not-mounted",)))
    about = m.HostCall(host="cmp-2", hypervisor_uuid=None, incarnation=None)
    with pytest.raises(DestinationUnableError, match="not visible") as caught:
        driver.prepare(
            m.PrepareDestination(call=about, instance_id=INSTANCE, name="web", epoch=1, root_disk=RootDisk.SHARED)
        )
    assert "mount" in caught.value.remedy


def test_connect_volumes_refuses_when_nobody_listens_at_the_volume_server(bench: Bench) -> None:
    about = m.HostCall(host="cmp-1", hypervisor_uuid=None, incarnation=None)
    target = m.VolumeTarget(host="127.0.0.1", port=1)
    disk = m.GuestDisk(volume_id="v", device="vdb", attachment_id="a", target=target)
    with pytest.raises(DestinationUnableError, match="volume server"):
        bench.driver.connect_volumes(m.ConnectVolumes(call=about, instance_id=INSTANCE, epoch=1, disks=(disk,)))


def test_incarnation_is_new_when_the_hosts_run_directory_is(bench: Bench) -> None:
    options = bench.world.options("cmp-1")
    first = LibvirtHypervisor(options).identity()
    assert LibvirtHypervisor(options).identity() == first
    assert options.incarnation_file is not None
    options.incarnation_file.unlink()
    assert LibvirtHypervisor(options).identity().incarnation != first.incarnation


def test_host_says_who_it_is_when_its_libvirt_has_gone(bench: Bench) -> None:
    options = bench.world.options("cmp-1", hypervisor_uuid=None)
    with pytest.raises(HypervisorUnableError, match="uuid"):
        LibvirtHypervisor(options).identity()


@pytest.mark.parametrize(
    ("uri", "error", "says"),
    [
        ("nonsense://x", HypervisorUnableError, "no URI of a libvirt"),
        ("qemu+carrier-pigeon://x/system", HypervisorUnableError, "no URI of a libvirt"),
        ("qemu+tls://127.0.0.1/system?pkipath=/nowhere", HypervisorUnableError, "libvirt refuses the connection"),
        ("qemu+unix:///system?socket=/nowhere/sock", HypervisorUnavailableError, "libvirt does not answer"),
    ],
)
def test_connection_says_in_one_line_why_it_cannot_be_had(
    tmp_path: Path, bench: Bench, uri: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        LibvirtConnection(uri, "cmp-1", timeout=20).run("version")
    assert "\n" not in str(caught.value)


def test_survey_says_what_the_host_has_and_what_its_driver_cannot_say(bench: Bench) -> None:
    bench.define(run=True)
    found = bench.connection.reading("survey", "test", NAMESPACE)
    assert (found["vcpus"], found["memory_mb"]) == (8, 16384)
    assert found["domain_capabilities"] is None
    assert [(each["uuid"], each["active"]) for each in found["domains"]] == [(INSTANCE, True)]
    assert "<name>web-01</name>" in found["domains"][0]["definition"]


OPEN_AND_WAIT = """
import sys, time
from services.hypervisors.libvirt.connection import LibvirtConnection
connection = LibvirtConnection(sys.argv[1], "cmp-1", timeout=20)
connection.run("version")
print(connection._idle[0]._process.process.pid, flush=True)
time.sleep(60)
"""


def test_helper_ends_when_its_worker_was_killed(bench: Bench) -> None:
    command = [sys.executable, "-c", OPEN_AND_WAIT, bench.connection.uri]
    worker = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    helper = int(worker.stdout.readline())
    assert psutil.pid_exists(helper)
    worker.kill()
    worker.communicate()
    eventually(lambda: not psutil.pid_exists(helper) or psutil.Process(helper).status() == psutil.STATUS_ZOMBIE)


def test_call_is_asked_again_on_a_new_helper_when_the_old_one_ended(libvirt_world: LibvirtWorld) -> None:
    """Without a state to lose: libvirt's test driver has one for every process."""
    connection = libvirt_world.hypervisor("cmp-1")._connection
    version = connection.reading("version")
    connection._idle[0]._process.process.kill()
    assert connection.reading("version") == version


def test_call_that_does_not_return_ends_with_its_helper(libvirt_world: LibvirtWorld) -> None:
    connection = libvirt_world.hypervisor("cmp-1")._connection
    connection.run("version")
    process = connection._idle[0]._process.process
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(HypervisorUnavailableError, match=r"version on cmp-1 did not come to an end in 0\.2 s"):
        connection.run("version", timeout=0.2)
    assert process.poll() == -signal.SIGKILL
    assert connection.run("version")


STORED = """<domain type='test'><name>web-01</name><uuid>{id}</uuid><memory>65536</memory><os><type>hvm</type></os>
<devices><disk type='file' device='disk'><source file='{path}'/><target dev='vda'/></disk></devices></domain>"""


def prepare(**given: object) -> m.PrepareDestination:
    about = m.HostCall(host="cmp-1", hypervisor_uuid=None, incarnation=None)
    usual = m.PrepareDestination(call=about, instance_id=INSTANCE, name="web-01", epoch=2, root_disk=RootDisk.SHARED)
    return usual.model_copy(update=given)


def test_host_is_unable_when_a_disk_of_the_definition_is_missing_or_empty(bench: Bench) -> None:
    disk = bench.world.path / "shared" / "web.raw"
    guest = spec(2).model_copy(update={"definition": STORED.format(id=INSTANCE, path=disk)})
    message = prepare(defined=True, files=(str(disk),))
    for make, why in ((lambda: None, "is not there"), (disk.touch, "is empty")):
        make()
        for attempt in (lambda: bench.driver.prepare(message), lambda: spawn(bench.driver, guest)):
            with pytest.raises(DestinationUnableError, match=f"{disk} {why}") as refused:
                attempt()
            assert "restore it" in refused.value.remedy
        assert bench.driver.inventory() == ()
    disk.write_bytes(bytes(512))
    bench.driver.prepare(message)
    spawn(bench.driver, guest)


def test_host_is_unable_when_the_shared_directory_is_not_mounted(bench: Bench) -> None:
    """The directory is there, and what was in it is not."""
    for file in (bench.world.path / "shared").iterdir():
        file.unlink()
    with pytest.raises(DestinationUnableError, match="no root disk of web-01 is visible"):
        bench.driver.prepare(prepare())
    bench.driver.prepare(prepare(root_disk=RootDisk.VOLUME))
    assert not list((bench.world.path / "shared").glob("*.raw"))


def test_host_is_unable_when_a_disk_of_what_it_has_defined_is_missing(bench: Bench) -> None:
    disk = bench.world.path / "shared" / "web.raw"
    bench.connection.run("define", STORED.format(id=INSTANCE, path=disk))
    with pytest.raises(DestinationUnableError, match="is not there"):
        bench.driver.prepare(prepare())
