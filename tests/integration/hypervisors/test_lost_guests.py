"""Guests whose QEMU runs and that libvirt does not know: they are seen, and nothing is gone while they live."""

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from evacuation import messages as m
from evacuation.errors import (
    DestinationUnableError,
    HypervisorUnableError,
    HypervisorUnavailableError,
    SpawnFailedError,
)
from evacuation.model import PowerState, RootDisk
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.driver import LibvirtHypervisor
from services.hypervisors.libvirt.look import LibvirtLook
from services.hypervisors.libvirt.signals import AwaitedSignal
from services.runtime.durable_files import write
from tests.integration.hypervisors.worlds import LibvirtWorld, eventually, spawn, spec
from tests.support.qemus import IGNORES, Qemus, qemus

RUNNING, SHUT_DOWN = PowerState.RUNNING, PowerState.SHUTDOWN


class Bench:
    """A host, and one instance that no other test has: its process table is this machine's."""

    def __init__(self, world: LibvirtWorld, fake: Qemus) -> None:
        self.driver = LibvirtHypervisor(world.options("cmp-1", proc=Path("/proc")))
        self.world = world
        self.instance = str(uuid.uuid4())
        self._fake = fake
        (world.path / "shared" / f"{self.instance}.raw").write_bytes(bytes(512))

    def lose(self, **given: str) -> "subprocess.Popen[bytes]":
        return self._fake.start(self.instance, **given)

    def started_here(self, epoch: int) -> None:
        """As the worker remembers it."""
        awaited = AwaitedSignal(
            kind="none", instance_id=self.instance, epoch=epoch, line="", console=Path("x"), address=None
        )
        write(self.driver._guests._signal_file(self.instance), awaited)

    def spec(self, epoch: int, **given: PowerState) -> m.GuestSpec:
        return spec(epoch, instance_id=self.instance, **given)

    def call(self, epoch: int, power_state: PowerState = RUNNING) -> m.GuestCall:
        about = m.HostCall(host="cmp-1", hypervisor_uuid=None, incarnation=None)
        return m.GuestCall(call=about, instance_id=self.instance, epoch=epoch, power_state=power_state)

    def prepare(self, epoch: int) -> m.PrepareDestination:
        about = m.HostCall(host="cmp-1", hypervisor_uuid=None, incarnation=None)
        return m.PrepareDestination(
            call=about, instance_id=self.instance, name="web-01", epoch=epoch, root_disk=RootDisk.SHARED
        )

    def inventory(self) -> list[tuple[int, PowerState, bool]]:
        guests = (each for each in self.driver.inventory() if each.instance_id == self.instance)
        return [(each.epoch, each.power_state, each.paused) for each in guests]

    def look(self) -> list[tuple[int | None, str | None, bool]]:
        """Epoch, state, and whether its disks are known."""
        options = self.world.options("cmp-1", proc=Path("/proc"))
        domains = LibvirtLook(options, self.driver._connection).look().domains
        mine = (each for each in domains if each.id == self.instance)
        return [(each.epoch, each.state, each.disks is not None) for each in mine]


@pytest.fixture
def bench(libvirt_world: LibvirtWorld) -> Iterator[Bench]:
    with qemus() as fake:
        yield Bench(libvirt_world, fake)


def test_destroy_ends_the_qemu_that_libvirt_does_not_know(bench: Bench) -> None:
    lost = bench.lose()
    bench.driver.destroy(bench.instance, 1)
    assert lost.poll() is not None
    assert bench.inventory() == []


def test_settle_ends_it_too_also_where_the_guest_is_defined_and_wanted_stopped(bench: Bench) -> None:
    spawn(bench.driver, bench.spec(1, power_state=SHUT_DOWN))
    assert bench.driver.settle(bench.call(1, SHUT_DOWN))
    lost = bench.lose()
    assert not bench.driver.settle(bench.call(1, SHUT_DOWN))
    assert lost.poll() is not None
    assert bench.inventory() == []


def test_guest_is_not_gone_while_its_qemu_cannot_be_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.hypervisors.libvirt.processes.ENDS", ((signal.SIGTERM, 0.1),))
    lost = bench.lose(does=IGNORES)
    for attempt in (
        lambda: bench.driver.destroy(bench.instance, 1),
        lambda: bench.driver.settle(bench.call(1)),
    ):
        with pytest.raises(SpawnFailedError, match=f"process {lost.pid} .* does not end on cmp-1") as refused:
            attempt()
        assert "cut the host's power" in refused.value.remedy
    assert lost.poll() is None


def test_guest_is_not_gone_while_a_qemu_that_ends_may_be_its_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.hypervisors.libvirt.lost.END_TIMEOUT", 0.05)
    nameless = bench.world.path / "proc" / "7"
    (nameless / "task" / "7").mkdir(parents=True)
    for folder in (nameless, nameless / "task" / "7"):
        (folder / "comm").write_text("qemu-system-x86\n")
        (folder / "stat").write_text("7 (qemu-system-x86) D 1 1 1 0 -1 4 " + "0 " * 12 + "4711 0 0\n")
    driver = LibvirtHypervisor(bench.world.options("cmp-2", proc=bench.world.path / "proc"))
    with pytest.raises(SpawnFailedError, match="process 7 on cmp-2"):
        driver.destroy(bench.instance, 1)
    assert driver.inventory() == ()


def test_inventory_names_it_by_the_epoch_that_was_last_started_here(bench: Bench) -> None:
    bench.lose()
    assert bench.inventory() == [(0, RUNNING, False)]
    bench.driver._domains.define(
        f"<domain type='test'><name>web</name><uuid>{bench.instance}</uuid><memory>65536</memory>"
        "<os><type>hvm</type></os></domain>"
    )
    bench.driver._domains.mark(bench.instance, 3)
    assert bench.inventory() == [(3, RUNNING, False)]
    bench.started_here(7)
    assert bench.inventory() == [(7, RUNNING, False)]


