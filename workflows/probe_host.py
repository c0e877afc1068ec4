"""Asks one host's own worker, for callers that have no workflow of their own."""

from temporalio import workflow

from evacuation import messages as m
from workflows.engine.failures import Failure, as_error
from workflows.engine.probing import ask

with workflow.unsafe.imports_passed_through():
    from activities.probe import ProbeActivities


@workflow.defn
class ProbeHost:
    """The host's report of itself and its guests, or None: nobody answers. It fails with the error that the host's own
    worker answered with."""

    @workflow.run
    async def run(self, request: m.ProbeRequest) -> m.HostReport | None:
        answer = await ask(ProbeActivities.list_guests, request, m.Tuning(), about=f"is {request.host} there?")
        if isinstance(answer, Failure):
            raise as_error(answer)
        return answer
