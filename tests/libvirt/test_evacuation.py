"""Whole evacuations of real guests, through the real workflow, with workers as processes."""

import json
import signal
from collections.abc import Iterator

import pytest

from services.hypervisors.process.disk import breaches, runs
from tests.libvirt.lab.lab import lab_of
from tests.libvirt.lab.shell import until
from tests.libvirt.stack import LibvirtStack, stack_on

WHY = "its power cord is in my hand"


@pytest.fixture
def stack(can_run: None) -> Iterator[LibvirtStack]:
    """Hosts of its own: their names, disks and definitions begin empty."""
    with lab_of("a", "b", "c", named=1) as fresh, stack_on(fresh, {"vm-1": "a", "vm-2": "a"}) as running:
        yield running


def test_guests_of_a_dead_host_come_back_with_their_disks_and_addresses(stack: LibvirtStack) -> None:
    names = ("vm-1", "vm-2")
    addresses = {name: stack.address(name) for name in names}
    for name in names:
        until(lambda name=name: len(stack.journal(name)) > 3, f"{name} writes")
        until(lambda name=name: stack.lab.fabric.answers(addresses[name]), f"{name} answers")
    stack.power_off("a")
    for process in [stack.begin_evacuation(name, WHY) for name in names]:
        out, err = process.communicate(timeout=170)
        assert process.returncode == 0, f"{out}\n{err}\n{stack.log('control')[-3000:]}"
        assert json.loads(out)["outcome"] == "recovered"
    for name in names:
        now_on = stack.instance(name).host
        assert now_on in ("b", "c")
        before = len(stack.journal(name))
        until(lambda name=name, before=before: len(stack.journal(name)) > before, f"{name} goes on")
        first, second = runs(stack.journal(name))
        assert (first.host, first.epoch, second.host, second.epoch) == ("a", 1, now_on, 2)
        assert second.first.counter == first.last.counter + 1
        assert breaches(stack.journal(name)) == []
        until(lambda name=name: stack.lab.fabric.answers(addresses[name]), f"{name} answers again")
        assert stack.address(name) == addresses[name]
    stack.evacuate("check")
    the_source_comes_back_and_keeps_nothing(stack)


def the_source_comes_back_and_keeps_nothing(stack: LibvirtStack) -> None:
    stack.power_on("a")
    until(lambda: next(h.state for h in stack.hosts() if h.name == "a") == "up", "a is up again", within=60)
    assert stack.lab.hosts["a"].run("virsh", "-q", "list", "--all", "--name").strip() == ""
    assert stack.lab.hosts["a"].guests() == []
    migrations = json.loads(stack.evacuate("migration", "list", "--json"))
    assert {each["status"] for each in migrations} == {"completed"}
    stack.evacuate("check")


def test_guest_comes_back_once_when_the_destinations_libvirtd_dies_in_the_middle(stack: LibvirtStack) -> None:
    stack.power_off("a")
    process = stack.begin_evacuation("vm-1", WHY)
    candidates = [stack.lab.hosts[name] for name in ("b", "c")]
    until(lambda: any(host.guests() for host in candidates), "a QEMU is started", within=60)
    struck = next(host for host in candidates if host.guests())
    struck.signal_libvirtd(signal.SIGKILL)
    struck.start_libvirtd()
    out, err = process.communicate(timeout=170)
    assert process.returncode == 0, f"{out}\n{err}\n{stack.log('control')[-3000:]}"
    assert json.loads(out)["outcome"] == "recovered"
    until(lambda: len(runs(stack.journal("vm-1"))) > 1, "vm-1 goes on")
    assert breaches(stack.journal("vm-1")) == []
    assert sum(len(host.guests()) for host in candidates) == 1
    stack.evacuate("check")
