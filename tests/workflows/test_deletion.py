"""A deletion asks a host that answers until its guest is destroyed; one that is silent destroys it when it is heard."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from evacuation import messages as m
from evacuation.errors import GuestBusyError, HypervisorUnavailableError
from evacuation.names import CONTROL_QUEUE, delete_instance_id, host_queue, probe_queue
from tests.workflows.conftest import OPTIONS
from tests.workflows.fakes import INSTANCE
from workflows.all import ALL
from workflows.delete_instance import DeleteInstance

GUEST = m.HostGuest(host="cmp-1", incarnation="boot-1", instance_id=INSTANCE, epoch=1)
THERE = m.DeletionPlan(evacuation_running=False, guest=GUEST, hypervisor_uuid=None)
GONE = m.DeletionPlan(evacuation_running=False, guest=None, hypervisor_uuid=None)
ANSWER = m.ProbeAnswer(host="cmp-1", incarnation="boot-1", in_service=True)


class FakeHost:
    """`plans` are the store's answers, the last one for ever; `destroying` what destroying answers, then done."""

    def __init__(self, *destroying: BaseException, plans: tuple[m.DeletionPlan, ...] = (THERE,)) -> None:
        self._plans = deque(plans)
        self._destroying = deque(destroying)
        self.probe: m.ProbeAnswer | BaseException = ANSWER
        self.destroyed = 0
        self.recorded: list[m.HostGuest | None] = []

    @activity.defn
    async def plan_deletion(self, instance: m.InstanceRef) -> m.DeletionPlan:
        return self._plans.popleft() if len(self._plans) > 1 else self._plans[0]

    @activity.defn
    async def record_deleted(self, message: m.RecordDeleted) -> m.Done:
        self.recorded.append(message.guest)
        return m.Done()

    @activity.defn
    async def destroy_guest(self, message: m.GuestCall) -> m.Settled:
        self.destroyed += 1
        if self._destroying:
            raise self._destroying.popleft()
        return m.Settled(forward=False, incarnation="boot-1")

    @activity.defn
    async def probe_host(self, message: m.ProbeRequest) -> m.ProbeAnswer:
        if isinstance(self.probe, BaseException):
            raise self.probe
        return self.probe


Delete = Callable[..., Awaitable[None]]


@pytest.fixture
async def delete(env: WorkflowEnvironment) -> AsyncIterator[Delete]:
    """`await delete(host, serves=False)`: nobody serves the host's queues."""
    async with AsyncExitStack() as stack:

        async def run(host: FakeHost, *, serves: bool = True) -> None:
            queues: dict[str, list[Any]] = {CONTROL_QUEUE: [host.plan_deletion, host.record_deleted]}
            if serves:
                queues |= {host_queue("cmp-1"): [host.destroy_guest], probe_queue("cmp-1"): [host.probe_host]}
            for queue, activities in queues.items():
                workflows = ALL if queue == CONTROL_QUEUE else []
                worker = Worker(env.client, task_queue=queue, workflows=workflows, activities=activities, **OPTIONS)
                await stack.enter_async_context(worker)
            await env.client.execute_workflow(
                DeleteInstance.run,
                m.DeleteInstanceInput(instance_id=INSTANCE, name="web-01", tuning=m.Tuning(scale=0.05)),
                id=delete_instance_id(INSTANCE),
                task_queue=CONTROL_QUEUE,
            )

        yield run


FAILURES = [GuestBusyError("its lock is held"), ApplicationError("lost", non_retryable=True)]


@pytest.mark.parametrize("error", FAILURES)
async def test_host_that_answers_is_asked_until_the_guest_is_destroyed(delete: Delete, error: BaseException):
    host = FakeHost(error, error, error)
    await delete(host)
    assert (host.destroyed, host.recorded) == (4, [GUEST])


async def test_error_of_the_hosts_worker_is_an_answer_too(delete: Delete):
    host = FakeHost(*[HypervisorUnavailableError("libvirtd does not answer")] * 2)
    host.probe = HypervisorUnavailableError("libvirtd does not answer")
    await delete(host)
    assert (host.destroyed, host.recorded) == (3, [GUEST])


async def test_host_that_is_silent_is_not_waited_for(delete: Delete):
    host = FakeHost()
    await delete(host, serves=False)
    assert (host.destroyed, host.recorded) == (0, [None])


async def test_host_that_is_proven_off_meanwhile_is_not_asked_again(delete: Delete):
    host = FakeHost(*FAILURES, *FAILURES, plans=(THERE, THERE, GONE))
    await delete(host)
    assert (host.destroyed, host.recorded) == (2, [None])
