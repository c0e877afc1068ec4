"""Guests of which libvirt says another thing than what runs: lost by it, saved by it, made beside Evacuate."""

import subprocess
import sys
from pathlib import Path

import pytest

from evacuation.errors import DestinationUnableError
from evacuation.model import PowerState
from services.hypervisors.process.disk import breaches, runs
from tests.libvirt.world import LabWorld

REPOSITORY = Path(__file__).resolve().parents[2]
LISTS = """
import sys
from services.hypervisors.libvirt.driver import LibvirtHypervisor
from tests.libvirt.drive import options_from
LibvirtHypervisor(options_from(sys.argv[1])).inventory()
"""
RUNNING, SHUT_DOWN = PowerState.RUNNING, PowerState.SHUTDOWN


def lose(world: LabWorld) -> int:
    """Its process, inside of the host."""
    world.spawn("a", 1)
    world.host("a").lose(world.name)
    assert "shut off" in world.host("a").run("virsh", "-q", "list", "--all")
    world.until_it_wrote("a")
    return int(world.host("a").run("pgrep", "-f", f"uuid {world.instance}"))


def test_guest_that_libvirt_lost_is_seen_held_back_and_gone_when_it_is_settled(world: LabWorld) -> None:
    pid = lose(world)
    driver = world.driver("a")
    assert world.guests("a") == [(1, RUNNING)]
    with pytest.raises(DestinationUnableError, match=f"unknown to libvirt: process {pid}, epoch 1"):
        world.spawn("a", 2)
    driver.pause(world.instance, 1)
    assert [guest.paused for guest in driver.inventory()] == [True]
    before = world.journal()
    assert not driver.settle(world.call("a", 1))
    assert world.host("a").guests() == []
    assert world.guests("a") == []
    assert world.journal() == before
    world.spawn("a", 2)
    world.until_it_wrote("a")
    assert [run.epoch for run in runs(world.journal())] == [1, 2]
    assert breaches(world.journal()) == []


def test_guest_that_libvirt_saved_is_dropped_and_another_one_started(world: LabWorld) -> None:
    world.spawn("a", 1)
    world.until_it_wrote("a")
    world.host("a").run("virsh", "-q", "managedsave", world.name)
    assert world.guests("a") == [(1, SHUT_DOWN)]
    assert "managedsave" in world.spawn("a", 2).note
    assert world.guests("a") == [(2, RUNNING)]
    world.until_it_wrote("a")
    assert [run.epoch for run in runs(world.journal())] == [1, 2]
    world.driver("a").destroy(world.instance, 2)
    assert world.host("a").run("virsh", "-q", "list", "--all") == ""


def test_worker_in_a_pid_namespace_of_its_own_knows_that_it_sees_nothing(world: LabWorld) -> None:
    apart = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", sys.executable, "-c", LISTS)
    options = world.command("a", 1)[3]
    done = subprocess.run([*apart, options], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert "HypervisorUnableError: the processes of a cannot be seen by its worker" in done.stderr
    seen = subprocess.run([*apart[-3:], options], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (seen.returncode, seen.stderr) == (0, "")
