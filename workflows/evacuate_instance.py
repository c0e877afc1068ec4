"""The story of one evacuation, top to bottom. The workflow's id is the lock: one per instance."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation import messages as m
from workflows.engine.failures import Failure, StepFailed, as_error, failure_of
from workflows.evacuating.adopted import stop_afterwards
from workflows.evacuating.endings import Ended
from workflows.evacuating.parts import Parts


@workflow.defn
class EvacuateInstance:
    """Moves one instance from a dead host to a live one, durably.

    It ends recovered, undone with a reason, or stays open and says why (phase `blocked`). Source: Nova's evacuate."""

    @workflow.init
    def __init__(self, input: m.EvacuateInstanceInput) -> None:
        self._of = Parts(input)

    @workflow.run
    async def run(self, input: m.EvacuateInstanceInput) -> m.EvacuationOutcome:
        of = self._of
        try:
            return await self._recover()
        except Ended as end:
            of.opening.decision = of.opening.decision or end.failure
            return await of.shield.run(of.closing.close(end))
        finally:
            undecided = Failure(type="EvacuateError", message="the evacuation ended undecided")
            of.opening.decision = of.opening.decision or undecided
            of.display.end_all()
            await of.shield.run(workflow.wait_condition(workflow.all_handlers_finished))

    @workflow.update
    async def request(self, request: m.EvacuationRequest) -> m.Acceptance:
        """Waits for the decision of the checks: the acceptance, or the refusal as the update's failure."""
        await workflow.wait_condition(lambda: self._of.opening.decision is not None)
        decision = self._of.opening.decision
        if isinstance(decision, Failure):
            raise as_error(decision)
        assert decision is not None
        return decision

    @workflow.signal
    def look_again(self) -> None:
        """Somebody said that a host is off, or back: a blocked evacuation need not wait for its next look."""
        self._of.back.settling.nudge()
        self._of.forward.openly.nudge()

    @workflow.signal
    def instance_deleted(self) -> None:
        """The instance is marked deleted: what is under way ends, and a guest that may run is destroyed."""
        self._of.state.deleted = True
        self._of.back.settling.nudge()

    @workflow.query
    def progress(self) -> m.Progress:
        return self._of.display.progress()

    async def _recover(self) -> m.EvacuationOutcome:
        of = self._of
        await self._evacuate()
        try:
            outcome = await of.shield.run(of.closing.finish())
        except ActivityError as error:
            # Only a deletion undoes a guest that has started; it is destroyed before anything else.
            await of.shield.run(of.retreat.go_back(failure_of(error)))
            raise
        return await of.shield.run(stop_afterwards(of.state, outcome))

    async def _evacuate(self) -> None:
        """Returns when the guest's start is in history: forward only from there."""
        if await self._of.opening.open():
            return
        while not await self._attempt():
            pass

    async def _attempt(self) -> bool:
        """One destination. True: the guest runs there. False: undone, and another try is allowed."""
        of, forward = self._of, self._of.forward
        of.retreat.begin_next()
        try:
            to = await forward.claim_capacity(of.attempts.excluded)
            if of.state.evidence is None:
                await of.source_fence.prove()
            connector = await forward.prepare_destination(to)
            await of.source_fence.relying(lambda: forward.record_preparation(connector))
            of.state.prepared = of.attempts.past_preparation = True
            nics = await forward.set_up_network(to)
            devices = await forward.fetch_block_devices()
            await forward.detach_volumes(devices)
            disks = await forward.set_up_block_devices(connector)
            await forward.connect_volumes(to, disks)
            await of.source_fence.relying(lambda: forward.authorize_spawn(connector))
            await of.shield.run(forward.spawn_guest(nics, disks), pass_on=True)
            return True
        except (Ended, ActivityError, StepFailed, asyncio.CancelledError) as error:
            failure = error.failure if isinstance(error, Ended) else failure_of(error)
            return await of.shield.run(of.retreat.go_back(failure))
