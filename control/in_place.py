"""Starts, stops and moves of an instance where it is: asked for, waited for, and joined when the same is under way."""

from dataclasses import dataclass
from typing import Any

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import Priority, WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from control.failures import answered, error_of
from control.requests import SHORTLY, refuse_other
from evacuation.messages import Done, FollowInput, InPlaceInput
from evacuation.names import CONTROL_QUEUE, LEDGER_MEMO, evacuate_instance_id
from evacuation.views import InstanceView
from services.runtime.last_start import last_start

Input = FollowInput | InPlaceInput


@dataclass(frozen=True)
class Asked:
    """It runs; `joined`: it did before it was asked for."""

    handle: WorkflowHandle[Any, Done]
    joined: bool


async def ask(client: Client, kind: str, instance: InstanceView, input: Input) -> Asked:
    """Raises a Refusal, TemporalUnavailableError."""
    with answered():
        return await _start(client, kind, instance, input)


async def end_of(asked: Asked) -> None:
    """Waits for it. Raises what it ended with, TemporalUnavailableError."""
    try:
        with answered():
            await asked.handle.result()
    except WorkflowFailureError as error:
        raise error_of(error.cause) from error


async def _start(client: Client, kind: str, instance: InstanceView, input: Input) -> Asked:
    """The workflow's id is the lock: of an evacuation, too. The same that runs already is joined."""
    workflow_id = evacuate_instance_id(instance.id)
    before = await last_start(client, instance.id, timeout=SHORTLY)
    try:
        handle = await client.start_workflow(
            kind,
            input,
            id=workflow_id,
            task_queue=CONTROL_QUEUE,
            result_type=Done,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            memo={LEDGER_MEMO: before} if before is not None else None,
            static_summary=f"{kind.removesuffix('Instance').lower()} {instance.name} on {instance.host or '?'}",
            priority=Priority(priority_key=instance.priority, fairness_key=instance.project),
        )
        return Asked(handle, joined=False)
    except WorkflowAlreadyStartedError:
        described = await client.get_workflow_handle(workflow_id).describe()
        refuse_other(described, kind)
        return Asked(client.get_workflow_handle(workflow_id, run_id=described.run_id, result_type=Done), joined=True)
