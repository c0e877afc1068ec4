"""Guests that an operator has migrated: nobody starts them a second time, and their record follows them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.libvirt.adopted import AdoptingStack, Foreign, adopting_stack
from tests.libvirt.lab.host import LabHost
from tests.libvirt.lab.lab import lab_of
from tests.libvirt.lab.shell import until


@pytest.fixture
def stack(can_run: None) -> Iterator[AdoptingStack]:
    with lab_of("a", "b", "c", named=4) as fresh, adopting_stack(fresh) as running:
        yield running


def migrate(guest: Foreign, to: LabHost) -> None:
    """As an operator does it, beside us."""
    options = ("--live", "--persistent", "--undefinesource", "--unsafe")
    guest.host.run("virsh", "-q", "migrate", *options, guest.name, to.tcp_uri, f"tcp://{to.address}")
    guest.host = to


def shown(stack: AdoptingStack) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack.evacuate("instance", "show", "old-1", "--json"))
    return found


def running(stack: AdoptingStack) -> dict[str, list[str]]:
    hosts = stack.lab.hosts
    return {name: host.run("virsh", "-q", "list", "--name").split() for name, host in hosts.items() if host.is_on}


@pytest.mark.timeout(300)
def test_guest_that_was_migrated_live_runs_once_whoever_dies_and_comes_back(stack: AdoptingStack) -> None:
    lab, guest = stack.lab, Foreign(stack.lab, "a", 1)
    guest.until_it_writes()
    stack.adopt()
    stack.start_workers()
    migrate(guest, lab.hosts["b"])
    until(lambda: shown(stack)["seen_elsewhere"], "it is seen on b", within=60)

    stack.power_off("a")
    stack.evacuate("host", "down", "a", "--confirmed-off", "its power cord is in my hand")
    refused = json.loads(stack.evacuate("instance", "evacuate", "old-1", "--json", exit_code=2))
    assert (refused["outcome"], refused["error_type"]) == ("refused", "InstanceMisplacedError")
    assert "b (epoch 1, running)" in refused["reason"]
    found = {each["rule"]: each["message"] for each in json.loads(stack.evacuate("check", "--json", exit_code=1))}
    assert "on b" in found["misplaced"] and "on a" in found["misplaced"]

    lab.hosts["a"].power_on()
    stack.start_worker(lab.hosts["a"])
    until(lambda: any(each.name == "a" and each.state == "up" for each in stack.hosts()), "a is back", within=60)
    assert running(stack) == {"a": [], "b": ["old-1"], "c": []}

    moved = json.loads(stack.evacuate("instance", "moved", "old-1", "--json"))
    assert (moved["host"], moved["vm_state"], moved["seen_elsewhere"]) == ("b", "active", [])
    assert running(stack) == {"a": [], "b": ["old-1"], "c": []}
    guest.until_it_writes()
    stack.evacuate("check")
