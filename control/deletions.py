"""Deletions of instances, also in the middle of an evacuation."""

from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy

from control.failures import answered, error_of
from evacuation.messages import DeleteInstanceInput, Tuning
from evacuation.names import CONTROL_QUEUE, DELETE_INSTANCE, delete_instance_id
from evacuation.views import InstanceView


async def delete(client: Client, instance: InstanceView, tuning: Tuning) -> None:
    """The instance is deleted; a deletion that runs already is joined. Raises TemporalUnavailableError."""
    try:
        with answered():
            await client.execute_workflow(
                DELETE_INSTANCE,
                DeleteInstanceInput(instance_id=instance.id, name=instance.name, tuning=tuning),
                id=delete_instance_id(instance.id),
                task_queue=CONTROL_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=f"delete {instance.name}",
            )
    except WorkflowFailureError as error:
        raise error_of(error.cause) from error
