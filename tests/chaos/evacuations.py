"""The evacuations of one batch, as their caller sees them: asked for, followed through every fault, to their end."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar
from uuid import uuid4

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.service import RPCError, RPCStatusCode

from control.outcomes import outcome_of
from control.requests import new_request_id, request_evacuation
from evacuation.errors import EvacuateError, Refusal, TemporalUnavailableError
from evacuation.messages import EvacuationOutcome, EvacuationRequest, Tuning
from evacuation.names import REQUEST_ID_MEMO, evacuate_instance_id
from evacuation.views import InstanceView
from workflows.evacuate_instance import EvacuateInstance

T = TypeVar("T")
PAUSE = 0.1
FIRST_TASK = 4
"""The event to which the Web UI's button "reset to the first task" goes back."""


class Evacuations:
    """`refused` are the refusals of the newest requests, by name; `ended_at` by `time.monotonic`."""

    def __init__(self, client: Client, instances: Iterable[InstanceView], tuning: Tuning) -> None:
        self.client = client
        self._instances = {each.name: each for each in instances}
        self._tuning = tuning
        self.refused: dict[str, Refusal] = {}
        self.ended_at: dict[str, float] = {}

    async def ask(self, name: str, *, priority: int | None = None, **options: Any) -> None:
        """Accepted, refused, or gone unanswered: a request that Temporal did not answer is sent again as itself.

        `options` are fields of the request."""
        instance, identity = self._instances[name], new_request_id()
        if priority is not None:
            instance = instance.model_copy(update={"priority": priority})
        request = EvacuationRequest(request_id=identity, instance_id=instance.id, **options)
        self.refused.pop(name, None)
        while True:
            try:
                await request_evacuation(self.client, instance, request, self._tuning, join=False)
                return
            except Refusal as refusal:
                self.refused[name] = refusal
                return
            except (TemporalUnavailableError, RPCError):
                if await self._has_ended(name, identity):
                    return
                await asyncio.sleep(PAUSE)
            except EvacuateError:
                return

    async def end_of(self, name: str) -> EvacuationOutcome | None:
        """How the newest run of the workflow ended. None: there is none, the request was refused."""
        while True:
            try:
                described = await self._patiently(lambda: self.describe(name))
            except RPCError:
                return None
            handle = self.client.get_workflow_handle_for(EvacuateInstance.run, described.id, run_id=described.run_id)
            outcome = await self._patiently(lambda handle=handle: outcome_of(handle, self._instances[name].id))
            if (await self._patiently(lambda: self.describe(name))).run_id == described.run_id:
                self.ended_at[name] = time.monotonic()
                return outcome

    async def describe(self, name: str) -> WorkflowExecutionDescription:
        return await self._handle(name).describe()

    async def is_at(self, name: str, step: str) -> bool:
        """A worker has the step in hand, and its answer is not there yet."""
        with suppress(RPCError):
            pending = (await self.describe(name)).raw_description.pending_activities
            started = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
            return any((each.activity_type.name, each.state) == (step, started) for each in pending)
        return False

    async def phase(self, name: str) -> str:
        """Where it is, for a person who wonders why it does not end."""
        with suppress(Exception):
            seen = await asyncio.wait_for(self._handle(name).query(EvacuateInstance.progress), 5)
            at = [step.name for step in seen.steps if step.state == "running"]
            return f"{seen.phase} {' '.join(at)} {seen.cause}".strip()
        return "it does not answer"

    async def run_of(self, workflow_id: str) -> str:
        """The newest run of any workflow."""
        return (await self.client.get_workflow_handle(workflow_id).describe()).run_id

    async def until_has_done(self, workflow_id: str, run_id: str, step: str) -> None:
        """Until that run has the step behind it."""
        handle = self.client.get_workflow_handle(workflow_id, run_id=run_id)
        while True:
            history = await handle.fetch_history()
            scheduled = {
                event.event_id: event.activity_task_scheduled_event_attributes.activity_type.name
                for event in history.events
            }
            done = [event.activity_task_completed_event_attributes.scheduled_event_id for event in history.events]
            if step in {scheduled.get(event_id) for event_id in done}:
                return
            await asyncio.sleep(0.1)

    async def cancel(self, name: str) -> None:
        await self._handle(name).cancel()

    async def terminate(self, name: str) -> None:
        await self._handle(name).terminate("as the Web UI's button does")

    async def reset(self, name: str) -> None:
        described = await self.describe(name)
        await self.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=self.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=described.id, run_id=described.run_id),
                reason="as the Web UI's button does",
                workflow_task_finish_event_id=FIRST_TASK,
                request_id=str(uuid4()),
            )
        )

    def _handle(self, name: str) -> Any:
        return self.client.get_workflow_handle(evacuate_instance_id(self._instances[name].id))

    async def _has_ended(self, name: str, request_id: str) -> bool:
        """The request came through all the same, and what it started is over."""
        with suppress(RPCError):
            described = await self.describe(name)
            return described.close_time is not None and await described.memo_value(REQUEST_ID_MEMO, "") == request_id
        return False

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """A server that is away comes back; what it does not know stays unknown."""
        while True:
            try:
                return await call()
            except TemporalUnavailableError:
                await asyncio.sleep(PAUSE)
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    raise
                await asyncio.sleep(PAUSE)
