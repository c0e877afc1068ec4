"""What a control worker keeps in memory of runs that are over without its knowing."""

import asyncio
import gc
import uuid

from temporalio.testing import WorkflowEnvironment

from evacuation import messages as m
from evacuation.names import CONTROL_QUEUE, evacuate_instance_id
from services.runtime.settings import Settings
from tests.workflows.fakes import FakeCloud, Hang
from workers.serving import serving
from workflows.all import ALL
from workflows.engine.sandbox import ContextFree
from workflows.evacuate_instance import EvacuateInstance

KEPT = 3
RUNS = 12


def kept() -> list[ContextFree]:
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, ContextFree)]


async def start_and_terminate(env: WorkflowEnvironment, cloud: FakeCloud, number: int) -> None:
    instance_id = str(uuid.uuid4())
    request = m.EvacuationRequest(request_id=str(uuid.uuid4()), instance_id=instance_id)
    handle = await env.client.start_workflow(
        EvacuateInstance.run,
        m.EvacuateInstanceInput(request=request),
        id=evacuate_instance_id(instance_id),
        task_queue=CONTROL_QUEUE,
    )
    async with asyncio.timeout(20):
        while len(cloud.asked) < number:
            await asyncio.sleep(0.01)
    await handle.terminate()


async def test_worker_forgets_terminated_runs_when_newer_ones_come(env: WorkflowEnvironment):
    # Those of other tests are held here, so that none of them goes while it is counted.
    cloud, before = FakeCloud(), kept()
    cloud.answers("check_request", *[Hang()] * RUNS)
    settings = Settings(control_cached_workflows=KEPT, time_scale=0.02)
    async with serving(
        env.client, settings, queue=CONTROL_QUEUE, activities=cloud.control, workflows=ALL, slots=2 * RUNS, pollers=2
    ):
        for number in range(1, RUNS + 1):
            await start_and_terminate(env, cloud, number)
        async with asyncio.timeout(20):
            while len(kept()) - len(before) > KEPT:
                await asyncio.sleep(0.1)
        assert len(kept()) - len(before) == KEPT, "a terminated run stays until newer ones push it out"
