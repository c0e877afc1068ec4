"""A host comes back, and something dies at each step of its return: it is up in the end, and every guest is once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.sabotages import environment
from tests.chaos.verify import invariants
from tests.support.stack import Stack, temporal_server

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
REFUSED = {"activity": "spawn_guest", "at": "before", "do": "refuse", "instance": "stays"}


def fleet() -> dict[str, Any]:
    """Of the two on cmp-1 one is evacuated, and one is not."""
    return {
        "disk_lock": False,
        "hosts": [{"name": f"cmp-{n}", "vcpus": 8, "memory_mb": 8192, "disk_gb": 50} for n in (1, 2, 3)],
        "networks": [{"name": "lan", "cidr": "10.0.0.0/24"}],
        "volumes": [{"name": "data", "size_gb": 1}],
        "instances": [
            {"name": name, "host": "cmp-1", "flavor": FLAVOR, "ports": [{"network": "lan"}], "volumes": volumes}
            for name, volumes in (("stays", ["data"]), ("leaves", []), ("idle", []))
        ],
    }


@pytest.fixture(scope="module")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with temporal_server(tmp_path_factory.mktemp("temporal")) as address:
        yield address


@pytest.fixture
def create(tmp_path: Path, temporal: str) -> Iterator[Any]:
    stacks: list[Stack] = []

    def create(settings: dict[str, str] | None = None) -> Stack:
        stacks.append(Stack(tmp_path, temporal, settings=settings))
        stacks[-1].up(fleet(), [])
        return stacks[-1]

    yield create
    for stack in stacks:
        stack.down()


def return_under(stack: Stack, fault: dict[str, Any]) -> dict[str, list[str]]:
    """The source dies, one of its instances leaves, and it comes back while the fault strikes: what is not as it
    must be. It leaves the world as it was: the instance that left goes back."""
    home, away = ("cmp-1", "cmp-2")
    stack.set_faults([REFUSED, fault | {"times": 1}])
    assert stack.run(f"host kill {home}").code == 0
    assert stack.run(f"instance evacuate leaves --target {away}").code == 0
    assert stack.run("instance evacuate stays").code == 1
    answer = stack.run(f"host start {home}")
    assert "is up" in answer.err, answer
    found = dict(invariants(stack, ["stays", "leaves", "idle"]))
    stack.set_faults([])
    assert stack.run(f"host kill {away}").code == 0
    assert stack.run(f"instance evacuate leaves --target {home}").code == 0
    assert "is up" in stack.run(f"host start {away}").err
    return found


@pytest.mark.timeout(400)
@pytest.mark.parametrize("at", ["before", "after"])
def test_host_is_up_and_every_guest_is_once_when_a_worker_dies_at_a_step_of_its_return(create, at: str):
    stack = create()
    for step in STEPS:
        found = return_under(stack, {"activity": step, "at": at, "do": "kill", "host": "cmp-1"})
        assert found == {}, (step, found)


@pytest.mark.timeout(200)
def test_spawn_that_does_not_read_starts_a_second_copy(create):
    stack = create(environment("spawn-that-does-not-read"))
    found = return_under(stack, {"activity": "start_guest", "at": "after", "do": "kill", "host": "cmp-1"})
    assert any("2 copies run" in reason for reasons in found.values() for reason in reasons), found
