"""An evacuation is asked for: started, joined, or found again where its answer was lost."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowUpdateFailedError,
)
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from control.failures import NOT_THERE, UNANSWERED, answered, error_of, was_interrupted
from control.running import Handle, handle_of
from evacuation.errors import EvacuationRunningError, Refusal
from evacuation.ledger import StartMark
from evacuation.messages import (
    Acceptance,
    EvacuateInstanceInput,
    EvacuationOutcome,
    EvacuationRequest,
    Tuning,
)
from evacuation.names import (
    CONTROL_QUEUE,
    EVACUATE_INSTANCE,
    FOLLOW_INSTANCE,
    LEDGER_MEMO,
    REQUEST,
    REQUEST_ID_MEMO,
    START_INSTANCE,
    STOP_INSTANCE,
    evacuate_instance_id,
)
from evacuation.views import InstanceView
from services.runtime.last_start import last_start

Operation = WithStartWorkflowOperation[Any, EvacuationOutcome]
SHORTLY = timedelta(seconds=2)
OPERATIONS = {
    EVACUATE_INSTANCE: "an evacuation",
    START_INSTANCE: "a start",
    STOP_INSTANCE: "a stop",
    FOLLOW_INSTANCE: "a move of its residence",
}
"""By the workflow's type. They exclude each other: the workflow's id is the instance's lock."""


@dataclass(frozen=True)
class Accepted:
    """An evacuation that runs, or that ended before it was decided; `acceptance` is None for that one, and for
    somebody else's that was joined."""

    handle: Handle
    acceptance: Acceptance | None
    joined: bool = False

    @property
    def undecided(self) -> bool:
        """It has ended, or is about to."""
        return self.acceptance is None and not self.joined


def new_request_id() -> str:
    return str(uuid4())


async def request_evacuation(
    client: Client, instance: InstanceView, request: EvacuationRequest, tuning: Tuning, *, join: bool
) -> Accepted:
    """Accepted, or joined. Raises a Refusal, or TemporalUnavailableError."""
    with answered():
        start = _operation(instance, request, tuning, await last_start(client, instance.id, timeout=SHORTLY))
        try:
            acceptance = await client.execute_update_with_start_workflow(
                REQUEST, request, id=request.request_id, start_workflow_operation=start, result_type=Acceptance
            )
        except WorkflowUpdateFailedError as error:
            return _not_accepted(await start.workflow_handle(), error)
        except (WorkflowAlreadyStartedError, *UNANSWERED) as error:
            await _look_at(start)
            if _runs_already(error):
                return await _meet_running(client, request, join=join)
            own = None if was_interrupted(error) else await _find_own(client, request)
            if own is None:
                raise
            return await _ask_again(own, request)
        return Accepted(await start.workflow_handle(), acceptance)


def _not_accepted(handle: Handle, error: WorkflowUpdateFailedError) -> Accepted:
    """One that ended before it was decided. Raises the Refusal, if it was refused."""
    refusal = error_of(error.cause)
    if isinstance(refusal, Refusal):
        raise refusal from error
    return Accepted(handle, None)


def _runs_already(error: Exception) -> bool:
    return isinstance(error, WorkflowAlreadyStartedError) or (
        isinstance(error, RPCError) and error.status is RPCStatusCode.ALREADY_EXISTS
    )


async def _look_at(start: Operation) -> None:
    """What became of the start is known by now. An error that nobody looks at is printed by asyncio, as a traceback."""
    with suppress(WorkflowAlreadyStartedError, RPCError, asyncio.CancelledError):
        await start.workflow_handle()


def _operation(
    instance: InstanceView, request: EvacuationRequest, tuning: Tuning, before: StartMark | None
) -> Operation:
    return WithStartWorkflowOperation(
        EVACUATE_INSTANCE,
        EvacuateInstanceInput(request=request, tuning=tuning),
        result_type=EvacuationOutcome,
        id=evacuate_instance_id(instance.id),
        task_queue=CONTROL_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        memo={REQUEST_ID_MEMO: request.request_id} | ({LEDGER_MEMO: before} if before is not None else {}),
        search_attributes=_attributes(instance),
        static_summary=f"evacuate {instance.name} from {instance.host or '?'}",
        static_details=_details(instance, request),
        priority=Priority(priority_key=instance.priority, fairness_key=instance.project),
    )


def _attributes(instance: InstanceView) -> TypedSearchAttributes:
    values = {
        "EvacuateInstance": instance.name,
        "EvacuateSource": instance.host or "-",
        "EvacuatePhase": "checking",
        "EvacuateProject": instance.project,
    }
    return TypedSearchAttributes(
        [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in values.items()]
    )


def _details(instance: InstanceView, request: EvacuationRequest) -> str:
    lines = {
        "Instance": f"{instance.name} ({instance.id}), {instance.vm_state}",
        "From": instance.host or "?",
        "To": request.target or "the best host that fits",
        "Requested by": request.requested_by,
        "Source confirmed off": request.source_confirmed_off or "no",
    }
    return "\n".join(f"- {name}: {value}" for name, value in lines.items())


async def _find_own(client: Client, request: EvacuationRequest) -> Handle | None:
    """What the request has started, though its answer was lost or can never be had; it may have ended."""
    with suppress(RPCError):
        described = await handle_of(client, request.instance_id).describe(rpc_timeout=SHORTLY)
        if await _is_own(described, request):
            return handle_of(client, request.instance_id, described.run_id)
    return None


async def _is_own(described: WorkflowExecutionDescription, request: EvacuationRequest) -> bool:
    return await described.memo_value(REQUEST_ID_MEMO, "") == request.request_id


async def _meet_running(client: Client, request: EvacuationRequest, *, join: bool) -> Accepted:
    """One runs already. It is our own (a reply was lost), or is joined, or the request is refused."""
    described = await handle_of(client, request.instance_id).describe()
    handle = handle_of(client, request.instance_id, described.run_id)
    if await _is_own(described, request):
        return await _ask_again(handle, request)
    refuse_other(described, EVACUATE_INSTANCE)
    if join:
        return Accepted(handle, None, joined=described.status is WorkflowExecutionStatus.RUNNING)
    raise EvacuationRunningError(
        f"an evacuation of it is running already: workflow {handle.id}, run {handle.run_id}",
        remedy="join it with --join, or watch it with `evacuate watch`",
    )


def refuse_other(described: WorkflowExecutionDescription, wanted: str) -> None:
    """Raises EvacuationRunningError: something else is under way with the instance, under the id that is its lock."""
    if described.workflow_type == wanted:
        return
    what = OPERATIONS.get(described.workflow_type, described.workflow_type)
    raise EvacuationRunningError(
        f"{what} of it is running already: workflow {described.id}, run {described.run_id}",
        remedy="wait until it has ended, and ask again",
    )


async def _ask_again(handle: Handle, request: EvacuationRequest) -> Accepted:
    """The answer to our own request, which was decided the first time. Raises the Refusal, if it was refused."""
    try:
        answer = await handle.execute_update(REQUEST, request, id=request.request_id, result_type=Acceptance)
        return Accepted(handle, answer)
    except WorkflowUpdateFailedError as error:
        return _not_accepted(handle, error)
    except RPCError as error:
        if error.status not in NOT_THERE:
            raise
        return Accepted(handle, None)