def test_newer_one_is_left_alone_by_the_destroy_of_an_older_epoch(bench: Bench) -> None:
    bench.started_here(7)
    lost = bench.lose()
    bench.driver.destroy(bench.instance, 5)
    assert lost.poll() is None
    bench.driver.destroy(bench.instance, 7)
    assert lost.poll() is not None


def test_paused_one_makes_no_progress_and_is_told_as_paused(bench: Bench) -> None:
    bench.started_here(2)
    lost = bench.lose()
    bench.driver.pause(bench.instance, 1)
    assert bench.inventory() == [(2, RUNNING, False)]
    bench.driver.pause(bench.instance, 2)
    assert bench.inventory() == [(2, RUNNING, True)]
    bench.driver.destroy(bench.instance, 2)
    assert lost.poll() is not None


def test_nothing_is_started_beside_it(bench: Bench) -> None:
    bench.started_here(1)
    lost = bench.lose()
    for attempt in (lambda: bench.driver.prepare(bench.prepare(2)), lambda: spawn(bench.driver, bench.spec(2))):
        with pytest.raises(DestinationUnableError, match=f"unknown to libvirt: process {lost.pid}, epoch 1") as refused:
            attempt()
        assert f"kill {lost.pid}" in refused.value.remedy
    assert lost.poll() is None
    assert bench.inventory() == [(1, RUNNING, False)]


def test_spawn_ends_one_that_was_called_off_and_lived_on(bench: Bench) -> None:
    bench.driver.destroy(bench.instance, 3)
    lost = bench.lose()
    bench.driver.prepare(bench.prepare(4))
    assert lost.poll() is None
    spawn(bench.driver, bench.spec(4))
    assert lost.poll() is not None
    assert bench.inventory() == [(4, RUNNING, False)]


def test_second_qemu_beside_libvirts_own_is_seen_and_no_such_guest_is_as_wanted(bench: Bench) -> None:
    spawn(bench.driver, bench.spec(1))
    first = bench.lose()
    assert bench.inventory() == [(1, RUNNING, False)]
    assert bench.driver.settle(bench.call(1))
    second = bench.lose()
    assert bench.inventory() == [(1, RUNNING, False), (1, RUNNING, False)]
    with pytest.raises(DestinationUnableError, match="beside the one that libvirt knows"):
        spawn(bench.driver, bench.spec(1))
    with pytest.raises(SpawnFailedError, match="does not pause"):
        bench.driver.pause(bench.instance, 1)
    assert first.poll() is None and second.poll() is None
    # libvirt ends its own with the domain; this one has none.
    assert not bench.driver.settle(bench.call(1))
    assert first.poll() is not None and second.poll() is not None


def test_processes_that_only_name_the_guest_are_left_alone(bench: Bench) -> None:
    other = bench.lose(program="/usr/bin/grep", name="*.xml")
    bench.driver.destroy(bench.instance, 1)
    assert bench.inventory() == []
    spawn(bench.driver, bench.spec(2))
    assert other.poll() is None


def test_worker_that_cannot_see_the_processes_says_so_and_calls_nothing_gone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = LibvirtConnection.reading
    monkeypatch.setattr(
        LibvirtConnection,
        "reading",
        lambda self, what, *given: False if what == "is_in_sight" else reading(self, what, *given),
    )
    driver = LibvirtHypervisor(bench.world.options("cmp-2"))
    for attempt in (driver.inventory, lambda: driver.destroy(bench.instance, 1)):
        with pytest.raises(HypervisorUnableError, match="cannot be seen") as refused:
            attempt()
        assert "--pid=host" in refused.value.remedy


def test_process_table_that_cannot_be_read_proves_nothing(bench: Bench) -> None:
    driver = LibvirtHypervisor(bench.world.options("cmp-2", proc=bench.world.path / "nowhere"))
    with pytest.raises(HypervisorUnavailableError, match="nowhere"):
        driver.destroy(bench.instance, 1)


def test_worker_that_may_not_end_the_qemu_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("Operation not permitted")

    bench.lose()
    monkeypatch.setattr("signal.pidfd_send_signal", refuse)
    with pytest.raises(HypervisorUnableError, match="not the worker's to see, or to end") as refused:
        bench.driver.destroy(bench.instance, 1)
    assert "root" in refused.value.remedy
    assert bench.inventory() == [(0, RUNNING, False)]


def test_qemu_that_libvirt_ends_meanwhile_is_not_taken_for_lost(bench: Bench) -> None:
    ended = bench.lose()
    running = [each for each in bench.driver._lost.running() if each.instance_id == bench.instance]
    assert running
    ended.kill()
    eventually(lambda: ended.poll() is not None)
    assert bench.driver._lost.among(running, []) == ()


def test_look_tells_of_what_libvirt_lost_and_of_a_second_one_beside_it(bench: Bench) -> None:
    bench.started_here(3)
    lost = bench.lose()
    assert bench.look() == [(3, "running", False)]
    os.kill(lost.pid, signal.SIGSTOP)
    eventually(lambda: bench.look() == [(3, "paused", False)])
    lost.kill()
    lost.wait()
    assert bench.look() == []
    spawn(bench.driver, bench.spec(4))
    (known,) = bench.look()
    bench.lose()
    assert bench.look() == [known], "the process is libvirt's own"
    bench.lose()
    assert bench.look() == [known, (4, "running", False)]
