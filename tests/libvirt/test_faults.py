"""Clients and libvirtds that die or freeze in the middle. Nothing waits for ever, and one guest is what is left."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evacuation.errors import EvacuateError, GuestBusyError, HypervisorUnavailableError, SpawnFailedError
from evacuation.model import PowerState
from services.hypervisors.libvirt.driver import LibvirtHypervisor
from services.hypervisors.process.disk import breaches, runs
from tests.libvirt.lab.shell import until
from tests.libvirt.world import LabWorld

REPOSITORY = Path(__file__).resolve().parents[2]
RUNNING = PowerState.RUNNING
BOUND = 100.0
"""Seconds within which every call is to have returned: not what it takes, but what "never" means."""


class Call:
    """A call in a thread of its own."""

    def __init__(self, do: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(do,), daemon=True)
        self._thread.start()

    def _run(self, do: Callable[[], object]) -> None:
        try:
            do()
        except BaseException as error:
            self.error = error

    def result(self) -> BaseException | None:
        self._thread.join(BOUND)
        assert not self._thread.is_alive(), "the call does not return"
        return self.error


@contextmanager
def frozen(world: LabWorld, host: str) -> Iterator[None]:
    world.host(host).signal_libvirtd(signal.SIGSTOP)
    try:
        yield
    finally:
        world.host(host).signal_libvirtd(signal.SIGCONT)


def quick(world: LabWorld, host: str) -> LibvirtHypervisor:
    """A driver that gives up soon. The first question of a host's life takes longer: libvirtd tries its QEMU."""
    world.driver(host).identity()
    return LibvirtHypervisor(world.options(host, call_timeout=3.0))


@pytest.mark.parametrize("kill_at", ["waiting for create", "waiting for a console"])
def test_one_guest_is_left_when_the_client_was_killed_in_the_middle(world: LabWorld, kill_at: str) -> None:
    command = world.command("a", 1)
    if kill_at == "waiting for create":
        process = subprocess.Popen(command, cwd=REPOSITORY)
        until(lambda: world.host("a").guests() or process.poll() is not None, "QEMU is started", within=30)
        process.kill()
        process.wait()
    else:
        done = subprocess.run([*command, kill_at], cwd=REPOSITORY, timeout=BOUND)
        assert done.returncode == -signal.SIGKILL
    world.spawn("a", 1)
    assert world.guests("a") == [(1, RUNNING)]
    assert len(world.host("a").guests()) == 1
    world.until_it_wrote("a")
    assert [(run.epoch, run.host) for run in runs(world.journal())] == [(1, "a")]
    assert breaches(world.journal()) == []


def test_nothing_is_left_when_a_killed_clients_guest_is_destroyed(world: LabWorld) -> None:
    process = subprocess.Popen(world.command("a", 1), cwd=REPOSITORY)
    until(lambda: world.host("a").guests() or process.poll() is not None, "QEMU is started", within=30)
    process.kill()
    process.wait()
    world.driver("a").destroy(world.instance, 1)
    assert world.guests("a") == []
    assert world.host("a").guests() == []
    assert libvirt_may_still_act(world) == []


def libvirt_may_still_act(world: LabWorld) -> list[int]:
    """What comes up after all."""
    time.sleep(1)
    return world.host("a").guests()


def test_spawn_ends_and_can_be_repeated_when_libvirtd_was_killed_in_the_middle(world: LabWorld) -> None:
    call = Call(lambda: world.spawn("a", 1))
    until(world.host("a").guests, "QEMU is started", within=30)
    world.host("a").signal_libvirtd(signal.SIGKILL)
    assert isinstance(call.result(), HypervisorUnavailableError | SpawnFailedError)
    world.host("a").start_libvirtd()
    assert world.driver("a").settle(world.call("a", 1)) is False
    world.spawn("a", 2)
    assert world.guests("a") == [(2, RUNNING)]
    assert len(world.host("a").guests()) == 1
    world.until_it_wrote("a")
    assert breaches(world.journal()) == []


def test_spawn_goes_on_when_libvirtd_is_started_again_while_the_guest_boots(world: LabWorld) -> None:
    def beat(progress: str) -> None:
        if progress.startswith("waiting for a console"):
            boots.set()

    boots = threading.Event()
    call = Call(lambda: world.driver("a").spawn(world.spec("a", 1), last_look=lambda: None, beat=beat))
    assert boots.wait(BOUND)
    world.host("a").signal_libvirtd(signal.SIGKILL)
    world.host("a").start_libvirtd()
    assert call.result() is None
    assert world.guests("a") == [(1, RUNNING)]


def test_every_call_ends_when_libvirtd_is_frozen(world: LabWorld) -> None:
    driver = quick(world, "a")
    identity = driver.identity()
    with frozen(world, "a"):
        calls = [
            # Of a later epoch than the one that is destroyed beside it, which calls its own off.
            Call(lambda: driver.spawn(world.spec("a", 2), last_look=lambda: None, beat=lambda _: None)),
            Call(lambda: driver.settle(world.call("a", 1))),
            Call(lambda: driver.destroy(world.instance, 1)),
            Call(driver.inventory),
        ]
        errors = [call.result() for call in calls]
        assert driver.identity() == identity
    assert all(isinstance(error, HypervisorUnavailableError | GuestBusyError) for error in errors), errors
    assert driver.inventory() == ()


def test_spawn_ends_and_is_settled_when_libvirtd_freezes_in_the_middle(world: LabWorld) -> None:
    driver = LibvirtHypervisor(world.options("a", call_timeout=3.0, create_timeout=5.0, signal_timeout=8.0))
    call = Call(lambda: driver.spawn(world.spec("a", 1), last_look=lambda: None, beat=lambda _: None))
    until(world.host("a").guests, "QEMU is started", within=30)
    with frozen(world, "a"):
        assert isinstance(call.result(), EvacuateError)
    assert driver.settle(world.call("a", 1)) in (True, False)
    assert len(world.host("a").guests()) == len(driver.inventory())
    driver.destroy(world.instance, 1)
    assert world.host("a").guests() == []


def test_new_connection_is_given_up_when_libvirtd_accepts_and_never_answers(world: LabWorld) -> None:
    driver = quick(world, "a")
    with frozen(world, "a"):
        call = Call(driver.inventory)
        error = call.result()
    assert isinstance(error, HypervisorUnavailableError)
    assert "hangs" in error.remedy


def test_driver_goes_on_when_the_host_was_off_in_between(world: LabWorld) -> None:
    first = world.driver("a").identity()
    world.spawn("a", 1)
    world.host("a").power_off()
    with pytest.raises(HypervisorUnavailableError):
        world.driver("a").inventory()
    world.host("a").power_on()
    assert world.guests("a") == [(1, PowerState.SHUTDOWN)]
    assert LibvirtHypervisor(world.options("a")).identity().incarnation != first.incarnation
