"""Whether a host is there: its own worker is asked, and its power is read beside that."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation.messages import HostRef, ProbeAnswer, Tuning
from workflows.calls import call
from workflows.failures import failure_of
from workflows.policies import CONTROL, PROBE
from workflows.probing import probe
from workflows.steps import Steps

with workflow.unsafe.imports_passed_through():
    from activities.fencing import FencingActivities

READS_POWER = "source-power-is-read-beside-the-probe"
"""Patch: runs from before it wait for the whole silence of a source."""
NOTES_ANSWER = "an-answer-voids-evidence"
"""Patch: runs from before it were refused, and left what the store knew of the source as it was."""
GRACE = 0.5
"""Seconds in which a host whose power reads off may still answer: a BMC entry may name the wrong machine."""


async def ask_host(steps: Steps, host: str, hypervisor_uuid: str | None) -> ProbeAnswer | None:
    """The answer of the host's own worker, or None: nobody answers. The whole silence is waited for only where the
    host's power does not read off. A question that is not needed any more, after a cancel too, is left to its own
    timeout: to cancel it would be one more race for nothing."""
    if not workflow.patched(READS_POWER):
        return await steps.probe(host, hypervisor_uuid)
    answer = asyncio.create_task(steps.probe(host, hypervisor_uuid))
    power = asyncio.create_task(_reads_off(steps, host))
    await workflow.wait([answer, power], return_when=asyncio.FIRST_COMPLETED)
    is_off = not answer.done() and power.result()
    await workflow.wait([answer], timeout=GRACE * steps.tuning.scale if is_off else None)
    return answer.result() if answer.done() else None


async def note_answer(steps: Steps, answer: ProbeAnswer) -> None:
    """What was said of that host is void, also for evacuations that rely on it and have not started their guest."""
    if workflow.patched(NOTES_ANSWER):
        about = f"{answer.host} answers: it is not off"
        await steps.control(FencingActivities.record_answer, answer, policy=CONTROL, about=about)


async def _reads_off(steps: Steps, host: str) -> bool:
    about, asked = f"does the power of {host} read off?", HostRef(host=host, incarnation=None)
    try:
        return await call(FencingActivities.read_power, asked, policy=PROBE, tuning=steps.tuning, about=about)
    except ActivityError:
        return False


async def is_heard(host: str, hypervisor_uuid: str | None, tuning: Tuning) -> bool:
    """Whether a worker of that host answers, be it with an error: then its guests may run."""
    try:
        await probe(host, hypervisor_uuid, tuning)
    except ActivityError as error:
        return not failure_of(error).silent
    return True
