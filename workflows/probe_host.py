"""Asks one host's own worker, for callers that have no workflow of their own."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation import messages as m
from evacuation.names import probe_queue
from workflows.policies import PROBE

with workflow.unsafe.imports_passed_through():
    from activities.probe import ProbeActivities


@workflow.defn
class ProbeHost:
    """The host's report of itself and its guests, or None: nobody answers."""

    @workflow.run
    async def run(self, request: m.ProbeRequest) -> m.HostReport | None:
        try:
            return await workflow.execute_activity_method(
                ProbeActivities.list_guests,
                request,
                task_queue=probe_queue(request.host),
                summary=f"is {request.host} there?",
                **PROBE.config(m.Tuning()),
            )
        except ActivityError:
            return None
