"""A destination that is full, busy or slow, and answers its probe, is waited for; a silent one is not."""

from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.testing import WorkflowEnvironment

from embedded.namespace import wait_until_ready
from evacuation import messages as m
from evacuation.errors import DestinationBusyError, GuestBusyError, InstanceDeletedError, SourceReturnedError
from services.runtime.settings import Settings
from services.runtime.temporal import connect
from tests.workflows.conftest import Run, ends_cancelled, serve
from tests.workflows.fakes import FakeCloud, Silence
from tests.workflows.test_endings import UNDO
from workflows.evacuate_instance import EvacuateInstance

FULL = DestinationBusyError("cmp-2 has 10 evacuations in flight, its most", remedy="it waits for its turn")


def cloud_that_answers(*hosts: str) -> FakeCloud:
    cloud = FakeCloud(*hosts)
    cloud.answering = {"cmp-2"}
    return cloud


async def test_full_destination_is_waited_for_and_no_attempt_is_lost(run):
    cloud = cloud_that_answers()
    cloud.answers("authorize_spawn", *[FULL] * 70)
    outcome = await (await run(cloud)).outcome()
    assert [(each.host, each.result) for each in outcome.attempts] == [("cmp-2", "recovered")]
    assert (cloud.asked.count("claim_capacity"), cloud.asked.count("authorize_spawn")) == (1, 71)
    events = [each.name for each in cloud.messages["authorize_spawn"][-1].events]
    assert events.count("authorize_spawn") == 1, "the same answer again is one event"


async def test_named_target_that_is_full_is_waited_for(run):
    cloud = cloud_that_answers()
    cloud.answers("authorize_spawn", *[FULL] * 3)
    assert (await (await run(cloud)).outcome(target="cmp-2")).destination == "cmp-2"
    assert not set(UNDO) & set(cloud.asked)


async def until_it_waits(run: Run) -> m.Progress:
    assert run.handle is not None
    while not (progress := await run.handle.query(EvacuateInstance.progress)).cause:
        assert progress.phase != "ended"
    return progress


async def test_what_is_waited_for_is_shown_and_a_cancel_ends_it(run):
    cloud = cloud_that_answers()
    cloud.answers("authorize_spawn", *[FULL] * 1000)
    evacuation: Run = await run(cloud)
    handle = await evacuation.start()
    await evacuation.until("authorize_spawn")
    shown = await until_it_waits(evacuation)
    assert (shown.cause, shown.remedy) == (FULL.message, FULL.remedy)
    await handle.cancel()
    await ends_cancelled(handle)
    assert cloud.asked[-4:] == [*UNDO, "abandon_evacuation"]


async def test_spawn_that_is_slow_is_waited_for_no_longer_than_somebody_wants_it(run):
    cloud = cloud_that_answers()
    cloud.answers("spawn_guest", *[Silence()] * 1000)
    cloud.answers("settle_guest", m.Settled(forward=False, incarnation="boot-1"))
    evacuation: Run = await run(cloud)
    handle = await evacuation.start()
    await until_it_waits(evacuation)
    await handle.cancel()
    await ends_cancelled(handle)
    assert cloud.messages["abandon_evacuation"][0].outcome.outcome == "cancelled"


async def test_cancel_that_comes_while_a_slow_spawn_runs_is_not_lost_with_its_timeout(temporal: str, tmp_path: Path):
    """Its end is waited for, and is a timeout. On a real server: one that skips time does not take such a cancel."""
    settings = Settings(temporal_address=temporal, temporal_namespace=f"t-{uuid4().hex[:12]}", state_dir=tmp_path)
    await wait_until_ready(settings, timeout=20)
    cloud = cloud_that_answers()
    cloud.answers("spawn_guest", *[Silence()] * 1000)
    cloud.answers("settle_guest", m.Settled(forward=False, incarnation="boot-1"))
    async with AsyncExitStack() as stack:
        env = WorkflowEnvironment.from_client(await connect(settings))
        evacuation = (await serve(stack, env, cloud)).faster()
        handle = await evacuation.start()
        await evacuation.until("spawn_guest")
        await handle.cancel()
        await ends_cancelled(handle)
    assert cloud.asked.count("spawn_guest@cmp-2") == 1


