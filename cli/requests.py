"""What the commands ask of Temporal: start, join, cancel and follow an evacuation; delete an instance."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from evacuation.errors import (
    BY_NAME,
    ErrorDetail,
    EvacuateError,
    EvacuationRunningError,
    Refusal,
    TemporalUnavailableError,
)
from evacuation.messages import (
    Acceptance,
    DeleteInstanceInput,
    EvacuateInstanceInput,
    EvacuationOutcome,
    EvacuationRequest,
    Tuning,
)
from evacuation.names import CONTROL_QUEUE, REQUEST_ID_MEMO, delete_instance_id, evacuate_instance_id
from evacuation.views import InstanceView
from workflows.delete_instance import DeleteInstance
from workflows.evacuate_instance import EvacuateInstance

Handle = WorkflowHandle[EvacuateInstance, EvacuationOutcome]
NOT_THERE = (RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION)


@dataclass(frozen=True)
class Accepted:
    """An evacuation that runs, or that ended before it was decided; `acceptance` is None for that one, and for
    somebody else's that was joined."""

    handle: Handle
    acceptance: Acceptance | None
    joined: bool = False


def new_request_id() -> str:
    return str(uuid4())


async def request_evacuation(
    client: Client, instance: InstanceView, request: EvacuationRequest, tuning: Tuning, *, join: bool
) -> Accepted:
    """Accepted, or joined. Raises a Refusal, or TemporalUnavailableError."""
    start = _operation(instance, request, tuning)
    try:
        acceptance = await client.execute_update_with_start_workflow(
            EvacuateInstance.request, request, id=request.request_id, start_workflow_operation=start
        )
        return Accepted(await start.workflow_handle(), acceptance)
    except WorkflowUpdateFailedError as error:
        refusal = error_of(error.cause)
        if isinstance(refusal, Refusal):
            raise refusal from error
        return Accepted(await start.workflow_handle(), None)
    except WorkflowAlreadyStartedError:
        await _look_at(start)
        return await _meet_running(client, request, join=join)
    except RPCError as error:
        await _look_at(start)
        if error.status is RPCStatusCode.ALREADY_EXISTS:
            return await _meet_running(client, request, join=join)
        raise _unavailable(error) from error
    except WorkflowUpdateRPCTimeoutOrCancelledError as error:
        await _look_at(start)
        raise TemporalUnavailableError("Temporal did not answer the request", remedy="ask again") from error


async def _look_at(start: WithStartWorkflowOperation[EvacuateInstance, EvacuationOutcome]) -> None:
    """What became of the start is known by now. An error that nobody looks at is printed by asyncio, as a traceback."""
    with suppress(WorkflowAlreadyStartedError, RPCError, asyncio.CancelledError):
        await start.workflow_handle()


def _operation(
    instance: InstanceView, request: EvacuationRequest, tuning: Tuning
) -> WithStartWorkflowOperation[EvacuateInstance, EvacuationOutcome]:
    return WithStartWorkflowOperation(
        EvacuateInstance.run,
        EvacuateInstanceInput(request=request, tuning=tuning),
        id=evacuate_instance_id(instance.id),
        task_queue=CONTROL_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        memo={REQUEST_ID_MEMO: request.request_id},
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


async def _meet_running(client: Client, request: EvacuationRequest, *, join: bool) -> Accepted:
    """One runs already. It is our own (a reply was lost), or is joined, or the request is refused."""
    handle = _handle(client, request.instance_id)
    described = await handle.describe()
    if await described.memo_value(REQUEST_ID_MEMO, "") == request.request_id:
        own = await handle.execute_update(EvacuateInstance.request, request, id=request.request_id)
        return Accepted(handle, own)
    if join:
        return Accepted(_handle(client, request.instance_id, described.run_id), None, joined=True)
    raise EvacuationRunningError(
        f"an evacuation of it is running already: workflow {handle.id}, run {described.run_id}",
        remedy="join it with --join, or watch it with `evacuate watch`",
    )


def _handle(client: Client, instance_id: str, run_id: str | None = None) -> Handle:
    return client.get_workflow_handle_for(EvacuateInstance.run, evacuate_instance_id(instance_id), run_id=run_id)


async def find_running(client: Client, instance_id: str) -> Handle | None:
    """The evacuation of the instance that runs now."""
    try:
        described = await _handle(client, instance_id).describe()
    except RPCError as error:
        if error.status in NOT_THERE:
            return None
        raise _unavailable(error) from error
    running = described.status is WorkflowExecutionStatus.RUNNING
    return _handle(client, instance_id, described.run_id) if running else None


async def outcome_of(handle: Handle, instance_id: str) -> EvacuationOutcome:
    """How it ended, whichever way: waits for the end. A cancelled one says little more than that."""
    try:
        return await handle.result()
    except WorkflowFailureError as error:
        return _outcome_in(error.cause) or _outcome_without_details(instance_id, error.cause)
    except RPCError as error:
        raise _unavailable(error) from error


def _outcome_in(error: BaseException | None) -> EvacuationOutcome | None:
    """The outcome that travels as the failure's second detail."""
    if isinstance(error, ApplicationError) and len(error.details) > 1:
        return EvacuationOutcome.model_validate(error.details[1])
    return None


def _outcome_without_details(instance_id: str, error: BaseException | None) -> EvacuationOutcome:
    from temporalio.exceptions import CancelledError

    cancelled, now = isinstance(error, CancelledError), datetime.now(UTC)
    known = error_of(error)
    return EvacuationOutcome(
        evacuation_id="",
        instance_id=instance_id,
        outcome="cancelled" if cancelled else "not_recovered",
        source=None,
        error_type="CancelledError" if cancelled else type(known).__name__,
        reason="cancelled" if cancelled else known.line,
        started_at=now,
        finished_at=now,
    )


def error_of(error: BaseException | None) -> EvacuateError:
    """The error of the domain that a failure carries."""
    if not isinstance(error, ApplicationError):
        return EvacuateError(str(error) or type(error).__name__)
    details = [ErrorDetail.model_validate(d) for d in error.details[:1] if isinstance(d, dict)]
    detail = details[0] if details else ErrorDetail(message=error.message)
    return _kind(error.type or "EvacuateError")(detail.message, remedy=detail.remedy, hosts=detail.hosts)


def _kind(name: str) -> type[EvacuateError]:
    """A type that the domain does not know keeps its name."""
    return BY_NAME.get(name) or type(name, (EvacuateError,), {})


async def delete(client: Client, instance: InstanceView, tuning: Tuning) -> None:
    """The instance is deleted; a deletion that runs already is joined."""
    try:
        await client.execute_workflow(
            DeleteInstance.run,
            DeleteInstanceInput(instance_id=instance.id, name=instance.name, tuning=tuning),
            id=delete_instance_id(instance.id),
            task_queue=CONTROL_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"delete {instance.name}",
        )
    except WorkflowFailureError as error:
        raise error_of(error.cause) from error
    except RPCError as error:
        raise _unavailable(error) from error


def _unavailable(error: RPCError) -> TemporalUnavailableError:
    return TemporalUnavailableError(f"Temporal did not answer ({error.status.name.lower()}: {error.message})")
