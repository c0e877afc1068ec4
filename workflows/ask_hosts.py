"""Asks many hosts at once who they are, what runs there, and what they have seen of the ledger."""

import asyncio
from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation import messages as m
from evacuation.names import probe_queue
from workflows.engine.calls import call
from workflows.engine.failures import failure_of
from workflows.engine.policies import LIVE, PROBE

with workflow.unsafe.imports_passed_through():
    from activities.probe import ProbeActivities

WINDOW = 32


@workflow.defn
class AskHosts:
    """Every host is asked once, a window at a time; who does not answer, or answers with an error, is named."""

    @workflow.run
    async def run(self, input: m.AskHostsInput) -> m.HostAnswers:
        gate = asyncio.Semaphore(WINDOW)

        async def one(request: m.ProbeRequest) -> m.HostAnswer:
            async with gate:
                return await ask_host(request, input)

        return m.HostAnswers(answers=tuple(await asyncio.gather(*(one(each) for each in input.hosts))))


async def ask_host(request: m.ProbeRequest, input: m.AskHostsInput) -> m.HostAnswer:
    """What it answers, or why it does not."""
    queue, about = probe_queue(request.host), f"what has {request.host} seen?"
    within, policy = input.within, LIVE if request.live else PROBE
    policy = policy if within is None else replace(policy, start_to_close=within, deadline=within)
    try:
        if not input.guests:
            answer = await call(
                ProbeActivities.probe_host, request, queue=queue, policy=policy, tuning=input.tuning, about=about
            )
            return m.HostAnswer(host=request.host, incarnation=answer.incarnation, ledger=answer.ledger)
        report = await call(
            ProbeActivities.list_guests, request, queue=queue, policy=policy, tuning=input.tuning, about=about
        )
        return m.HostAnswer(host=request.host, incarnation=report.incarnation, report=report, ledger=report.ledger)
    except ActivityError as error:
        said = failure_of(error)
        return m.HostAnswer(host=request.host, incarnation=said.incarnation, why_not=said.line, silent=said.silent)