@pytest.mark.parametrize(
    ("end", "error_type"),
    [
        (InstanceDeletedError("deleted"), "InstanceDeletedError"),
        (SourceReturnedError("it is back"), "SourceReturnedError"),
    ],
)
async def test_waiting_for_a_full_destination_ends_when_there_is_nothing_to_wait_for(run, end, error_type: str):
    cloud = cloud_that_answers()
    cloud.answers("authorize_spawn", FULL, FULL, end)
    with suppress(WorkflowFailureError):
        assert (await (await run(cloud)).outcome()).error_type == error_type
    assert cloud.messages["abandon_evacuation"][0].outcome.error_type == error_type


async def test_full_destination_that_falls_silent_is_followed_by_the_next_one(run):
    cloud = FakeCloud()
    cloud.answers("authorize_spawn", *[FULL] * 4)
    outcome = await (await run(cloud)).faster().outcome()
    assert [(each.host, each.result) for each in outcome.attempts] == [("cmp-2", "unknown"), ("cmp-3", "recovered")]


@pytest.mark.parametrize("step", ["prepare_destination", "connect_volumes", "spawn_guest"])
@pytest.mark.parametrize("slow", [Silence(), GuestBusyError("an earlier call still runs")], ids=["silent", "held"])
async def test_step_that_takes_longer_on_a_host_that_answers_is_asked_for_again(run, step: str, slow):
    cloud = cloud_that_answers()
    cloud.answers(step, slow)
    outcome = await (await run(cloud)).outcome()
    assert [(each.host, each.result) for each in outcome.attempts] == [("cmp-2", "recovered")]
    assert cloud.asked.count(f"{step}@cmp-2") == 2
    assert "call_off_attempt" not in cloud.asked
    epochs = {message.guest.epoch for message in cloud.messages["spawn_guest"]}
    assert len(epochs) == 1, "the second call finds what the first one makes"


async def test_spawn_that_never_ends_is_settled_and_its_host_is_not_fenced(run):
    cloud = cloud_that_answers()
    cloud.answers("spawn_guest", *[GuestBusyError("it is starting")] * 100)
    cloud.answers("settle_guest", *[GuestBusyError("it is starting")] * 40)
    cloud.answers("settle_guest", m.Settled(forward=True, incarnation="boot-1"))
    evacuation: Run = await run(cloud)
    evacuation.tuning = evacuation.tuning.model_copy(update={"patience": timedelta(seconds=30)})
    outcome = await evacuation.outcome()
    assert (outcome.outcome, outcome.destination) == ("recovered", "cmp-2")
    assert "fence_destination" not in cloud.asked and not set(UNDO) & set(cloud.asked)


async def test_host_that_is_too_slow_ends_the_attempt_with_the_setting_named(run):
    cloud = cloud_that_answers("cmp-2", "cmp-3")
    cloud.answers("prepare_destination", *[GuestBusyError("somebody else has it")] * 6)
    evacuation: Run = await run(cloud)
    evacuation.tuning = evacuation.tuning.model_copy(update={"patience": timedelta(seconds=5)})
    outcome = await evacuation.outcome()
    assert outcome.attempts[0].result == "unknown"
    assert "EVACUATE_HOST_PATIENCE" in outcome.attempts[0].reason


@pytest.mark.parametrize("step", ["prepare_destination", "connect_volumes", "spawn_guest"])
async def test_destination_that_booted_again_is_not_waited_for(run, step: str):
    """It would wait for the evacuation in its turn, out of service, until that ends."""
    cloud = cloud_that_answers("cmp-2", "cmp-3")
    cloud.boots = "boot-2"
    cloud.answers(step, Silence())
    outcome = await (await run(cloud)).outcome()
    assert [each.result for each in outcome.attempts] == ["unknown", "recovered"]
    assert cloud.asked[: cloud.asked.index("release_capacity")].count(f"{step}@cmp-2") == 1


async def test_full_destination_that_boots_again_is_followed_by_the_next_one(run):
    cloud = cloud_that_answers("cmp-2", "cmp-3")
    cloud.boots = "boot-2"
    cloud.answers("authorize_spawn", *[FULL] * 4)
    outcome = await (await run(cloud)).faster().outcome()
    assert [(each.host, each.result) for each in outcome.attempts] == [("cmp-2", "unknown"), ("cmp-3", "recovered")]
