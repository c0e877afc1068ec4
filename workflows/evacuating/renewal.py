"""A run that waits without end, or tries again without end, must not outgrow its history: the next run goes on."""

from datetime import timedelta

from temporalio import workflow

from evacuation import messages as m
from workflows.engine.compensation import Shield
from workflows.engine.steps import Steps
from workflows.evacuating.attempts import Attempts
from workflows.evacuating.state import State

SHORTEST_WAIT = timedelta(seconds=1)


class Renewal:
    """The next run adopts the evacuation as the store has it, as a request after a termination does. What the store
    does not know is carried: a cancel that came, what became of the attempts, events that are not written yet."""

    def __init__(self, state: State, steps: Steps, attempts: Attempts, shield: Shield) -> None:
        self._state = state
        self._steps = steps
        self._attempts = attempts
        self._shield = shield
        steps.renew_if_long = self.renew_if_long

    def carry_on(self, carried: m.CarriedOn) -> None:
        self._attempts.carry_on(carried)
        self._steps.carry_on(carried.events)
        self._shield.cancel_came = carried.cancelled

    def renew_if_long(self) -> None:
        """Ends this run if Temporal suggests it. Nothing of it may be in hand."""
        if not workflow.info().is_continue_as_new_suggested():
            return
        carried = m.CarriedOn(
            cancelled=self._shield.cancel_came,
            attempts=tuple(self._attempts.results),
            past_preparation=self._attempts.past_preparation,
            events=self._steps.events,
        )
        tuning = self._state.tuning
        workflow.continue_as_new(m.EvacuateInstanceInput(request=self._request(), tuning=tuning, carried=carried))

    def _request(self) -> m.EvacuationRequest:
        """What was waited for capacity is not waited for again."""
        request = self._state.request
        if request.wait_for_capacity is None:
            return request
        left = request.wait_for_capacity - (workflow.now() - workflow.info().start_time)
        return request.model_copy(update={"wait_for_capacity": max(left, SHORTEST_WAIT)})
