"""Runs one evacuation against a fake cloud on the time-skipping server."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.failures import FailureInterceptor
from evacuation import messages as m
from evacuation.names import CONTROL_QUEUE, evacuate_instance_id, host_queue, probe_queue
from tests.support.temporal import time_skipping
from tests.workflows.fakes import INSTANCE, FakeCloud, FakeProbe
from workflows.all import ALL
from workflows.engine.sandbox import RUNNER
from workflows.evacuate_instance import EvacuateInstance


@pytest.fixture
async def env() -> AsyncIterator[WorkflowEnvironment]:
    async with time_skipping() as env:
        yield env


async def ends_cancelled(handle: WorkflowHandle[Any, Any]) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError), caught.value.cause


class Run:
    """One evacuation: how it ended, and the workflow's handle for what a test does meanwhile."""

    def __init__(self, client: Client, cloud: FakeCloud) -> None:
        self.client = client
        self.cloud = cloud
        self.handle: WorkflowHandle[Any, m.EvacuationOutcome] | None = None
        # Time is not skipped while an activity waits or runs, and the source's probe waits in most runs.
        self.tuning = m.Tuning(scale=0.2)

    def at_full_scale(self) -> "Run":
        self.tuning = m.Tuning()
        return self

    def faster(self) -> "Run":
        """For calls that never answer."""
        self.tuning = m.Tuning(scale=0.05)
        return self

    def patient(self) -> "Run":
        """A source that cannot be proven off is waited for."""
        self.tuning = self.tuning.model_copy(update={"await_evidence": True})
        return self

    def input(self, **request: Any) -> m.EvacuateInstanceInput:
        return m.EvacuateInstanceInput(
            request=m.EvacuationRequest(request_id=str(uuid.uuid4()), instance_id=INSTANCE, **request),
            tuning=self.tuning,
        )

    async def start(self, **request: Any) -> WorkflowHandle[Any, m.EvacuationOutcome]:
        self.handle = await self.client.start_workflow(
            EvacuateInstance.run,
            self.input(**request),
            id=evacuate_instance_id(INSTANCE),
            task_queue=CONTROL_QUEUE,
        )
        return self.handle

    async def ask(self, **request: Any) -> m.Acceptance:
        """The acceptance; a refusal is the update's failure."""
        input = self.input(**request)
        start = WithStartWorkflowOperation(
            EvacuateInstance.run,
            input,
            id=evacuate_instance_id(INSTANCE),
            task_queue=CONTROL_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        )
        return await self.client.execute_update_with_start_workflow(
            EvacuateInstance.request, input.request, start_workflow_operation=start
        )

    async def outcome(self, **request: Any) -> m.EvacuationOutcome:
        return await (await self.start(**request)).result()

    async def failure(self, **request: Any) -> ApplicationError:
        handle = self.handle or await self.start(**request)
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
        assert isinstance(caught.value.cause, ApplicationError), caught.value.cause
        return caught.value.cause

    async def of_this_run(self) -> WorkflowHandle[Any, m.EvacuationOutcome]:
        return self.handle or self.client.get_workflow_handle_for(EvacuateInstance.run, evacuate_instance_id(INSTANCE))

    async def until(self, name: str) -> None:
        """Until the fake cloud was asked for it."""
        async with asyncio.timeout(20):
            while not any(asked.split("@")[0] == name for asked in self.cloud.asked):
                await asyncio.sleep(0.01)

    async def until_phase(self, phase: str) -> m.Progress:
        assert self.handle is not None
        async with asyncio.timeout(20):
            while True:
                progress = await self.handle.query(EvacuateInstance.progress)
                if progress.phase == phase:
                    return progress
                await asyncio.sleep(0.02)


async def serve(
    stack: AsyncExitStack, env: WorkflowEnvironment, cloud: FakeCloud, *, silent: frozenset[str] = frozenset()
) -> Run:
    """Workers for the cloud, until the stack closes; hosts in `silent` have none."""
    workers = [Worker(env.client, task_queue=CONTROL_QUEUE, workflows=ALL, activities=cloud.control, **OPTIONS)]
    for host in set(cloud.hosts) - silent:
        queue = host_queue(host)
        workers.append(Worker(env.client, task_queue=queue, activities=cloud.on_host(host).all, **OPTIONS))
    for host in {*cloud.answering, *(["cmp-1"] if cloud.source_answers else [])}:
        probe = FakeProbe(cloud)
        asked = [probe.probe_host, probe.list_guests]
        workers.append(Worker(env.client, task_queue=probe_queue(host), activities=asked, **OPTIONS))
    for worker in workers:
        await stack.enter_async_context(worker)
    return Run(env.client, cloud)


@pytest.fixture
async def run(env: WorkflowEnvironment) -> AsyncIterator[Callable[..., Awaitable[Run]]]:
    """`await run(cloud, silent={...})` starts the workers."""
    async with AsyncExitStack() as stack:

        async def begin(cloud: FakeCloud, *, silent: frozenset[str] = frozenset()) -> Run:
            return await serve(stack, env, cloud, silent=silent)

        yield begin


OPTIONS: dict[str, Any] = {
    "interceptors": [FailureInterceptor()],
    "workflow_runner": RUNNER,
    "max_cached_workflows": 100,
    "graceful_shutdown_timeout": timedelta(0),
}
