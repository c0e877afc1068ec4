"""Evacuations that run: found, and asked to stop."""

from typing import Any

from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError

from control.failures import NOT_THERE, answered
from evacuation.messages import EvacuationOutcome
from evacuation.names import EVACUATE_INSTANCE, evacuate_instance_id

Handle = WorkflowHandle[Any, EvacuationOutcome]


def handle_of(client: Client, instance_id: str, run_id: str | None = None) -> Handle:
    workflow_id = evacuate_instance_id(instance_id)
    return client.get_workflow_handle(workflow_id, run_id=run_id, result_type=EvacuationOutcome)


async def find_running(client: Client, instance_id: str) -> Handle | None:
    """The evacuation of the instance that runs now. Raises TemporalUnavailableError."""
    described = await _describe_running(client, instance_id)
    return handle_of(client, instance_id, described.run_id) if described else None


async def _describe_running(client: Client, instance_id: str) -> WorkflowExecutionDescription | None:
    with answered():
        try:
            described = await handle_of(client, instance_id).describe()
        except RPCError as error:
            if error.status not in NOT_THERE:
                raise
            return None
    runs = described.status is WorkflowExecutionStatus.RUNNING and described.workflow_type == EVACUATE_INSTANCE
    return described if runs else None


async def cancel_running(client: Client, instance_id: str) -> Handle | None:
    """The evacuation that runs now, asked to stop. None: there is none, or it was gone before it could be asked.

    Raises TemporalUnavailableError."""
    described = await _describe_running(client, instance_id)
    if described is None:
        return None
    # By its first run, not by this one: it may go on in a new run just now, and a run that has ended takes any cancel.
    whole = client.get_workflow_handle(described.id, first_execution_run_id=described.raw_info.first_run_id)
    with answered():
        try:
            await whole.cancel()
        except RPCError as error:
            if error.status not in NOT_THERE:
                raise
            return None
    return handle_of(client, instance_id, described.run_id)
