"""Every activity and every compensation, before and after its effect: an error, a refusal, no answer.

One stack a fault; each step strikes an instance of its own, and all are evacuated at once."""

import json
from typing import Any

import pytest

from tests.support.stack import Stack

FORWARD = (
    "check_request",
    "fence_source",
    "begin_evacuation",
    "claim_capacity",
    "prepare_destination",
    "record_preparation",
    "set_up_network",
    "fetch_block_devices",
    "detach_volumes",
    "set_up_block_devices",
    "connect_volumes",
    "authorize_spawn",
    "spawn_guest",
    "finish_evacuation",
)
BACK = (
    "call_off_attempt",
    "settle_guest",
    "record_guest_gone",
    "disconnect_volumes",
    "tear_down_block_devices",
    "tear_down_network",
    "release_capacity",
)
BEFORE_THE_FIRST_WRITE = frozenset({"check_request", "fence_source", "begin_evacuation"})
"""A refusal there ends the evacuation, as it must."""


def cells(steps: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    return {f"vm-{step.replace('_', '-')}-{at}": (step, at) for step in steps for at in ("before", "after")}


def fleet(names: list[str]) -> dict[str, Any]:
    flavor = {"vcpus": 1, "memory_mb": 64, "disk_gb": 1}
    return {
        "hosts": [{"name": f"cmp-{n}", "vcpus": 64, "memory_mb": 65536, "disk_gb": 500} for n in (1, 2, 3)],
        "networks": [{"name": "lan", "cidr": "10.0.0.0/24"}],
        "volumes": [{"name": f"data-of-{name}", "size_gb": 1} for name in names],
        "instances": [
            {
                "name": name,
                "host": "cmp-1",
                "flavor": flavor,
                "ports": [{"network": "lan"}],
                "volumes": [f"data-of-{name}"],
            }
            for name in names
        ],
    }


def evacuate_all(stack: Stack, names: list[str]) -> dict[str, Any]:
    """The outcomes; all are asked for before any is waited for."""
    for name in names:
        answer = stack.run(["instance", "evacuate", name, "--no-wait", "--json"])
        assert answer.code in (0, 2), answer
    return {name: outcome_of(stack, name) for name in names}


def outcome_of(stack: Stack, name: str) -> Any:
    answer = stack.run(["watch", name, "--json"])
    return json.loads(answer.out) if answer.out.strip() else {"outcome": "refused", "reason": answer.err}


def strike(stack: Any, steps: tuple[str, ...], do: str, *, first: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    struck = cells(steps)
    faults = [{**each, "instance": name} for name in struck for each in first]
    faults += [
        {"activity": step, "at": at, "do": do, "times": 1, "instance": name} for name, (step, at) in struck.items()
    ]
    running: Stack = stack(fleet(list(struck)), faults)
    assert running.run("host kill cmp-1").code == 0
    outcomes = evacuate_all(running, list(struck))
    verify(running, outcomes)
    return outcomes


def verify(stack: Stack, outcomes: dict[str, Any]) -> None:
    """The invariants; and what runs is what recovered."""
    answer = stack.run("check --json")
    assert (answer.code, answer.json) == (0, []), answer
    world = stack.world()
    running = {world.name(guest.instance_id) for guest in world.guests}
    assert running == {name for name, outcome in outcomes.items() if outcome["outcome"] == "recovered"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("do", ["hang", "fail"])
def test_step_that_fails_once_is_got_over(stack: Any, do: str):
    outcomes = strike(stack, FORWARD, do)
    assert {name: o["outcome"] for name, o in outcomes.items()} == dict.fromkeys(outcomes, "recovered"), outcomes


@pytest.mark.timeout(300)
def test_step_that_refuses_is_got_over_on_another_host_or_ends_the_evacuation(stack: Any):
    outcomes = strike(stack, FORWARD, "refuse")
    for name, (step, _) in cells(FORWARD).items():
        expected = {"not_recovered", "refused"} if step in BEFORE_THE_FIRST_WRITE else {"recovered"}
        assert outcomes[name]["outcome"] in expected, (name, outcomes[name])


@pytest.mark.timeout(300)
def test_compensation_that_refuses_once_is_repeated_until_it_holds(stack: Any):
    failing = {"activity": "spawn_guest", "at": "before", "do": "fail", "times": 1}
    outcomes = strike(stack, BACK, "refuse", first=(failing,))
    for name, outcome in outcomes.items():
        assert outcome["outcome"] == "recovered", (name, outcome)
        assert [a["result"] for a in outcome["attempts"]] == ["failed", "recovered"], (name, outcome)
