"""A host that comes back serves nothing until nothing runs there that must not."""

from contextlib import AsyncExitStack

import pytest
from temporalio import workflow
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from evacuation import messages as m
from evacuation.errors import GuestBusyError, SpawnFailedError
from evacuation.model import PowerState
from evacuation.names import evacuate_instance_id
from tests.workflows.returns import KEY, NOTHING, FakeReturn, report, serve_return

HELD = NOTHING.model_copy(update={"held_by": (KEY.name,)})
DESTROY = NOTHING.model_copy(update={"destroy": (KEY,)})


async def returned(env: WorkflowEnvironment, fake: FakeReturn) -> m.ReturnPlan:
    async with AsyncExitStack() as stack:
        return await (await serve_return(stack, env, fake)).result()


async def test_held_return_registers_what_runs_there_now(env: WorkflowEnvironment):
    fake = FakeReturn(HELD, HELD, NOTHING)
    guest = m.GuestState(instance_id=KEY.instance_id, epoch=KEY.epoch, power_state=PowerState.RUNNING, paused=True)
    fake.now = report(guest)
    await returned(env, fake)
    assert [each.guests for each in fake.registered] == [(), (guest,), (guest,)]


@workflow.defn(sandboxed=False)
class Waits:
    """As an evacuation that holds the host does: it ends when it was told, and says how often."""

    def __init__(self) -> None:
        self.told = 0

    @workflow.signal
    def look_again(self) -> None:
        self.told += 1

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self.told > 0)
        await workflow.sleep(60)
        return self.told


async def test_who_holds_a_return_is_told_of_it_once(env: WorkflowEnvironment):
    plan = HELD.model_copy(update={"held_ids": (KEY.instance_id,)})
    fake = FakeReturn(*[plan] * 5, NOTHING)
    async with Worker(env.client, task_queue="waiting", workflows=[Waits]):
        id = evacuate_instance_id(KEY.instance_id)
        waiting = await env.client.start_workflow(Waits.run, id=id, task_queue="waiting")
        await returned(env, fake)
        assert await waiting.result() == 1


async def test_return_goes_on_where_nobody_runs_what_holds_it(env: WorkflowEnvironment):
    plan = HELD.model_copy(update={"held_ids": (KEY.instance_id,)})
    await returned(env, fake := FakeReturn(plan, NOTHING))
    assert fake.asked[-1] == "complete_return"


async def test_return_waits_for_the_end_of_a_cut_of_its_power(env: WorkflowEnvironment):
    fake = FakeReturn(NOTHING.model_copy(update={"being_cut": True}), NOTHING)
    await returned(env, fake)
    assert [each for each in fake.asked if each != "list_guests"] == [
        "register_host",
        "register_host",
        "complete_return",
    ]


async def test_held_return_of_a_host_that_is_off_again_registers_nothing_and_ends(env: WorkflowEnvironment):
    fake = FakeReturn(HELD)
    fake.now = report(incarnation="boot-3")
    with pytest.raises(WorkflowFailureError) as caught:
        await returned(env, fake)
    assert isinstance(caught.value.cause, ApplicationError) and caught.value.cause.type == "HostSilentError"
    assert len(fake.registered) == 1 and "complete_return" not in fake.asked


@pytest.mark.parametrize(
    ("plan", "step"),
    [
        (DESTROY, "destroy_guest"),
        (NOTHING.model_copy(update={"bury": (KEY,)}), "bury_guests"),
        (HELD.model_copy(update={"quarantine": (KEY,)}), "pause_guest"),
    ],
    ids=["destroyed", "buried", "paused"],
)
async def test_host_does_not_serve_while_a_guest_of_another_host_may_run_there(
    env: WorkflowEnvironment, plan: m.ReturnPlan, step: str
):
    fake = FakeReturn(plan, plan, plan, NOTHING)
    fake.answers(step, GuestBusyError("somebody else has it"), GuestBusyError("somebody else has it"))
    await returned(env, fake)
    assert fake.asked.count(step) == 3
    assert fake.asked.index("complete_return") > max(i for i, name in enumerate(fake.asked) if name == step)
    assert fake.asked.count("complete_return") == 1


async def test_guest_that_cannot_be_started_does_not_keep_its_host_from_serving(env: WorkflowEnvironment):
    fake = FakeReturn(NOTHING.model_copy(update={"start": (KEY,)}))
    fake.answers("start_guest", *[SpawnFailedError("no memory")] * 5)
    await returned(env, fake)
    assert fake.asked.count("start_guest") == 3 and fake.asked[-1] == "complete_return"


async def test_return_says_what_else_a_start_did(env: WorkflowEnvironment):
    fake = FakeReturn(NOTHING.model_copy(update={"start": (KEY,)}))
    note = "dropped what was saved of web-01"
    started = m.GuestState(instance_id=KEY.instance_id, epoch=2, power_state=PowerState.RUNNING, note=note)
    fake.answers("start_guest", started)
    async with AsyncExitStack() as stack:
        handle = await serve_return(stack, env, fake)
        await handle.result()
        said = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    assert said.current_details == f"In service\n- {note}"


async def test_guest_that_still_starts_is_asked_for_again_while_its_host_answers(env: WorkflowEnvironment):
    fake = FakeReturn(NOTHING.model_copy(update={"start": (KEY,)}))
    fake.answers("start_guest", *[GuestBusyError("it is starting")] * 5)
    await returned(env, fake)
    assert fake.asked.count("start_guest") == 6
    assert fake.asked[-2:] == ["record_started", "complete_return"]


async def test_host_that_forgot_buries_before_anything_else_is_done_there(env: WorkflowEnvironment):
    many = tuple(KEY.model_copy(update={"epoch": epoch}) for epoch in range(1, 121))
    plan = NOTHING.model_copy(update={"bury": many, "destroy": (KEY,), "start": (KEY,)})
    await returned(env, fake := FakeReturn(plan))
    assert tuple(fake.buried) == many
    assert [each for each in fake.asked if each != "list_guests"] == [
        "register_host",
        *["bury_guests"] * 3,
        "destroy_guest",
        "record_destroyed",
        "authorize_start",
        "start_guest",
        "record_started",
        "complete_return",
    ]


async def test_host_comes_back_with_the_memory_that_it_has_said(env: WorkflowEnvironment):
    fake = FakeReturn(HELD, NOTHING)
    fake.now = report().model_copy(update={"memory": "second"})
    await returned(env, fake)
    assert [each.memory for each in fake.completed] == ["second"]
