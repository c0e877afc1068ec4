"""What the races on the real stack share: a fleet with one instance for each cell, and callers at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from control.outcomes import outcome_of
from control.requests import new_request_id, request_evacuation
from embedded.faults import keys_of, read_faults
from embedded.state import StateDir
from evacuation.errors import Refusal
from evacuation.messages import EvacuationOutcome, EvacuationRequest
from evacuation.views import InstanceView
from services.runtime.stack_record import settings_for
from services.runtime.temporal import connect
from tests.support.stack import PATIENCE, Stack

STEPS = (
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

Fault = dict[str, Any]
Meanwhile = Callable[[InstanceView], Awaitable[None]]


def fleet(names: Iterable[str]) -> dict[str, Any]:
    """All on the first of three hosts; each has a port and a volume."""
    names = list(names)
    return {
        "hosts": [{"name": f"cmp-{n}", "vcpus": 64, "memory_mb": 65536, "disk_gb": 500} for n in (1, 2, 3)],
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


def holding(step: str, name: str, how: str, at: str) -> Fault:
    return {"activity": step, "instance": name, "at": at, "do": how, "times": 1}


def instances_of(stack: Stack) -> dict[str, InstanceView]:
    with stack.services() as services:
        return {row.name: row for row in services.views.instances()}


def evacuate_all(stack: Stack, meanwhile: Mapping[str, Meanwhile]) -> dict[str, EvacuationOutcome]:
    """All at once; what is to happen to an instance happens when its fault has struck. How each ended, by name."""
    instances, rules = instances_of(stack), read_faults(stack.faults)
    keys = {rule.instance: key for rule, key in zip(rules, keys_of(rules), strict=True)}
    strikes = StateDir(Path(stack.environment["EVACUATE_STATE_DIR"])).strikes

    async def one(name: str) -> tuple[str, EvacuationOutcome]:
        event = asyncio.create_task(struck(name))
        outcome = await evacuate(instances[name])
        await event
        return name, outcome

    async def struck(name: str) -> None:
        async with asyncio.timeout(4 * PATIENCE):
            while not (strikes / f"{keys[name]}.0").exists():
                await asyncio.sleep(0.02)
        await meanwhile[name](instances[name])

    async def all_of_them() -> dict[str, EvacuationOutcome]:
        return dict(await asyncio.gather(*(one(name) for name in meanwhile)))

    with stack.as_environment():
        return asyncio.run(all_of_them())


async def evacuate(instance: InstanceView) -> EvacuationOutcome:
    settings = settings_for()
    client = await connect(settings)
    request = EvacuationRequest(request_id=new_request_id(), instance_id=instance.id)
    try:
        accepted = await request_evacuation(client, instance, request, settings.tuning, join=False)
    except Refusal as refusal:
        return _refused(instance, refusal)
    return await outcome_of(accepted.handle, instance.id)


def _refused(instance: InstanceView, refusal: Refusal) -> EvacuationOutcome:
    """As the command prints it."""
    return EvacuationOutcome(
        evacuation_id="",
        instance_id=instance.id,
        outcome="refused",
        source=instance.host,
        error_type=type(refusal).__name__,
        reason=refusal.line,
        started_at=datetime.now(UTC),
    )


def nothing_is_broken(stack: Stack) -> None:
    answer = stack.run("check --json")
    assert (answer.code, answer.json) == (0, []), answer
