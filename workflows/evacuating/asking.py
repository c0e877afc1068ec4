"""Whether a host is there: its own worker is asked, and its power is read beside that."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation.messages import CheckedRequest, PowerQuery, ProbeAnswer
from evacuation.model import PowerReading
from evacuation.request import refuse_answering_source
from workflows.engine.calls import call
from workflows.engine.failures import Failure, failure_of_refusal
from workflows.engine.policies import CONTROL, PROBE
from workflows.engine.steps import Steps

with workflow.unsafe.imports_passed_through():
    from activities.fencing import FencingActivities

GRACE = 0.5
"""Seconds in which a host whose power reads off may still answer: a BMC entry may name the wrong machine."""


async def ask_host(steps: Steps, host: str, hypervisor_uuid: str | None) -> ProbeAnswer | Failure | None:
    """What the host's own worker says, or None: nobody answers. The whole silence is waited for only where the host's
    power does not read off. A question that is not needed any more, after a cancel too, is left to its own
    timeout: to cancel it would be one more race for nothing."""
    answer = asyncio.create_task(steps.probe(host, hypervisor_uuid, doubted=True))
    power = asyncio.create_task(_reads_off(steps, host, GRACE * steps.tuning.scale))
    await workflow.wait([answer, power], return_when=asyncio.FIRST_COMPLETED)
    if not answer.done() and not power.result():
        await workflow.wait([answer])
    return answer.result() if answer.done() else None


async def note_answer(steps: Steps, host: str, answer: ProbeAnswer | Failure) -> None:
    """What was said of the boot that answers is void, also for evacuations that rely on it and have not started their
    guest. An error that does not say which boot it is of voids nothing."""
    if answer.incarnation is None:
        return
    if isinstance(answer, Failure):
        answer = ProbeAnswer(host=host, incarnation=answer.incarnation, in_service=False)
    about = f"{host} answers: it is not off"
    await steps.control(FencingActivities.record_answer, answer, policy=CONTROL, about=about)


def refused(facts: CheckedRequest, answer: ProbeAnswer | Failure) -> Failure:
    """The refusal of an evacuation whose source answers."""
    error = f"{answer.type}: {answer.message}" if isinstance(answer, Failure) else ""
    return failure_of_refusal(refuse_answering_source(facts, error=error))


async def _reads_off(steps: Steps, host: str, grace: float) -> bool:
    about, asked = f"does the power of {host} read off?", PowerQuery(host=host, incarnation=None, grace=grace)
    try:
        reading = await call(FencingActivities.read_power, asked, policy=PROBE, tuning=steps.tuning, about=about)
        return reading is PowerReading.OFF
    except ActivityError:
        return False
