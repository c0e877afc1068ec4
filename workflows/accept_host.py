"""A person has another board take the name of a host."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation import messages as m
from workflows.engine.calls import call
from workflows.engine.failures import as_error, failure_of
from workflows.engine.policies import CONTROL

with workflow.unsafe.imports_passed_through():
    from activities.fencing import FencingActivities


@workflow.defn
class AcceptHost:
    """By their word that the one before runs nothing any more, which a control worker takes: it alone knows what proves
    a host off."""

    @workflow.run
    async def run(self, input: m.AcceptHostInput) -> m.Done:
        request = input.request
        about = f"take {request.who}'s word that the board of {request.host} is gone"
        try:
            return await call(
                FencingActivities.accept_identity, request, policy=CONTROL, tuning=input.tuning, about=about
            )
        except ActivityError as error:
            raise as_error(failure_of(error)) from error
