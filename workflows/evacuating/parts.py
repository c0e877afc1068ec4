"""The parts of one evacuation, put together."""

from temporalio import workflow

from evacuation.messages import AttemptRef, EvacuateInstanceInput
from workflows.engine.compensation import Shield
from workflows.engine.display import Display
from workflows.engine.steps import Steps
from workflows.evacuating.attempts import Attempts
from workflows.evacuating.backward import Backward
from workflows.evacuating.endings import Closing
from workflows.evacuating.forward import Forward
from workflows.evacuating.opening import Opening
from workflows.evacuating.renewal import Renewal
from workflows.evacuating.retreat import Retreat
from workflows.evacuating.source_fence import SourceFence
from workflows.evacuating.state import State


class Parts:
    """They share one state, and are made in the order in which they need each other."""

    def __init__(self, input: EvacuateInstanceInput) -> None:
        self.state = state_of(input)
        self.display = Display(self.state.name, self.state.ref.evacuation_id)
        self.steps = Steps(self.display, input.tuning)
        self.back = Backward(self.state, self.steps)
        self.forward = Forward(self.state, self.steps, self.back)
        self.source_fence = SourceFence(self.state, self.steps, self.forward)
        self.attempts = Attempts(input.tuning)
        self.closing = Closing(self.state, self.steps, self.attempts)
        self.shield = Shield()
        self.retreat = Retreat(self.state, self.steps, self.back, self.attempts, self.shield)
        renewal = Renewal(self.state, self.steps, self.attempts, self.shield)
        if input.carried is not None:
            renewal.carry_on(input.carried)
        self.opening = Opening(
            self.state,
            self.steps,
            self.back,
            self.source_fence,
            self.attempts,
            self.retreat,
            self.shield,
            carries_on=input.carried is not None,
        )


def state_of(input: EvacuateInstanceInput) -> State:
    request, run_id = input.request, workflow.info().run_id
    return State(
        request=request,
        tuning=input.tuning,
        # Not a random id: after a reset to the first task that would be the one of the run before.
        ref=AttemptRef(evacuation_id=run_id, owner=run_id, instance_id=request.instance_id),
        started_at=workflow.now(),
        name=request.instance_id,
    )
