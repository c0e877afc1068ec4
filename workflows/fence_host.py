"""A person has a host proven off, for callers that have no workflow of their own."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation import messages as m
from workflows.engine.calls import call
from workflows.engine.failures import as_error, failure_of
from workflows.engine.policies import CONTROL, FENCE

with workflow.unsafe.imports_passed_through():
    from activities.fencing import FencingActivities


@workflow.defn
class FenceHost:
    """By their word, which counts only where the power does not read on; without one, by its power, which is cut."""

    @workflow.run
    async def run(self, input: m.FenceHostInput) -> m.Done:
        request, tuning = input.request, input.tuning
        try:
            if request.statement is not None:
                about = f"take {request.who}'s word that {request.host} is off"
                return await call(FencingActivities.take_word, request, policy=CONTROL, tuning=tuning, about=about)
            about = f"cut the power of {request.host}"
            return await call(FencingActivities.cut_power, request, policy=FENCE, tuning=tuning, about=about)
        except ActivityError as error:
            raise as_error(failure_of(error)) from error
