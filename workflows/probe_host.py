"""Asks one host's own worker, for callers that have no workflow of their own."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation import messages as m
from evacuation.names import probe_queue
from workflows.calls import call
from workflows.policies import PROBE

with workflow.unsafe.imports_passed_through():
    from activities.probe import ProbeActivities


@workflow.defn
class ProbeHost:
    """The host's report of itself and its guests, or None: nobody answers."""

    @workflow.run
    async def run(self, request: m.ProbeRequest) -> m.HostReport | None:
        try:
            return await call(
                ProbeActivities.list_guests,
                request,
                queue=probe_queue(request.host),
                policy=PROBE,
                tuning=m.Tuning(),
                about=f"is {request.host} there?",
            )
        except ActivityError:
            return None
