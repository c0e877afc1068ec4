"""A worker is killed before and after each step: every instance is back all the same, once, with nothing leaked.

One stack a group of steps, and one instance a kill; all of them are evacuated at once, so that each kill also strikes
what the others are at."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from cli.requests import new_request_id, outcome_of, request_evacuation
from embedded.faults import keys_of, read_faults
from embedded.state import StateDir, settings_for
from evacuation.messages import EvacuationOutcome, EvacuationRequest
from evacuation.views import InstanceView
from services.temporal import connect
from tests.scenarios.scenario import End
from tests.support.stack import Stack

BEGINNING = ("check_request", "fence_source", "begin_evacuation", "claim_capacity", "record_preparation")
RESOURCES = ("set_up_network", "fetch_block_devices", "detach_volumes", "set_up_block_devices")
ENDING = ("authorize_spawn", "finish_evacuation")
ON_THE_HOST = ("prepare_destination", "connect_volumes", "spawn_guest")
UNDOING = ("call_off_attempt", "record_guest_gone", "tear_down_block_devices", "tear_down_network", "release_capacity")
UNDOING_ON_THE_HOST = ("settle_guest", "disconnect_volumes")
PATIENT = {"EVACUATE_MAX_ATTEMPTS": "20", "EVACUATE_ATTEMPTS_PER_HOST": "10"}
"""A kill also fails the attempts of others that are at that host just then."""

Fault = dict[str, Any]


def kills(steps: Iterable[str]) -> list[Fault]:
    """Before and after each, of an instance of its own."""
    cells = [(step, at) for step in steps for at in ("before", "after")]
    return [
        {"activity": step, "at": at, "do": "kill", "times": 1, "instance": f"vm-{number:02d}"}
        for number, (step, at) in enumerate(cells)
    ]


def fleet_for(names: list[str]) -> dict[str, Any]:
    """All of them on the first of three hosts; each has a port and a volume."""
    return {
        "hosts": [{"name": f"cmp-{n}", "vcpus": 64, "memory_mb": 8192, "disk_gb": 100} for n in (1, 2, 3)],
        "networks": [{"name": "lan", "cidr": "10.0.0.0/24"}],
        "volumes": [{"name": f"{name}-data", "size_gb": 1} for name in names],
        "instances": [
            {
                "name": name,
                "host": "cmp-1",
                "flavor": {"vcpus": 1, "memory_mb": 64, "disk_gb": 1},
                "ports": [{"network": "lan"}],
                "volumes": [f"{name}-data"],
            }
            for name in names
        ],
    }


async def evacuate(instances: list[InstanceView]) -> dict[str, EvacuationOutcome]:
    """All at once; by name."""
    settings = settings_for()
    client = await connect(settings)

    async def one(instance: InstanceView) -> tuple[str, EvacuationOutcome]:
        request = EvacuationRequest(request_id=new_request_id(), instance_id=instance.id)
        accepted = await request_evacuation(client, instance, request, settings.tuning, join=False)
        return instance.name, await outcome_of(accepted.handle, instance.id)

    return dict(await asyncio.gather(*(one(each) for each in instances)))


def not_struck(stack: Stack) -> list[str]:
    """Faults that never came to pass: the test would prove nothing about them."""
    rules = read_faults(stack.faults)
    strikes = StateDir(Path(stack.environment["EVACUATE_STATE_DIR"])).strikes
    struck = {path.name.rsplit(".", 1)[0] for path in strikes.iterdir()}
    return [f"{rule.at} {rule.activity}" for rule, key in zip(rules, keys_of(rules), strict=True) if key not in struck]


def recovers_all(stack: Stack, names: list[str]) -> None:
    assert stack.run("host kill cmp-1").code == 0
    with stack.services() as services:
        lost = list(services.views.instances())
    with stack.as_environment():
        outcomes = asyncio.run(evacuate(lost))
    assert not [outcome for outcome in outcomes.values() if outcome.outcome != "recovered"]
    assert not_struck(stack) == []
    hosts = {name: [outcome.destination] for name, outcome in outcomes.items()}
    End(stack).verify(
        {
            "instances": {name: {"vm_state": "active", "task_state": None} for name in names},
            "migrations": {name: ["done"] for name in names},
            "ports": hosts,
            "allocations": hosts,
            "volumes": {f"{name}-data": {"status": "in-use", "hosts": hosts[name]} for name in names},
            "guests": hosts,
            "check": 0,
        }
    )


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "steps", [BEGINNING, RESOURCES, ENDING, ON_THE_HOST], ids=["beginning", "resources", "ending", "on-the-host"]
)
def test_evacuation_recovers_when_a_worker_is_killed_around_a_step(stack, steps: tuple[str, ...]):
    faults = kills(steps)
    names = [fault["instance"] for fault in faults]
    recovers_all(stack(fleet_for(names), faults, PATIENT), names)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("steps", [UNDOING, UNDOING_ON_THE_HOST], ids=["control", "on-the-host"])
def test_evacuation_recovers_elsewhere_when_a_worker_is_killed_around_an_undoing(stack, steps: tuple[str, ...]):
    faults = kills(steps)
    names = [fault["instance"] for fault in faults]
    # Before the effect: a guest that runs is taken forward, and nothing would be undone.
    refused = [{"activity": "spawn_guest", "at": "before", "do": "refuse", "times": 1, "instance": n} for n in names]
    recovers_all(stack(fleet_for(names), [*faults, *refused], PATIENT), names)
