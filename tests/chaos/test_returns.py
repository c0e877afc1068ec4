"""A host comes back, and something dies at each step of its return: it is up in the end, and every guest is once."""

from typing import Any

import pytest

from tests.chaos.sabotages import environment
from tests.chaos.verify import invariants
from tests.support.stack import Stack

pytestmark = pytest.mark.long
STEPS = (
    "register_host",
    "destroy_guest",
    "record_destroyed",
    "authorize_start",
    "start_guest",
    "record_started",
    "complete_return",
)
FLAVOR = {"vcpus": 1, "memory_mb": 64, "disk_gb": 1}
HOMES = ("cmp-1", "cmp-2")


PLACES = (
    ("stays-cmp-1", "cmp-1", ["data"]),
    ("stays-cmp-2", "cmp-2", []),
    ("leaves", "cmp-1", []),
    ("idle", "cmp-1", []),
)


def fleet() -> dict[str, Any]:
    """One instance leaves the host that dies, each time for the other one; one of each host stays."""
    return {
        "disk_lock": False,
        "hosts": [{"name": f"cmp-{n}", "vcpus": 8, "memory_mb": 8192, "disk_gb": 50} for n in (1, 2, 3)],
        "networks": [{"name": "lan", "cidr": "10.0.0.0/24"}],
        "volumes": [{"name": "data", "size_gb": 1}],
        "instances": [
            {"name": name, "host": host, "flavor": FLAVOR, "ports": [{"network": "lan"}], "volumes": volumes}
            for name, host, volumes in PLACES
        ],
    }


def return_under(stack: Stack, number: int, fault: dict[str, Any]) -> dict[str, list[str]]:
    """A host dies, one of its instances leaves, and it comes back while the fault strikes: what is not as it must be.
    The next time it is the other host."""
    home, away = HOMES[number % 2], HOMES[(number + 1) % 2]
    refused = {"activity": "spawn_guest", "at": "before", "do": "refuse", "instance": f"stays-{home}"}
    stack.set_faults([refused, fault | {"host": home, "times": 1}])
    assert stack.run(f"host kill {home}").code == 0
    assert stack.run(f"instance evacuate leaves --target {away}").code == 0
    assert stack.run(f"instance evacuate stays-{home}").code == 1
    answer = stack.run(f"host start {home}")
    assert "is up" in answer.err, answer
    return dict(invariants(stack, [name for name, _, _ in PLACES], source=home))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("at", ["before", "after"])
def test_host_is_up_and_every_guest_is_once_when_a_worker_dies_at_a_step_of_its_return(stack: Any, at: str):
    running = stack(fleet())
    for number, step in enumerate(STEPS):
        found = return_under(running, number, {"activity": step, "at": at, "do": "kill"})
        assert found == {}, (step, found)


@pytest.mark.timeout(200)
def test_spawn_that_does_not_read_starts_a_second_copy(stack: Any):
    running = stack(fleet(), settings=environment("spawn-that-does-not-read"))
    found = return_under(running, 0, {"activity": "start_guest", "at": "after", "do": "kill"})
    assert any("2 copies run" in reason for reasons in found.values() for reason in reasons), found
