"""A guest that is somewhere else is not started, whoever asks; what somebody has migrated is followed."""

from contextlib import AsyncExitStack
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from evacuation import messages as m
from evacuation.errors import InstanceMisplacedError, NotMovedError
from evacuation.model import PowerState
from evacuation.names import CONTROL_QUEUE, evacuate_instance_id, probe_queue
from tests.workflows.conftest import OPTIONS
from tests.workflows.fakes import INSTANCE, NOW, FakeCloud
from tests.workflows.in_place import InPlace, serve_in_place
from tests.workflows.returns import KEY, NOTHING, FakeReturn, serve_return
from workflows.all import ALL

SEEN = InstanceMisplacedError("web-01 was seen on cmp-3")


async def test_authorisation_knows_since_when_the_source_is_off(run):
    cloud = FakeCloud()
    await (await run(cloud)).outcome()
    assert [each.since for each in cloud.messages["authorize_spawn"]] == [NOW]


async def test_guest_that_is_elsewhere_ends_the_evacuation_and_leaves_the_instance_as_before(run):
    cloud = FakeCloud()
    cloud.answers("authorize_spawn", SEEN)
    failure = await (await run(cloud)).failure()
    assert failure.type == "InstanceMisplacedError"
    assert not any(each.startswith(("spawn_guest", "fence_destination")) for each in cloud.asked)
    undone = [each.split("@")[0] for each in cloud.asked[-3:]]
    assert undone == ["tear_down_network", "release_capacity", "abandon_evacuation"]
    (end,) = cloud.messages["abandon_evacuation"]
    assert (end.migration_status, end.vm_state, end.fault) == ("failed", None, None)
    assert cloud.asked.count("claim_capacity") == 1, "no other host is tried"


async def test_start_in_place_is_refused_before_anything_is_destroyed(env: WorkflowEnvironment):
    fake = InPlace()
    fake.answers("plan_in_place", SEEN)
    async with AsyncExitStack() as stack:
        handle = await serve_in_place(stack, env, "StartInstance", fake)
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    assert isinstance(failed.value.cause, ApplicationError) and failed.value.cause.type == "InstanceMisplacedError"
    assert (fake.destroyed, fake.spawned) == ([], [])


async def test_returning_host_serves_without_a_guest_that_is_elsewhere(env: WorkflowEnvironment):
    other = KEY.model_copy(update={"instance_id": "7c9a5e0e-0000-4000-8000-000000000002", "name": "web-02"})
    fake = FakeReturn(NOTHING.model_copy(update={"start": (KEY, other)}))
    fake.answers("authorize_start", SEEN)
    async with AsyncExitStack() as stack:
        await (await serve_return(stack, env, fake)).result()
    assert [fake.asked.count(each) for each in ("authorize_start", "start_guest", "complete_return")] == [2, 1, 1]


class Following:
    """cmp-1 and cmp-3 are asked; both workers answer, each with what it has."""

    def __init__(self, *answers: BaseException) -> None:
        self.answers = list(answers)
        self.followed: list[m.FollowInstance] = []

    @activity.defn
    async def plan_follow(self, instance: m.InstanceRef) -> m.FollowPlan:
        residence = m.HostGuest(host="cmp-1", incarnation="boot-1", instance_id=instance.instance_id, epoch=1)
        hosts = tuple(m.ProbeRequest(host=each, hypervisor_uuid=None) for each in ("cmp-1", "cmp-3"))
        return m.FollowPlan(residence=residence, hosts=hosts)

    @activity.defn
    async def follow_instance(self, message: m.FollowInstance) -> m.Done:
        self.followed.append(message)
        if self.answers:
            raise self.answers.pop()
        return m.Done()

    @activity.defn
    async def list_guests(self, message: m.ProbeRequest) -> m.HostReport:
        mine = m.GuestState(instance_id=INSTANCE, epoch=1, power_state=PowerState.RUNNING)
        other = mine.model_copy(update={"instance_id": KEY.name})
        guests = (mine, other) if message.host == "cmp-3" else (other,)
        return m.HostReport(host=message.host, hypervisor_uuid="u", machine_id="m", incarnation="boot-1", guests=guests)


async def follow(env: WorkflowEnvironment, fake: Following, *serving: str) -> Any:
    async with AsyncExitStack() as stack:
        control = [fake.plan_follow, fake.follow_instance]
        workers = [Worker(env.client, task_queue=CONTROL_QUEUE, workflows=ALL, activities=control, **OPTIONS)]
        for host in serving:
            workers.append(Worker(env.client, task_queue=probe_queue(host), activities=[fake.list_guests], **OPTIONS))
        for worker in workers:
            await stack.enter_async_context(worker)
        input = m.FollowInput(instance_id=INSTANCE, name="web-01", who="ann", tuning=m.Tuning(scale=0.2))
        id = evacuate_instance_id(INSTANCE)
        return await env.client.execute_workflow("FollowInstance", input, id=id, task_queue=CONTROL_QUEUE)


async def test_residence_follows_by_what_all_hosts_say_of_that_guest_at_once(env: WorkflowEnvironment):
    fake = Following()
    await follow(env, fake, "cmp-1", "cmp-3")
    (message,) = fake.followed
    found = {each.host: [guest.instance_id for guest in each.guests] for each in message.reports}
    assert found == {"cmp-1": [], "cmp-3": [INSTANCE]}
    assert (message.residence.host, message.who) == ("cmp-1", "ann")


async def test_host_that_does_not_answer_says_nothing_and_the_store_decides(env: WorkflowEnvironment):
    fake = Following(NotMovedError("cmp-1 does not answer"))
    with pytest.raises(WorkflowFailureError) as failed:
        await follow(env, fake, "cmp-3")
    assert isinstance(failed.value.cause, ApplicationError) and failed.value.cause.type == "NotMovedError"
    assert [each.host for each in fake.followed[0].reports] == ["cmp-3"]
