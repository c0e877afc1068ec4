"""What Temporal tries again and again, as it says itself: no worker has to answer for that."""

from contextlib import suppress
from datetime import UTC, timedelta
from typing import Any

from temporalio.api.enums.v1 import ApplicationErrorCategory
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import (
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from evacuation.errors import ErrorDetail
from evacuation.messages import Progress
from evacuation.names import EVACUATE_INSTANCE, PROGRESS
from evacuation.retries import TOLD_AFTER, Retrying
from services.runtime.temporal import DATA_CONVERTER

SHORTLY = timedelta(seconds=2)


async def retrying(
    handle: WorkflowHandle[Any, Any], *, evacuation_id: str | None, instance: str | None
) -> tuple[Retrying, ...]:
    """As Temporal says of the workflow that runs; else as the workflow says itself. Raises RPCError."""
    try:
        described = await handle.describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return ()
        raise
    if described.status is not WorkflowExecutionStatus.RUNNING:
        return ()
    found = await retries_in(handle, described, evacuation_id=evacuation_id, instance=instance)
    if found or described.workflow_type != EVACUATE_INSTANCE:
        return found
    with suppress(RPCError, WorkflowQueryFailedError):
        progress = await handle.query(PROGRESS, result_type=Progress, rpc_timeout=SHORTLY)
        return (progress.retrying,) if progress.retrying else ()
    return ()


async def retries_in(
    handle: WorkflowHandle[Any, Any],
    described: WorkflowExecutionDescription,
    *,
    evacuation_id: str | None,
    instance: str | None,
) -> tuple[Retrying, ...]:
    """Activities of that run that have failed so often that a person should know. Raises RPCError."""
    failing = [each for each in described.raw_description.pending_activities if _fails(each)]
    if not failing:
        return ()
    # Only the history knows since when.
    history = await handle.fetch_history()
    scheduled = {
        event.activity_task_scheduled_event_attributes.activity_id: event.event_time
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    }
    return tuple(
        [
            Retrying(
                evacuation_id=evacuation_id,
                instance=instance,
                activity=each.activity_type.name,
                times=each.attempt - 1,
                last_error=await _line(each.last_failure),
                since=scheduled.get(each.activity_id, each.scheduled_time).ToDatetime(UTC),
            )
            for each in failing
        ]
    )


def _fails(activity: PendingActivityInfo) -> bool:
    """An expected "not yet" is no failure."""
    category = activity.last_failure.application_failure_info.category
    benign = category == ApplicationErrorCategory.APPLICATION_ERROR_CATEGORY_BENIGN
    return activity.attempt > TOLD_AFTER and activity.HasField("last_failure") and not benign


async def _line(failure: Failure) -> str:
    error = await DATA_CONVERTER.decode_failure(failure)
    if not isinstance(error, ApplicationError):
        return str(error)
    remedies = [ErrorDetail.model_validate(each).remedy for each in error.details if _is_detail(each)]
    line = error.message if any(_is_detail(each) for each in error.details) else f"{error.type}: {error.message}"
    return ": ".join(text for text in (line, *remedies) if text)


def _is_detail(value: Any) -> bool:
    return isinstance(value, dict) and "remedy" in value
