"""A request whose reply was lost is sent again: it is the same request, not a second one."""

import asyncio
from typing import Any

import yaml

from control.outcomes import outcome_of
from control.requests import Accepted, new_request_id, request_evacuation
from evacuation.messages import EvacuationOutcome, EvacuationRequest
from evacuation.views import InstanceView
from services.runtime.stack_record import settings_for
from services.runtime.temporal import connect
from tests.scenarios.scenario import HERE

SLOW = {"activity": "set_up_network", "at": "before", "do": "delay 2s", "times": 1}


async def ask_twice(instance: InstanceView) -> tuple[Accepted, Accepted, EvacuationOutcome]:
    settings = settings_for()
    request = EvacuationRequest(request_id=new_request_id(), instance_id=instance.id)

    async def ask() -> Accepted:
        return await request_evacuation(await connect(settings), instance, request, settings.tuning, join=False)

    first, again = await ask(), await ask()
    return first, again, await outcome_of(again.handle, instance.id)


def test_request_is_its_own_when_it_is_sent_again(stack: Any):
    running = stack(yaml.safe_load((HERE / "world.yaml").read_text()), [SLOW])
    assert running.run("host kill cmp-1").code == 0
    with running.services() as services:
        (instance,) = services.views.instances()
    with running.as_environment():
        first, again, outcome = asyncio.run(ask_twice(instance))
    assert first.acceptance is not None and first.acceptance == again.acceptance
    assert (outcome.evacuation_id, outcome.outcome) == (first.acceptance.evacuation_id, "recovered")
    assert [row["status"] for row in running.run("migration list --json").json] == ["done"]
