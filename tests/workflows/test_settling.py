"""A destination of which nobody knows whether it runs the guest is asked before anything is done to it."""

from datetime import datetime, timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError

from evacuation import messages as m
from evacuation.errors import FenceDeclinedError, GuestBusyError, HypervisorUnavailableError
from tests.workflows.conftest import Run
from tests.workflows.fakes import FakeCloud, Silence
from workflows.engine.display import PHASE
from workflows.engine.policies import HOST

TICK = timedelta(milliseconds=100)
CANNOT_TELL = GuestBusyError("somebody else has it")
RUNS_THERE = m.Settled(forward=True, incarnation="boot-1")


@pytest.mark.parametrize("questions", [1, 2, 3])
async def test_silent_destination_is_fenced_only_when_it_was_asked_for_the_hold(run, questions: int):
    cloud = FakeCloud("cmp-2", "cmp-3")
    cloud.answers("spawn_guest", Silence())
    cloud.answers("settle_guest", *[Silence()] * 10)
    evacuation = (await run(cloud)).faster()
    hold = timedelta(seconds=HOST.start_to_close) * (questions - 0.5)
    evacuation.tuning = evacuation.tuning.model_copy(update={"hold": hold})
    assert (await evacuation.outcome()).outcome == "recovered"
    (fenced,) = await asked_at(await evacuation.of_this_run(), "fence_destination")
    asked = [at for at in await asked_at(await evacuation.of_this_run(), "settle_guest") if at < fenced]
    # What was asked for before the hold was over may end after it: on a slow machine by more than a question.
    over = asked[0] + hold * evacuation.tuning.scale
    assert asked[-1] < over <= fenced + TICK


def cloud_that_settles(*answers: object) -> FakeCloud:
    cloud = FakeCloud("cmp-2", "cmp-3")
    cloud.answers("spawn_guest", ApplicationError("it cannot tell", type="SpawnFailedError", non_retryable=True))
    cloud.answers("settle_guest", *answers)
    return cloud


async def asked_at(handle: WorkflowHandle, activity: str) -> list[datetime]:
    """When each of its calls was scheduled."""
    return [
        event.event_time.ToDatetime()
        for event in (await handle.fetch_history()).events
        if event.activity_task_scheduled_event_attributes.activity_type.name == activity
    ]


async def waits_in_queue(handle: WorkflowHandle, activity: str) -> list[timedelta]:
    """How long each of its calls might wait for a worker."""
    history = await handle.fetch_history()
    scheduled = (
        event.activity_task_scheduled_event_attributes
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    )
    return [each.schedule_to_start_timeout.ToTimedelta() for each in scheduled if each.activity_type.name == activity]


async def test_blocked_evacuation_waits_longer_each_time_and_ten_minutes_at_most(run):
    """Each call says in history how long it may wait for the host's worker: no time has to pass for that."""
    cloud = cloud_that_settles(*[CANNOT_TELL] * 10, RUNS_THERE)
    evacuation: Run = await run(cloud)
    evacuation.tuning = evacuation.tuning.model_copy(update={"hold": timedelta(0)})
    assert (await evacuation.outcome()).destination == "cmp-2"
    waits = await waits_in_queue(await evacuation.of_this_run(), "settle_guest")
    seconds = [each / evacuation.tuning.scale / timedelta(seconds=1) for each in waits]
    assert seconds == pytest.approx([15, 30, 60, 120, 240, 480, *[600] * 5])


async def test_store_that_does_not_answer_whether_the_host_is_off_is_not_a_proof(run):
    """The destination is asked again."""
    refused = ApplicationError("the store is gone", type="StoreUnavailableError", non_retryable=True)
    cloud = cloud_that_settles(CANNOT_TELL, CANNOT_TELL, RUNS_THERE)
    cloud.answers("find_evidence", refused, refused)
    outcome = await (await run(cloud)).outcome()
    assert [(each.host, each.result) for each in outcome.attempts] == [("cmp-2", "recovered")]
    assert cloud.asked.count("find_evidence") == 2


async def test_blocked_evacuation_is_found_by_its_phase(run):
    """Once it is blocked, by a search; once only, however often its cause changes."""
    cloud = cloud_that_settles(*[CANNOT_TELL] * 2, *[GuestBusyError(f"not yet: {n}") for n in range(300)])
    cloud.answers("fence_destination", *[FenceDeclinedError("others live there")] * 300)
    evacuation: Run = await run(cloud)
    handle = await evacuation.start()
    await evacuation.until_phase("blocked")
    while cloud.asked.count("settle_guest@cmp-2") < 20:
        await evacuation.until_phase("blocked")
    history = await handle.fetch_history()
    upserts = [event.upsert_workflow_search_attributes_event_attributes for event in history.events]
    found = [each.search_attributes.indexed_fields for each in upserts if each.HasField("search_attributes")]
    said = [fields[PHASE.name].data for fields in found]
    assert said.count(b'"blocked"') == 1


BROKEN = HypervisorUnavailableError("libvirt does not answer")
AUTHORISED, BEREFT = m.CalledOff(authorized=True), m.CalledOff(authorized=True, bereft=True)
GOES_BACK = ["destroy_guest@cmp-2", "record_guest_gone"]


@pytest.mark.parametrize("why", ["StorageNotRevokedError", "FenceDeclinedError"])
async def test_guest_whose_disks_a_fence_took_away_before_its_host_answered_is_destroyed_and_tried_elsewhere(
    run, why: str
):
    """It runs as wanted, and reads and writes nothing any more."""
    cloud = cloud_that_settles(BROKEN, RUNS_THERE)
    cloud.answers("fence_destination", ApplicationError("half-way", type=why, non_retryable=True))
    cloud.answers("call_off_attempt", AUTHORISED, BEREFT)
    evacuation: Run = await run(cloud)
    evacuation.tuning = evacuation.tuning.model_copy(update={"hold": timedelta(0)})
    assert (await evacuation.outcome()).destination == "cmp-3"
    at = cloud.asked.index("fence_destination")
    assert cloud.asked[at + 1 : at + 5] == ["settle_guest@cmp-2", "call_off_attempt", *GOES_BACK]


async def test_guest_whose_disks_were_not_taken_away_goes_forward_after_a_fence_that_failed(run):
    cloud = cloud_that_settles(BROKEN, RUNS_THERE)
    cloud.answers("fence_destination", FenceDeclinedError("others live there"))
    evacuation: Run = await run(cloud)
    evacuation.tuning = evacuation.tuning.model_copy(update={"hold": timedelta(0)})
    assert (await evacuation.outcome()).destination == "cmp-2"
    assert cloud.asked.count("destroy_guest@cmp-2") == 0


async def test_guest_whose_disks_an_earlier_run_took_away_is_destroyed_at_once(run):
    cloud = cloud_that_settles(RUNS_THERE)
    cloud.answers("call_off_attempt", BEREFT)
    assert (await (await run(cloud)).outcome()).destination == "cmp-3"
    at = cloud.asked.index("call_off_attempt")
    assert cloud.asked[at + 1 : at + 3] == GOES_BACK
