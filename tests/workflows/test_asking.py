"""How long a silent source is waited for: its power is read beside the probe, and proves nothing by itself."""

from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError

from evacuation import messages as m
from tests.workflows.conftest import Run, ends_cancelled
from tests.workflows.fakes import FakeCloud
from workflows.engine.policies import PROBE
from workflows.evacuating.asking import GRACE

WHOLE_SILENCE = timedelta(seconds=PROBE.start_to_close)


async def time_until_the_fence(evacuation: Run) -> timedelta:
    """From the workflow's start until the fence was asked for, by the workflow's clock."""
    assert (await evacuation.outcome()).outcome == "recovered"
    assert evacuation.handle is not None
    events = (await evacuation.handle.fetch_history()).events
    (fenced,) = [
        event.event_time.ToDatetime()
        for event in events
        if event.activity_task_scheduled_event_attributes.activity_type.name == "fence_source"
    ]
    return fenced - events[0].event_time.ToDatetime()


async def test_source_whose_power_reads_off_is_not_waited_for(run):
    cloud = FakeCloud()
    cloud.reads_off = True
    assert timedelta(seconds=GRACE) <= await time_until_the_fence((await run(cloud)).at_full_scale()) < WHOLE_SILENCE
    assert cloud.asked[:2] == ["check_request", "fence_source"]


@pytest.mark.parametrize("reading", [False, ApplicationError("the BMC is dead", non_retryable=True)])
async def test_source_whose_power_does_not_read_off_is_waited_for(run, reading: object):
    cloud = FakeCloud()
    cloud.reads_off = reading
    assert await time_until_the_fence((await run(cloud)).at_full_scale()) >= WHOLE_SILENCE


async def test_source_whose_bmc_does_not_answer_is_waited_for_no_longer_than_without_one(run):
    cloud = FakeCloud()
    cloud.reads_off, cloud.reading_takes = True, WHOLE_SILENCE.total_seconds()
    took = await time_until_the_fence((await run(cloud)).faster())
    assert WHOLE_SILENCE * 0.05 <= took < WHOLE_SILENCE


async def test_answer_counts_for_more_than_a_power_that_reads_off(run):
    cloud = FakeCloud()
    cloud.reads_off = cloud.source_answers = True
    failure = await (await run(cloud)).failure()
    assert failure.type == "SourceAnswersError"
    assert cloud.asked == ["check_request", "record_answer"]
    assert cloud.messages["record_answer"] == [m.ProbeAnswer(host="cmp-1", incarnation="boot-1", in_service=True)]


async def test_cancel_that_comes_while_the_source_is_asked_ends_it_before_anything_is_switched_off(run):
    cloud = FakeCloud()
    evacuation: Run = await run(cloud)
    handle = await evacuation.start()
    await evacuation.until("check_request")
    await handle.cancel()
    await ends_cancelled(handle)
    assert cloud.asked == ["check_request"]
