"""What a request wanted that took over an evacuation which had recorded something else."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation.messages import EvacuationOutcome
from evacuation.model import VmState
from workflows.engine.failures import StepFailed, failure_of
from workflows.evacuating.state import State
from workflows.powering.in_place import InPlace

STOPS_AFTERWARDS = "an-adoption-stops-what-it-recovered"
"""Patch: runs from before it had the guest that they took over in the state that they were asked for."""


async def stop_afterwards(state: State, outcome: EvacuationOutcome) -> EvacuationOutcome:
    """A request that took over an evacuation, whose guest was to run, may want it stopped: it is recovered first. Where
    it cannot be stopped the outcome says so."""
    asked = state.request.target_state == VmState.STOPPED and state.wanted != VmState.STOPPED
    if not asked or not workflow.patched(STOPS_AFTERWARDS):
        return outcome
    try:
        await InPlace(state.ref.instance_id, state.name, state.tuning).bring_to(VmState.STOPPED)
    except (ActivityError, StepFailed) as error:
        reason = f"it still runs: {failure_of(error).line}; ask again: evacuate instance stop {state.name}"
        return outcome.model_copy(update={"reason": reason})
    return outcome
