"""A blocked evacuation waits for days: it goes on in one run after the other, on a server that suggests it early."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import CancelledError
from temporalio.testing import WorkflowEnvironment

from embedded.namespace import prepare_namespace
from evacuation import messages as m
from evacuation.errors import EvidenceMissingError, FenceDeclinedError, GuestBusyError, SpawnFailedError
from services.runtime.settings import Settings
from services.runtime.temporal import connect
from tests.support.stack import temporal_server
from tests.workflows.conftest import Run, ends_cancelled, serve
from tests.workflows.fakes import INSTANCE, NOW, FakeCloud
from workflows.evacuate_instance import EvacuateInstance

SUGGESTED = 60
"""Events after which this server suggests to continue as new."""
SLACK = 60
EARLY = ("--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={SUGGESTED}")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    with temporal_server(tmp_path, *EARLY) as address:
        client = await patiently(Settings(temporal_address=address, state_dir=tmp_path))
        await prepare_namespace(client)
        yield client


async def patiently(settings: Settings) -> Client:
    for _ in range(100):
        try:
            return await connect(settings)
        except Exception:
            await asyncio.sleep(0.1)
    return await connect(settings)


def blocked_cloud(*answers: m.Settled | GuestBusyError) -> FakeCloud:
    """The destination of a started evacuation cannot tell for long, cannot be fenced, and answers at last."""
    cloud = FakeCloud()
    cloud.answers("spawn_guest", SpawnFailedError("it cannot tell"))
    cloud.answers("settle_guest", *[GuestBusyError("somebody else has it")] * 9, *answers)
    cloud.answers("fence_destination", *[FenceDeclinedError("3 other guests live there")] * 200)
    return cloud


def as_the_store_has_it(cloud: FakeCloud, evacuation_id: str) -> None:
    """What a request finds from now on: the evacuation is open, and its spawn was authorised."""
    cloud.adopts = m.OpenEvacuation(evacuation_id=evacuation_id, owner="run-0")
    cloud.left = m.Begun(
        evacuation_id=evacuation_id,
        attempt=1,
        phase=m.AttemptPhase.AUTHORIZED,
        started_at=NOW,
        wanted="active",
        migration_id="migration-1",
        destination=m.Destination(host="cmp-2", hypervisor_uuid=None, incarnation="boot-1", epoch=2),
    )


async def start_blocked(
    client: Client, stack: AsyncExitStack, cloud: FakeCloud, **request: Any
) -> tuple[Run, WorkflowHandle]:
    run = await serve(stack, WorkflowEnvironment.from_client(client), cloud)
    run.tuning = m.Tuning(scale=0.03)
    handle = await run.start(**request)
    await run.until("authorize_spawn")
    as_the_store_has_it(cloud, cloud.messages["begin_evacuation"][0].ref.evacuation_id)
    return run, handle


async def lengths(client: Client) -> list[int]:
    """Events of every run of the evacuation, oldest first."""
    described = await client.get_workflow_handle(f"evacuate-instance/{INSTANCE}").describe()
    found, run_id = [], described.raw_info.first_run_id
    while run_id:
        handle = client.get_workflow_handle(f"evacuate-instance/{INSTANCE}", run_id=run_id)
        history = await handle.fetch_history()
        found.append(len(history.events))
        last = history.events[-1].workflow_execution_continued_as_new_event_attributes
        run_id = last.new_execution_run_id
    return found


async def test_blocked_evacuation_goes_on_in_a_new_run_when_its_history_is_long(client: Client):
    cloud = blocked_cloud(m.Settled(forward=True, incarnation="boot-1"))
    async with AsyncExitStack() as stack:
        _, handle = await start_blocked(client, stack, cloud)
        outcome = await handle.result()
        runs = await lengths(client)
    assert (outcome.outcome, outcome.destination) == ("recovered", "cmp-2")
    assert outcome.evacuation_id == cloud.adopts.evacuation_id
    assert len(runs) > 2 and max(runs) < SUGGESTED + SLACK
    assert cloud.asked.count("spawn_guest@cmp-2") == 1, "the guest's start is not repeated"
    events = [event.name for message in cloud.messages["finish_evacuation"] for event in message.events]
    assert "spawn_guest" in events, "what the first run did is in the record"


async def test_evacuation_that_waits_for_evidence_goes_on_in_a_new_run_when_its_history_is_long(client: Client):
    cloud = FakeCloud()
    cloud.answers("fence_source", *[EvidenceMissingError("cmp-1 is not proven off")] * 1000)
    async with AsyncExitStack() as stack:
        run = (await serve(stack, WorkflowEnvironment.from_client(client), cloud)).patient()
        handle = await run.start()
        async with asyncio.timeout(60):
            while cloud.asked.count("check_request") < 2:
                await handle.signal(EvacuateInstance.look_again)
                await asyncio.sleep(0.1)
        await handle.cancel()
        await ends_cancelled(handle)
    assert "begin_evacuation" not in cloud.asked


async def test_what_was_waited_for_capacity_is_not_waited_for_again_in_a_later_run(client: Client):
    cloud, wait = blocked_cloud(m.Settled(forward=True, incarnation="boot-1")), timedelta(minutes=30)
    async with AsyncExitStack() as stack:
        _, handle = await start_blocked(client, stack, cloud, wait_for_capacity=wait)
        assert (await handle.result()).outcome == "recovered"
        runs = await lengths(client)
    waits = [request.wait_for_capacity for request in cloud.messages["check_request"]]
    assert len(runs) > 2 and waits[0] == wait
    assert waits == sorted(waits, reverse=True) and len({*waits}) == len(runs)


async def test_cancel_of_a_blocked_evacuation_is_honoured_in_a_later_run(client: Client):
    cloud = blocked_cloud(*[GuestBusyError("somebody else has it")] * 500)
    async with AsyncExitStack() as stack:
        run, handle = await start_blocked(client, stack, cloud)
        await run.until("settle_guest")
        await handle.cancel()
        while cloud.asked.count("check_request") < 3:
            await asyncio.sleep(0.01)
        cloud.script["settle_guest"] = deque([m.Settled(forward=False, incarnation="boot-1")])
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
        runs = await lengths(client)
    assert isinstance(caught.value.cause, CancelledError)
    assert len(runs) > 2
    assert "release_capacity" in cloud.asked
    assert {message.ref.attempt for message in cloud.messages["claim_capacity"]} == {1}, "no other attempt is begun"


async def test_attempts_of_an_earlier_run_count_when_the_evacuation_goes_on(client: Client):
    cloud = blocked_cloud(m.Settled(forward=True, incarnation="boot-1"))
    cloud.hosts = ["cmp-2"]
    carried = m.CarriedOn(attempts=(m.AttemptResult(host="cmp-3", result="failed", reason="no memory"),))
    as_the_store_has_it(cloud, "evacuation-0")
    cloud.script.clear()
    cloud.authorized = True
    cloud.answers("settle_guest", m.Settled(forward=True, incarnation="boot-1"))
    async with AsyncExitStack() as stack:
        run = await serve(stack, WorkflowEnvironment.from_client(client), cloud)
        input = run.input().model_copy(update={"carried": carried})
        outcome = await client.execute_workflow(
            EvacuateInstance.run, input, id=f"evacuate-instance/{INSTANCE}", task_queue="evacuation"
        )
    assert [(each.host, each.result) for each in outcome.attempts] == [("cmp-3", "failed"), ("cmp-2", "recovered")]
