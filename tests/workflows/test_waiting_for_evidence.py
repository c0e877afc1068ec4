"""A source that cannot be proven off, where the evacuation is to wait for it in the open."""

import pytest

from evacuation.errors import BmcCredentialsError, EvidenceMissingError, FenceFailedError
from tests.workflows.conftest import Run, ends_cancelled
from tests.workflows.fakes import Deaf, FakeCloud
from workflows.evacuate_instance import EvacuateInstance

UNMET = EvidenceMissingError("cmp-1 is not proven off", remedy="evacuate host down cmp-1 --confirmed-off")


def refusing(times: int = 1000) -> FakeCloud:
    """A cloud in which the fence fails so often."""
    cloud = FakeCloud()
    cloud.answers("fence_source", *[UNMET] * times)
    return cloud


async def test_evacuation_waits_in_the_open_with_cause_and_remedy_and_goes_on_at_a_word(run):
    cloud = refusing()
    evacuation: Run = (await run(cloud)).faster().patient()
    handle = await evacuation.start()
    progress = await evacuation.until_phase("blocked")
    assert (progress.cause, progress.remedy) == (UNMET.message, UNMET.remedy)
    assert "begin_evacuation" not in cloud.asked
    cloud.script["fence_source"].clear()
    await handle.signal(EvacuateInstance.look_again)
    assert (await handle.result()).outcome == "recovered"


async def test_evacuation_looks_again_by_itself(run):
    cloud = refusing(3)
    assert (await (await run(cloud)).faster().patient().outcome()).outcome == "recovered"
    assert cloud.asked.count("fence_source") == 4


async def test_evacuation_is_accepted_where_nothing_here_can_fence(run):
    cloud = refusing(1)
    cloud.can_fence = False
    evacuation: Run = (await run(cloud)).faster().patient()
    assert (await evacuation.ask()).source == "cmp-1"
    assert (await (await evacuation.of_this_run()).result()).outcome == "recovered"


@pytest.mark.parametrize("error", [UNMET, BmcCredentialsError("refused"), FenceFailedError("on")])
async def test_evacuation_ends_as_before_where_it_is_not_to_wait(run, error: FenceFailedError):
    cloud = FakeCloud()
    cloud.answers("fence_source", *[error] * 100)
    failure = await (await run(cloud)).failure()
    assert failure.type == type(error).__name__
    assert "begin_evacuation" not in cloud.asked


async def test_waiting_ends_when_the_source_answers_before_its_power_is_touched_again(run):
    cloud = refusing()
    cloud.source_answers = True
    cloud.probe_silent_for = 1
    failure = await (await run(cloud)).faster().patient().failure()
    assert failure.type == "SourceAnswersError"
    assert cloud.asked.count("fence_source") == 1


async def test_waiting_ends_with_a_cancel_and_nothing_was_written(run):
    cloud = refusing()
    evacuation: Run = (await run(cloud)).faster().patient()
    handle = await evacuation.start()
    await evacuation.until_phase("blocked")
    await handle.cancel()
    await ends_cancelled(handle)
    assert "begin_evacuation" not in cloud.asked


async def test_waiting_does_not_begin_when_the_cancel_came_during_the_fence(run):
    cloud = FakeCloud()
    cloud.answers("fence_source", Deaf(UNMET))
    evacuation: Run = (await run(cloud)).faster().patient()
    handle = await evacuation.start()
    await evacuation.until("fence_source")
    await handle.cancel()
    await ends_cancelled(handle)
    assert cloud.asked.count("fence_source") == 1


async def test_waiting_ends_with_the_instance(run):
    cloud = refusing()
    evacuation: Run = (await run(cloud)).faster().patient()
    handle = await evacuation.start()
    await evacuation.until_phase("blocked")
    await handle.signal(EvacuateInstance.instance_deleted)
    assert (await handle.result()).error_type == "InstanceDeletedError"
