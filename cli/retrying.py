"""What fails again and again, for the commands that show a person how things stand."""

import asyncio

from cli.access import connect, open_evacuation
from cli.failures import answered
from cli.output import say
from evacuation.errors import TemporalUnavailableError
from evacuation.model import TaskState
from evacuation.names import delete_instance_id, evacuate_instance_id
from evacuation.retries import Retrying
from evacuation.views import InstanceView, ShownInstance
from services.runtime.retrying import retrying
from services.runtime.settings import Settings


def shown(settings: Settings, instance: InstanceView) -> ShownInstance:
    """With what fails again and again of an evacuation or a deletion of it, where Temporal can say so."""
    try:
        found = asyncio.run(_ask(settings, instance))
    except TemporalUnavailableError as error:
        say(f"not asked what fails again and again: {error.message}")
        found = ()
    return ShownInstance(**dict(instance), retrying=found)


async def _ask(settings: Settings, instance: InstanceView) -> tuple[Retrying, ...]:
    client = await connect(settings)
    deleting = instance.task_state == TaskState.DELETING
    workflow_id = delete_instance_id(instance.id) if deleting else evacuate_instance_id(instance.id)
    with answered():
        handle = client.get_workflow_handle(workflow_id)
        return await retrying(handle, evacuation_id=open_evacuation(instance.id), instance=instance.name)
