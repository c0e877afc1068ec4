"""An instance is stopped where it is."""

from temporalio import workflow

from evacuation import messages as m
from evacuation.model import VmState
from workflows.powering.in_place import in_place


@workflow.defn
class StopInstance:
    """Under the id of the instance's evacuation, which is the lock. The record changes when the host has said that the
    guest is down; it stays defined there, and is not running."""

    @workflow.run
    async def run(self, input: m.InPlaceInput) -> m.Done:
        return await in_place(input, VmState.STOPPED)
