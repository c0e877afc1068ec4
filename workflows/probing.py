"""The question to a host's own worker, on the queue that is for it alone."""

from temporalio import workflow

from evacuation.messages import ProbeAnswer, ProbeRequest, Tuning
from evacuation.names import probe_queue
from workflows.calls import call
from workflows.policies import PROBE

with workflow.unsafe.imports_passed_through():
    from activities.probe import ProbeActivities


async def probe(host: str, hypervisor_uuid: str | None, tuning: Tuning) -> ProbeAnswer:
    """Its answer. Raises ActivityError: nobody answers, or the worker answers with an error."""
    return await call(
        ProbeActivities.probe_host,
        ProbeRequest(host=host, hypervisor_uuid=hypervisor_uuid),
        queue=probe_queue(host),
        policy=PROBE,
        tuning=tuning,
        about=f"is {host} there?",
    )
