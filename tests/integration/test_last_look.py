"""The last look asks a real server, and whatever it does not say for certain means: do not go on."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.liveness import LastLook
from evacuation.errors import NobodyWaitsError

SHORT = timedelta(seconds=1)
LONG = timedelta(seconds=60)


class Late:
    """An activity that looks when it is told to; `said` is what it found."""

    def __init__(self) -> None:
        self.begun, self.told, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.said: BaseException | None = None
        self.look: LastLook

    @activity.defn(name="late", no_thread_cancel_exception=True)
    def run(self) -> None:
        self.begun.set()
        self.told.wait(LONG.total_seconds())
        try:
            self.look()
        except NobodyWaitsError as error:
            self.said = error
        self.ended.set()


@workflow.defn
class Waits:
    @workflow.run
    async def run(self, seconds: float) -> None:
        await workflow.execute_activity(
            "late",
            start_to_close_timeout=timedelta(seconds=seconds),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


@pytest.fixture
async def late(temporal: str) -> AsyncIterator[tuple[Late, Client, Any]]:
    client, made, queue = await Client.connect(temporal), Late(), f"late-{uuid.uuid4()}"
    made.look = LastLook(client)

    async def begin(within: timedelta = LONG) -> WorkflowHandle[Any, Any]:
        handle = await client.start_workflow(Waits.run, within.total_seconds(), id=queue, task_queue=queue)
        assert await asyncio.to_thread(made.begun.wait, LONG.total_seconds())
        return handle

    with ThreadPoolExecutor(2) as threads:
        async with Worker(
            client,
            task_queue=queue,
            workflows=[Waits],
            activities=[made.run],
            activity_executor=threads,
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            try:
                yield made, client, begin
            finally:
                made.told.set()


async def looked(late: Late) -> BaseException | None:
    late.told.set()
    assert await asyncio.to_thread(late.ended.wait, LONG.total_seconds())
    return late.said


async def until(handle: WorkflowHandle[Any, Any], event: Any) -> None:
    async with asyncio.timeout(LONG.total_seconds()):
        while not any(each.HasField(event) for each in (await handle.fetch_history()).events):
            await asyncio.sleep(0.05)


async def test_who_is_waited_for_goes_on(late):
    it, _, begin = late
    await begin()
    assert await looked(it) is None


async def test_who_was_given_up_does_not_go_on(late):
    it, _, begin = late
    handle = await begin(SHORT)
    await until(handle, "activity_task_timed_out_event_attributes")
    assert "called off at the last look" in str(await looked(it))


async def test_whose_workflow_was_terminated_does_not_go_on(late):
    it, _, begin = late
    await (await begin()).terminate()
    assert "called off at the last look" in str(await looked(it))


@pytest.mark.parametrize("pardoned", [False, True])
async def test_who_is_to_be_cancelled_goes_on_only_where_its_end_is_waited_for(late, pardoned: bool):
    it, client, begin = late
    it.look = LastLook(client, cancelled=pardoned)
    handle = await begin()
    await handle.cancel()
    await until(handle, "activity_task_cancel_requested_event_attributes")
    assert (await looked(it) is None) == pardoned


async def test_who_cannot_ask_does_not_go_on(late):
    it, _, begin = late
    nobody = await Client.connect("127.0.0.1:1", lazy=True)
    it.look = LastLook(nobody, timeout=SHORT, cancelled=True)
    await begin()
    assert "called off at the last look" in str(await looked(it))
