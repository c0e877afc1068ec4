"""The floor: what Temporal alone costs. The history of a recovery, event for event, and nothing done in it."""

from dataclasses import replace

from temporalio import activity, workflow
from temporalio.common import SearchAttributeKey

from evacuation.messages import Done, Tuning
from evacuation.model import Frozen
from evacuation.names import CONTROL_QUEUE, host_queue
from workflows.engine.calls import call
from workflows.engine.policies import CONTROL, FENCE, HOST, MUST_HOLD, SPAWN, Policy

PHASE = SearchAttributeKey.for_keyword("EvacuatePhase")
DESTINATION = SearchAttributeKey.for_keyword("EvacuateDestination")


class FloorInput(Frozen):
    destination: str
    tuning: Tuning = Tuning()


class FloorActivities:
    """One of each queue, both as synchronous as the real ones."""

    def __init__(self) -> None:
        self.control = [self.control_step]
        self.host = [self.host_step]

    @activity.defn(no_thread_cancel_exception=True)
    def control_step(self, message: Done) -> Done:
        return message

    @activity.defn(no_thread_cancel_exception=True)
    def host_step(self, message: Done) -> Done:
        return message


@workflow.defn
class Floor:
    """As many activities as `EvacuateInstance` has on its way to a recovery, on the same queues under the same
    policies, with the same update and the same search attributes."""

    @workflow.init
    def __init__(self, input: FloorInput) -> None:
        self._input = input
        self._decided = False

    @workflow.run
    async def run(self, input: FloorInput) -> Done:
        await self._control(CONTROL, "check_request")
        self._decided = True
        await self._control(replace(FENCE, heartbeat=None), "fence_source")
        await self._control(CONTROL, "begin_evacuation", "claim_capacity")
        self._publish("evacuating")
        await self._host(HOST, "prepare_destination")
        await self._control(CONTROL, "record_preparation", "set_up_network", "fetch_block_devices")
        await self._control(CONTROL, "detach_volumes", "set_up_block_devices")
        await self._host(HOST, "connect_volumes")
        await self._control(CONTROL, "authorize_spawn")
        workflow.upsert_memo({"floor": input.destination})
        await self._host(SPAWN, "spawn_guest")
        await self._control(MUST_HOLD, "finish_evacuation")
        self._publish("ended")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return Done()

    @workflow.update
    async def request(self, message: Done) -> Done:
        await workflow.wait_condition(lambda: self._decided)
        return message

    async def _control(self, policy: Policy, *steps: str) -> None:
        for step in steps:
            await self._step(FloorActivities.control_step, CONTROL_QUEUE, policy, step)

    async def _host(self, policy: Policy, step: str) -> None:
        await self._step(FloorActivities.host_step, host_queue(self._input.destination), policy, step)

    async def _step(self, what: object, queue: str, policy: Policy, about: str) -> None:
        await call(what, Done(), policy=policy, tuning=self._input.tuning, about=about, queue=queue)  # type: ignore[arg-type]  # a name for a method

    def _publish(self, phase: str) -> None:
        workflow.upsert_search_attributes([PHASE.value_set(phase), DESTINATION.value_set(self._input.destination)])
