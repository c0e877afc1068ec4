"""What fails again and again goes on, and is shown with its last cause: by Temporal, and by the workflow itself."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError

from control.progress import Failing
from embedded.namespace import wait_until_ready
from evacuation.errors import AttachmentLostError, CapacityNotYetError, SpawnFailedError, VolumeServiceError
from evacuation.retries import TOLD_AFTER, Retrying
from services.runtime.retrying import retrying
from services.runtime.settings import Settings
from services.runtime.temporal import connect
from tests.benchmarks.waits import Server
from tests.workflows.conftest import Run, serve
from tests.workflows.fakes import FakeCloud
from workflows.evacuate_instance import EvacuateInstance

Start = Callable[[FakeCloud], Any]


@pytest.fixture
async def run_on_server(temporal: str, tmp_path: Path) -> AsyncIterator[Start]:
    """As `run`, on a server that keeps the failures that it retries."""
    settings = Settings(temporal_address=temporal, temporal_namespace=f"t-{uuid.uuid4().hex[:12]}", state_dir=tmp_path)
    await wait_until_ready(settings, timeout=30)
    client: Client = await connect(settings)
    async with AsyncExitStack() as stack:

        async def begin(cloud: FakeCloud) -> Run:
            return (await serve(stack, Server(client), cloud)).faster()

        yield begin


async def shown(run: Run) -> Retrying:
    """As `check` and `instance show` find it, as soon as there is something."""
    handle = run.handle
    assert handle is not None
    async with asyncio.timeout(30):
        while not (found := await retrying(handle, evacuation_id="e", instance="web-01")):
            await asyncio.sleep(0.05)
    [only] = found
    return only


@pytest.mark.parametrize(
    ("failing", "error", "line"),
    [
        ("release_capacity", KeyError("defect"), "KeyError: 'defect'"),
        ("tear_down_network", VolumeServiceError("it is away", remedy="mend it"), "it is away: mend it"),
        ("finish_evacuation", AssertionError("never"), "AssertionError: never"),
    ],
)
async def test_step_without_end_that_fails_is_shown_with_its_last_cause_and_goes_on(
    run_on_server: Start, failing: str, error: Exception, line: str
):
    cloud = FakeCloud("cmp-2")
    cloud.answers("spawn_guest", *[SpawnFailedError("no memory")] * (0 if failing == "finish_evacuation" else 2))
    cloud.answers(failing, *[error] * (TOLD_AFTER + 3))
    evacuation: Run = await run_on_server(cloud)
    handle = await evacuation.start()
    found = await shown(evacuation)
    assert (found.activity, found.last_error, found.instance, found.evacuation_id) == (failing, line, "web-01", "e")
    assert TOLD_AFTER <= found.times <= TOLD_AFTER + 3
    try:
        assert (await handle.result()).outcome == "recovered"
    except WorkflowFailureError:
        assert failing != "finish_evacuation"
    assert await retrying(handle, evacuation_id="e", instance="web-01") == ()


async def test_expected_not_yet_is_no_failure(run_on_server: Start):
    cloud = FakeCloud("cmp-2")
    cloud.answers("claim_capacity", *[CapacityNotYetError("full")] * (TOLD_AFTER + 1))
    evacuation: Run = await run_on_server(cloud)
    handle = await evacuation.start()
    while len([each for each in cloud.asked if each == "claim_capacity"]) <= TOLD_AFTER:
        assert await retrying(handle, evacuation_id="e", instance="web-01") == ()
        await asyncio.sleep(0.05)
    await handle.result()


async def test_undoing_that_is_refused_again_and_again_is_shown_by_the_workflow_itself(run):
    """Each refusal ends the activity, so that Temporal counts none of them."""
    cloud = FakeCloud("cmp-2")
    cloud.answers("spawn_guest", *[SpawnFailedError("no memory")] * 2)
    cloud.answers("tear_down_block_devices", *[AttachmentLostError("it stays")] * (TOLD_AFTER + 200))
    evacuation: Run = (await run(cloud)).faster()
    handle = await evacuation.start()
    async with asyncio.timeout(20):
        while (progress := await handle.query(EvacuateInstance.progress)).retrying is None:
            await asyncio.sleep(0.02)
    told = progress.retrying
    assert (told.activity, told.last_error) == ("tear_down_block_devices", "it stays")
    assert told.times >= TOLD_AFTER
    assert (await Failing().marked(handle, progress)).retrying == told
    cloud.script["tear_down_block_devices"].clear()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert (await handle.query(EvacuateInstance.progress)).retrying is None
