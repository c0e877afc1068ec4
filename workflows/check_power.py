"""Asks many hosts at once whether they are there, and what would read and cut their power what it reads."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation import messages as m
from evacuation.power_check import PowerCheck, PowerLook, judged
from workflows.engine.calls import call
from workflows.engine.failures import failure_of
from workflows.engine.policies import LOOK
from workflows.engine.probing import probe

with workflow.unsafe.imports_passed_through():
    from activities.power_checks import PowerCheckActivities

WINDOW = 8
"""Few: a BMC that does not answer holds a slot of a control worker, and evacuations need those."""


@workflow.defn
class CheckPower:
    """Every host's power is read, then its worker is asked, a window at a time. Whatever comes of one host is said of
    that host."""

    @workflow.run
    async def run(self, input: m.CheckPowerInput) -> m.PowerChecks:
        gate = asyncio.Semaphore(WINDOW)

        async def one(request: m.ProbeRequest) -> PowerCheck:
            async with gate:
                return await _check(request, input.tuning)

        return m.PowerChecks(checks=tuple(await asyncio.gather(*(one(each) for each in input.hosts))))


async def _check(request: m.ProbeRequest, tuning: m.Tuning) -> PowerCheck:
    """Asked after the reading: who was there before it may have gone off since. An error is an answer, too."""
    look = await _look(request.host, tuning)
    return judged(look, answers=await probe(request.host, request.hypervisor_uuid, tuning) is not None)


async def _look(host: str, tuning: m.Tuning) -> PowerLook:
    asked, about = m.HostRef(host=host, incarnation=None), f"what does the power of {host} read?"
    try:
        return await call(PowerCheckActivities.look_at_power, asked, policy=LOOK, tuning=tuning, about=about)
    except ActivityError as error:
        why = f"the power of {host} was not read: {failure_of(error).line}"
        return PowerLook(host=host, driver="", able=True, failure=why)
