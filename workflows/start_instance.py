"""An instance is started where it is: its host is well, and its guest has crashed, or was stopped."""

from temporalio import workflow

from evacuation import messages as m
from evacuation.model import VmState
from workflows.powering.in_place import in_place


@workflow.defn
class StartInstance:
    """Under the id of the instance's evacuation, which is the lock: one of them at a time. A guest that runs as
    recorded is let be; anything else of it is destroyed on its host first, and without that answer nothing starts."""

    @workflow.run
    async def run(self, input: m.InPlaceInput) -> m.Done:
        return await in_place(input, VmState.ACTIVE)
