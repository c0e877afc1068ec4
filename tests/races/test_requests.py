"""The same instance, asked for by many at once; and two that exclude each other."""

import asyncio
import gc
from typing import Any

import pytest

from control.outcomes import outcome_of
from control.requests import Accepted, new_request_id, request_evacuation
from evacuation.errors import EvacuationRunningError
from evacuation.messages import EvacuationOutcome, EvacuationRequest
from evacuation.views import InstanceView
from services.runtime.stack_record import settings_for
from services.runtime.temporal import connect
from tests.races.stage import evacuate, fleet, instances_of, nothing_is_broken
from tests.support.stack import Stack

CALLERS = 20


async def ask(instance: InstanceView, *, join: bool) -> Accepted | EvacuationRunningError:
    """A caller with a connection of its own."""
    settings = settings_for()
    client = await connect(settings)
    request = EvacuationRequest(request_id=new_request_id(), instance_id=instance.id)
    try:
        return await request_evacuation(client, instance, request, settings.tuning, join=join)
    except EvacuationRunningError as refusal:
        return refusal


async def ask_all(instance: InstanceView, *, join: bool) -> list[tuple[Any, EvacuationOutcome | None]]:
    answers = await asyncio.gather(*(ask(instance, join=join) for _ in range(CALLERS)))

    async def end(answer: Accepted | EvacuationRunningError) -> EvacuationOutcome | None:
        return await outcome_of(answer.handle, instance.id) if isinstance(answer, Accepted) else None

    return list(zip(answers, await asyncio.gather(*(end(answer) for answer in answers)), strict=True))


def callers(stack: Stack, name: str, *, join: bool) -> list[tuple[Any, EvacuationOutcome | None]]:
    instance = instances_of(stack)[name]
    with stack.as_environment():
        return asyncio.run(ask_all(instance, join=join))


@pytest.mark.timeout(240)
def test_one_of_many_callers_evacuates_and_the_others_are_told_or_join(stack: Any, caplog: pytest.LogCaptureFixture):
    """Held at a step, so that nobody comes after the end: that would be a request of its own."""
    slow = [{"activity": "set_up_network", "at": "before", "do": "delay 3s", "times": 2}]
    running: Stack = stack(fleet(["web-01", "web-02"]), slow, {"EVACUATE_TIME_SCALE": "0.5"})
    assert running.run("host kill cmp-1").code == 0

    told = callers(running, "web-01", join=False)
    ((winner, outcome),) = [(answer, end) for answer, end in told if isinstance(answer, Accepted)]
    refused = [answer for answer, _ in told if isinstance(answer, EvacuationRunningError)]
    assert outcome is not None and outcome.outcome == "recovered"
    assert len(refused) == CALLERS - 1
    assert all(f"run {winner.handle.first_execution_run_id}" in refusal.message for refusal in refused), refused

    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"], "a refusal is one line, no traceback"

    joined = callers(running, "web-02", join=True)
    assert len(joined) == CALLERS and all(isinstance(answer, Accepted) for answer, _ in joined)
    assert {end.evacuation_id for _, end in joined if end is not None} == {joined[0][1].evacuation_id}
    assert [end.outcome for _, end in joined if end is not None] == ["recovered"] * CALLERS

    rows = running.run("migration list --json").json
    assert [row["status"] for row in rows] == ["done", "done"], rows
    nothing_is_broken(running)


@pytest.mark.timeout(240)
def test_one_of_two_that_exclude_each_other_lands_and_the_other_is_told(stack: Any):
    world = fleet(["db-01", "db-02"])
    world["hosts"] = world["hosts"][:2]
    world["server_groups"] = [{"name": "db", "policy": "anti-affinity"}]
    for row in world["instances"]:
        row["server_group"] = "db"
    running: Stack = stack(world)
    assert running.run("host kill cmp-1").code == 0
    instances = list(instances_of(running).values())

    async def both() -> list[EvacuationOutcome]:
        return list(await asyncio.gather(*(evacuate(each) for each in instances)))

    with running.as_environment():
        ends = asyncio.run(both())
    (winner,) = [end for end in ends if end.outcome == "recovered"]
    (loser,) = [end for end in ends if end.outcome == "not_recovered"]
    assert (winner.destination, loser.error_type) == ("cmp-2", "NoValidHostError")
    assert "anti-affinity with" in (loser.reason or ""), loser
    after = {row.id: row for row in instances_of(running).values()}
    assert (after[winner.instance_id].host, after[loser.instance_id].host) == ("cmp-2", "cmp-1")
    assert after[loser.instance_id].fault is not None
    nothing_is_broken(running)
