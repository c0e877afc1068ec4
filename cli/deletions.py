"""Deletions of instances, also in the middle of an evacuation."""

import asyncio
import sys

import typer
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy

from cli.access import connect
from cli.evacuations import refusals_as_outcomes
from cli.failures import answered, error_of
from cli.instances import find_instance
from cli.output import print_one
from evacuation.messages import DeleteInstanceInput, Tuning
from evacuation.names import CONTROL_QUEUE, DELETE_INSTANCE, delete_instance_id
from evacuation.views import InstanceView
from services.runtime.settings import Settings


def delete_instance(settings: Settings, asked: str, *, yes: bool, as_json: bool) -> None:
    """Prints the instance as it is then. A person at a terminal is asked first, a program is not. Raises
    InstanceNotFoundError; typer.Abort if the answer is no."""

    async def run(instance: InstanceView) -> None:
        await delete(await connect(settings), instance, settings.tuning)

    with refusals_as_outcomes(asked, as_json=as_json):
        instance = find_instance(asked)
        if not yes and sys.stdin.isatty():
            typer.confirm(f"Delete {instance.name} ({instance.id}), for good?", abort=True, err=True)
        asyncio.run(run(instance))
        print_one(find_instance(instance.id), as_json=as_json)


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
