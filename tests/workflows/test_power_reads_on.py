"""Whatever was said of a source: where its power reads on, it is fenced for real before it is taken for off."""

import pytest

from evacuation.errors import PowerReadsOnError
from tests.workflows.fakes import FakeCloud

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
