"""A person says that an instance was moved, by a live migration: its residence follows it."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation import messages as m
from workflows.ask_hosts import WINDOW, ask_host
from workflows.engine.calls import call
from workflows.engine.failures import as_error, failure_of
from workflows.engine.policies import CONTROL

with workflow.unsafe.imports_passed_through():
    from activities.sightings import SightingActivities


@workflow.defn
class FollowInstance:
    """Its id is that of the instance's evacuation: the lock. All hosts are asked in the same breath what they have of
    it. Only if its guest runs on exactly one, with its mark, and its old place is empty, is anything changed."""

    @workflow.run
    async def run(self, input: m.FollowInput) -> m.Done:
        try:
            asked = m.InstanceRef(instance_id=input.instance_id)
            about = f"where does {input.name} live?"
            plan = await call(SightingActivities.plan_follow, asked, policy=CONTROL, tuning=input.tuning, about=about)
            reports = await _ask(plan, input)
            message = m.FollowInstance(residence=plan.residence, reports=reports, who=input.who)
            about = f"{input.name} lives where its guest runs"
            return await call(
                SightingActivities.follow_instance, message, policy=CONTROL, tuning=input.tuning, about=about
            )
        except ActivityError as error:
            failure = failure_of(error)
            if failure.cancelled:
                raise asyncio.CancelledError from error
            raise as_error(failure) from error


async def _ask(plan: m.FollowPlan, input: m.FollowInput) -> tuple[m.HostReport, ...]:
    gate = asyncio.Semaphore(WINDOW)
    questions = m.AskHostsInput(hosts=plan.hosts, guests=True, tuning=input.tuning)

    async def one(request: m.ProbeRequest) -> m.HostReport | None:
        async with gate:
            return (await ask_host(request, questions)).report

    answers = await asyncio.gather(*(one(each) for each in plan.hosts))
    return tuple(each.about((input.instance_id,)) for each in answers if each is not None)
