"""A client of a real Temporal server before whose calls something happens, and an evacuation for it to talk about."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from temporalio.client import Client, Interceptor, OutboundInterceptor
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from cli.inputs import find_instance
from evacuation.messages import EvacuateInstanceInput, EvacuationRequest
from evacuation.names import CONTROL_QUEUE, REQUEST_ID_MEMO, evacuate_instance_id
from evacuation.views import InstanceView
from services.runtime.stack_record import settings_for
from services.runtime.temporal import connect
from workflows.evacuate_instance import EvacuateInstance

NAME = "web-01"
Happening = Callable[[], Awaitable[None]]


def instance() -> InstanceView:
    return find_instance(NAME)


def asked(request_id: str = "mine") -> EvacuationRequest:
    return EvacuationRequest(request_id=request_id, instance_id=instance().id)


async def begin(request_id: str = "somebody's") -> str:
    """An evacuation of the instance runs, though its request is not answered. The run's id."""
    client = await connect(settings_for())
    handle = await client.start_workflow(
        EvacuateInstance.run,
        EvacuateInstanceInput(request=asked(request_id), tuning=settings_for().tuning),
        id=evacuate_instance_id(instance().id),
        task_queue=CONTROL_QUEUE,
        memo={REQUEST_ID_MEMO: request_id},
    )
    assert handle.result_run_id is not None
    return handle.result_run_id


@asynccontextmanager
async def serving(stand_in: type) -> AsyncIterator[None]:
    """A control worker that runs this in the place of evacuations."""
    client, runner = await connect(settings_for()), UnsandboxedWorkflowRunner()
    async with Worker(client, task_queue=CONTROL_QUEUE, workflows=[stand_in], workflow_runner=runner):
        yield


async def end() -> None:
    client = await connect(settings_for())
    await client.get_workflow_handle(evacuate_instance_id(instance().id)).terminate("by a test")


async def nothing() -> None:
    pass


async def silence() -> None:
    raise RPCError("connection refused", RPCStatusCode.UNAVAILABLE, b"")


async def absence() -> None:
    raise RPCError("workflow execution already completed", RPCStatusCode.NOT_FOUND, b"")


async def connect_before(call: str, *happenings: Happening) -> Client:
    """Before the first such call the first of them happens, and so on."""
    left = list(happenings)

    async def interfere(self: OutboundInterceptor, input: Any) -> Any:
        if left:
            await left.pop(0)()
        return await getattr(self.next, call)(input)

    outbound = type("Outbound", (OutboundInterceptor,), {call: interfere})

    class Interfering(Interceptor):
        def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
            return outbound(next)

    config = (await connect(settings_for())).config()
    config["interceptors"] = [Interfering()]
    return Client(**config)
