"""A fleet that ran before Evacuate: adopted, followed while it lives, evacuated when its host is dead."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from services.definitions.libvirt.definition import parse_definition
from services.sql import open_services
from tests.libvirt.adopted import AdoptingStack, Foreign, adopting_stack
from tests.libvirt.lab import guests
from tests.libvirt.lab.lab import lab_of
from tests.libvirt.lab.shell import run, until


@pytest.fixture
def stack(can_run: None) -> Iterator[AdoptingStack]:
    with lab_of("a", "b", named=2) as fresh, adopting_stack(fresh) as running:
        yield running


def changes(answer: str) -> dict[str, str]:
    return {each["name"]: each["change"] for each in json.loads(answer)}


def preflight(stack: AdoptingStack, host: str, exit_code: int) -> dict[str, Any]:
    answer = json.loads(stack.evacuate("host", "preflight", host, "--json", exit_code=exit_code))
    return {each["name"]: each for each in answer}


def autostarting(guest: Foreign) -> str:
    return guest.host.run("virsh", "-q", "list", "--all", "--autostart", "--name").strip()


def second_copy(stack: AdoptingStack, guest: Foreign) -> str:
    """By hand on b, with a disk of its own, so that no lock of QEMU's keeps it from running."""
    path, disk = stack.lab.directory / "copy.xml", stack.lab.hosts["b"].home / "lib" / "images" / "copy.raw"
    run("qemu-img", "create", "-q", "-f", "raw", str(disk), "8M")
    path.write_text(guest.dump().replace(str(guest.disk), str(disk)).replace(str(guest.console), f"{disk}.console"))
    stack.lab.hosts["b"].run("virsh", "-q", "define", str(path))
    stack.lab.hosts["b"].run("virsh", "-q", "start", guest.name)
    return guest.name


def stored(stack: AdoptingStack, instance_id: str) -> str:
    services = open_services(f"sqlite:///{stack.directory / 'state.db'}")
    try:
        return services.store.stored_definition(instance_id).definition or ""
    finally:
        services.close()


@pytest.mark.timeout(300)
def test_adopted_guest_comes_back_from_its_own_definition_when_its_host_dies(stack: AdoptingStack) -> None:
    shared = Foreign(stack.lab, "a", 1)
    scratch = stack.lab.hosts["a"].home / "lib" / "images" / "local.raw"
    run("qemu-img", "create", "-q", "-f", "raw", str(scratch), "8M")
    local = Foreign(stack.lab, "a", 2, disk=scratch)
    shared.until_it_writes()
    assert changes(stack.adopt()) == {"a": "added", "b": "added", "old-1": "added", "old-2": "added"}
    assert set(changes(stack.adopt()).values()) == {"unchanged"}
    mark = parse_definition(shared.dump())
    assert (mark.epoch, mark.signal) == (1, "serial")
    assert autostarting(shared) == ""
    assert not preflight(stack, "a", 1)["old-1"]["can"], "b has not said what it can run"

    stack.start_workers()
    told = preflight(stack, "a", 1)
    (power,) = told["old-1"].pop("power")
    assert (power["host"], power["driver"], power["answers"], power["problem"]) == ("a", "operator", True, None)
    assert "a person's word" in power["notes"][0], "nothing here reads its power"
    assert told["old-1"] == {
        "instance_id": shared.id,
        "name": "old-1",
        "can": True,
        "reasons": [],
        "destinations": ["b"],
        "notes": [],
        "host_notes": [],
    }
    assert f"disk vda ({local.disk}) is local" in told["old-2"]["reasons"][0]

    shared.host.run("virsh", "-q", "autostart", "old-1")
    until(lambda: autostarting(shared) == "", "what started it at a power-on is off again", within=30)
    until(lambda: preflight(stack, "a", 1)["old-1"]["notes"], "the pre-flight names it", within=30)
    assert "autostart of old-1 was on at" in preflight(stack, "a", 1)["old-1"]["notes"][0]

    copy = second_copy(stack, shared)
    found = {each["rule"]: each["message"] for each in json.loads(stack.evacuate("check", "--json", exit_code=1))}
    assert found["copies"] == "2 copies run: a (epoch 1), b (epoch 1)"
    assert found["not-allowed"].startswith("epoch 1 runs on b, and no residence allows it: its place is a")
    stack.lab.hosts["b"].run("virsh", "-q", "destroy", copy)
    stack.lab.hosts["b"].run("virsh", "-q", "undefine", copy)
    stack.evacuate("check")

    before = shared.dump()
    shared.host.run("virsh", "-q", "setmem", "old-1", "80M", "--config")
    assert shared.dump() != before
    until(lambda: stored(stack, shared.id) == shared.dump(), "the change is in the store", within=60)

    stack.power_off("a")
    stack.evacuate("host", "down", "a", "--confirmed-off", "its power cord is in my hand")
    counted = guests.newest(shared.disk)
    assert counted is not None
    out = json.loads(stack.evacuate("instance", "evacuate", "old-1", "--json"))
    assert (out["outcome"], out["destination"]) == ("recovered", "b")
    there = parse_definition(shared.dump(stack.lab.hosts["b"]))
    assert (there.id, there.epoch, there.interfaces[0].mac, there.memory_mb) == (shared.id, 2, shared.mac, 96)
    shared.until_it_writes()
    now = guests.newest(shared.disk)
    assert now is not None and now.counter > counted.counter
    until(lambda: stack.lab.fabric.answers(shared.ip), "it answers at its address")
    stack.evacuate("instance", "evacuate", "old-2", "--json", exit_code=2)
    stack.evacuate("check")
