"""Questions to a host's own worker, on the queue that is for them alone. Here it is decided what is an answer."""

from collections.abc import Callable
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation.messages import ProbeAnswer, ProbeRequest, Tuning
from evacuation.names import probe_queue
from workflows.engine.calls import call
from workflows.engine.failures import Failure, failure_of
from workflows.engine.policies import PROBE

with workflow.unsafe.imports_passed_through():
    from activities.probe import ProbeActivities

T = TypeVar("T")


async def ask(
    activity: Callable[[Any, ProbeRequest], T], request: ProbeRequest, tuning: Tuning, *, about: str
) -> T | Failure | None:
    """What the host's own worker says, be it an error. None is silence: nobody took the question, or no answer came in
    time. Raises ActivityError when it was cancelled."""
    try:
        return await call(activity, request, queue=probe_queue(request.host), policy=PROBE, tuning=tuning, about=about)
    except ActivityError as error:
        failure = failure_of(error)
        if failure.cancelled:
            raise
        return None if failure.silent else failure


async def probe(
    host: str, hypervisor_uuid: str | None, tuning: Tuning, *, doubted: bool = False
) -> ProbeAnswer | Failure | None:
    """Whether the host's own worker is there; as `ask`."""
    request = ProbeRequest(host=host, hypervisor_uuid=hypervisor_uuid, doubted=doubted)
    return await ask(ProbeActivities.probe_host, request, tuning, about=f"is {host} there?")


async def is_there(host: str, hypervisor_uuid: str | None, tuning: Tuning, *, boot: str | None = None) -> bool:
    """Whether its worker answers, be it with an error. `boot`: whether it is still that one; what it was asked before
    it booted again it will not do. Raises ActivityError when it was cancelled."""
    answer = await probe(host, hypervisor_uuid, tuning)
    return answer is not None and (boot is None or answer.incarnation in (None, boot))


async def is_heard(host: str, hypervisor_uuid: str | None, tuning: Tuning) -> bool:
    """Whether a worker of that host answers, be it with an error: then its guests may run."""
    return await probe(host, hypervisor_uuid, tuning) is not None
