"""Whatever was said of a source: where its power reads on, it is fenced for real before it is taken for off."""

import asyncio

import pytest

from evacuation.errors import EvidenceMissingError, FenceFailedError, PowerReadsOnError
from tests.workflows.conftest import Run, ends_cancelled
from tests.workflows.fakes import Deaf, FakeCloud, proven_off

ON = PowerReadsOnError("cmp-1 was said to be off, and its power reads on")


@pytest.mark.parametrize("step", ["begin_evacuation", "record_preparation", "authorize_spawn"])
async def test_source_that_reads_on_is_fenced_for_real_and_the_step_goes_on(run, step: str):
    cloud = FakeCloud()
    cloud.answers(step, ON)
    outcome = await (await run(cloud)).outcome(source_confirmed_off="Jo saw it")
    assert (outcome.outcome, len(outcome.attempts)) == ("recovered", 1)
    asked = [each.split("@")[0] for each in cloud.asked]
    again = asked.index("fence_source", asked.index(step))
    assert asked[again + 1] == step and asked.count("fence_source") == 2


@pytest.mark.parametrize("step", ["begin_evacuation", "authorize_spawn"])
async def test_source_that_answers_then_is_not_cut(run, step: str):
    cloud = FakeCloud()
    cloud.source_answers, cloud.probe_silent_for = True, 1
    cloud.answers(step, ON)
    failure = await (await run(cloud)).failure(source_confirmed_off="Jo saw it")
    assert failure.type == "SourceAnswersError"
    assert cloud.asked.count("fence_source") == 1 and "record_answer" in cloud.asked
    assert "spawn_guest@cmp-2" not in cloud.asked


async def test_source_that_goes_on_reading_on_ends_it_and_nothing_starts(run):
    cloud = FakeCloud()
    cloud.answers("authorize_spawn", ON, ON)
    failure = await (await run(cloud)).failure()
    assert failure.type == "PowerReadsOnError"
    assert not any(each.startswith("spawn_guest") for each in cloud.asked)
    assert cloud.asked[-2:] == ["release_capacity", "abandon_evacuation"]


@pytest.mark.parametrize("outcome", [None, FenceFailedError("on")])
async def test_cancel_while_the_source_is_fenced_for_real_at_the_beginning_is_recorded(run, outcome):
    cloud = FakeCloud()
    cloud.answers("begin_evacuation", ON)
    cloud.answers("fence_source", proven_off("cmp-1", "boot-1"), Deaf(outcome))
    evacuation: Run = (await run(cloud)).faster().patient()
    handle = await evacuation.start()
    async with asyncio.timeout(20):
        while cloud.asked.count("fence_source") < 2:
            await asyncio.sleep(0.01)
    await handle.cancel()
    await ends_cancelled(handle)
    [ending] = cloud.messages["abandon_evacuation"]
    assert ending.outcome.outcome == "cancelled"


async def test_cancel_while_the_fence_at_the_beginning_is_waited_for_fences_no_more(run):
    cloud = FakeCloud()
    cloud.answers("begin_evacuation", ON)
    cloud.answers(
        "fence_source", proven_off("cmp-1", "boot-1"), *[EvidenceMissingError("cmp-1 is not proven off")] * 1000
    )
    evacuation: Run = (await run(cloud)).patient()
    handle = await evacuation.start()
    await evacuation.until_phase("blocked")
    await handle.cancel()
    await ends_cancelled(handle)
    assert cloud.asked.count("fence_source") == 2 and cloud.asked[-1] == "abandon_evacuation"
