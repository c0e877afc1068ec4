"""An instance is deleted, whatever else is under way with it."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError

from evacuation import messages as m
from evacuation.names import evacuate_instance_id, host_queue
from workflows.engine.backoff import Backoff
from workflows.engine.calls import call, held
from workflows.engine.failures import failure_of
from workflows.engine.policies import HOST
from workflows.engine.probing import is_heard
from workflows.evacuate_instance import EvacuateInstance

with workflow.unsafe.imports_passed_through():
    from activities.guest import GuestActivities
    from activities.hosts import HostActivities


FIRST_PAUSE, LONGEST_PAUSE = 0.2, 15.0


@workflow.defn
class DeleteInstance:
    """Marks the instance, lets a running evacuation clean up first, destroys the guest, and removes what it held.

    A host that answers is asked until it has destroyed the guest, or is proven off: until then nothing is removed.
    A guest on a host that does not answer is destroyed when that host returns, or is heard from again."""

    @workflow.init
    def __init__(self, input: m.DeleteInstanceInput) -> None:
        self._destroyed: m.HostGuest | None = None

    @workflow.run
    async def run(self, input: m.DeleteInstanceInput) -> m.Done:
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE, input.tuning.scale)
        while (plan := await self._plan(input)).evacuation_running or not await self._is_settled(input, plan):
            if plan.evacuation_running:
                workflow.set_current_details("Waiting for the running evacuation to undo itself")
                await self._tell_evacuation(input)
            await backoff.rest()
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(input)
        await held(
            HostActivities.record_deleted,
            m.RecordDeleted(instance_id=input.instance_id, guest=self._destroyed),
            tuning=input.tuning,
            about=f"{input.name} is deleted",
        )
        return m.Done()

    async def _plan(self, input: m.DeleteInstanceInput) -> m.DeletionPlan:
        return await held(
            HostActivities.plan_deletion,
            m.InstanceRef(instance_id=input.instance_id),
            tuning=input.tuning,
            about=f"mark {input.name} for deletion",
        )

    async def _tell_evacuation(self, input: m.DeleteInstanceInput) -> None:
        evacuation = workflow.get_external_workflow_handle(evacuate_instance_id(input.instance_id))
        try:
            await evacuation.signal("instance_deleted")
        except ApplicationError:
            await self._undo_what_was_terminated(input)

    async def _undo_what_was_terminated(self, input: m.DeleteInstanceInput) -> None:
        """The evacuation is open and no workflow runs it: a new one adopts it, and undoes it, since the instance is
        marked. It may also just have ended; then its request is refused."""
        request = m.EvacuationRequest(
            request_id=str(workflow.uuid4()), instance_id=input.instance_id, requested_by="delete"
        )
        try:
            await workflow.start_child_workflow(
                EvacuateInstance.run,
                m.EvacuateInstanceInput(request=request, tuning=input.tuning),
                id=evacuate_instance_id(input.instance_id),
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary=f"undo the evacuation of {input.name}: it is deleted",
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("another request adopted the evacuation of %s meanwhile", input.name)

    async def _is_settled(self, input: m.DeleteInstanceInput, plan: m.DeletionPlan) -> bool:
        """Nothing of it runs any more, or nobody is there to be asked. Whoever answers, with an error too, is worth
        another try. A host that is silent returns before it serves again, and that destroys what was deleted."""
        if plan.guest is None:
            return True
        if await self._destroy(input, plan.guest, plan.hypervisor_uuid):
            self._destroyed = plan.guest
            return True
        return not await is_heard(plan.guest.host, plan.hypervisor_uuid, input.tuning)

    async def _destroy(self, input: m.DeleteInstanceInput, guest: m.HostGuest, hypervisor_uuid: str | None) -> bool:
        host = m.HostCall(host=guest.host, hypervisor_uuid=hypervisor_uuid, incarnation=None)
        try:
            await call(
                GuestActivities.destroy_guest,
                m.GuestCall(call=host, instance_id=guest.instance_id, epoch=guest.epoch),
                queue=host_queue(guest.host),
                policy=HOST,
                tuning=input.tuning,
                about=f"destroy {input.name} on {guest.host}",
            )
            return True
        except ActivityError as error:
            line = failure_of(error).line
            workflow.logger.warning("%s: %s", guest.host, line)
            workflow.set_current_details(f"Waiting for {guest.host} to destroy its guest: {line}")
            return False
