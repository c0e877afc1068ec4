"""Whole evacuations of real guests, through the real workflow, with workers as processes."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from services.hypervisors.process.disk import breaches, runs
from tests.libvirt.lab.guests import UP
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


EVIL = r"([\w\s=-]+)+Z$"


def test_guest_whose_signal_keeps_everybody_busy_costs_no_host_and_comes_back_once_it_is_mended(
    stack: LibvirtStack,
) -> None:
    sound = stack.template.read_text()
    stack.power_off("a")
    # A template has $$ for $.
    evil = EVIL.replace("$", "$$")
    stack.template.write_text(sound.replace(f'line="{UP}"', f'line="{evil}"'))
    code, failed = ended(stack)
    assert (code, failed["outcome"], failed["error_type"]) == (1, "not_recovered", "SignalPatternError"), failed[
        "reason"
    ]
    assert "takes longer than 1 s" in failed["reason"] and "one repetition in another" in failed["reason"]
    assert [each["result"] for each in failed["attempts"]] == ["refused"]
    others = [host for host in stack.hosts() if host.name != "a"]
    assert [(host.state, host.fenced) for host in others] == [("up", False)] * 2
    assert all(stack.lab.hosts[host.name].guests() == [] for host in others)
    stack.template.write_text(sound)
    code, recovered = ended(stack)
    assert (code, recovered["outcome"]) == (0, "recovered")
    assert breaches(stack.journal("vm-1")) == []
    stack.evacuate("check")


def ended(stack: LibvirtStack) -> tuple[int, dict[str, Any]]:
    process = stack.begin_evacuation("vm-1", WHY)
    out, _ = process.communicate(timeout=100)
    return process.returncode, json.loads(out)
