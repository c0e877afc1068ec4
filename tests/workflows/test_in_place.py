"""A start or stop in place: the old guest is destroyed by its own host first, or nothing starts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, nullcontext
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from evacuation import messages as m
from evacuation.errors import GuestBusyError, InstanceDeletedError, SpawnFailedError
from evacuation.model import PowerState
from tests.workflows.in_place import InPlace, guest, serve_in_place

STEPS = ["plan_in_place", "list_guests", "destroy_guest", "authorize_in_place", "spawn_guest", "record_in_place"]


Ask = Callable[..., Awaitable[ApplicationError | None]]


@pytest.fixture
async def ask(env: WorkflowEnvironment) -> AsyncIterator[Ask]:
    """`await ask("StartInstance", fake)`: what it failed with, or None."""
    async with AsyncExitStack() as stack:

        async def run(name: str, fake: InPlace, *, serves: bool = True) -> ApplicationError | None:
            handle = await serve_in_place(stack, env, name, fake, serves=serves)
            try:
                await handle.result()
            except WorkflowFailureError as error:
                assert isinstance(error.cause, ApplicationError)
                return error.cause
            return None

        yield run


CRASHED = {
    "nothing of it is there": (),
    "it is defined only": (guest(PowerState.SHUTDOWN),),
    "it is paused": (guest(paused=True),),
    "an older one runs": (guest(epoch=2),),
}


@pytest.mark.parametrize("guests", CRASHED.values(), ids=list(CRASHED))
async def test_crashed_guest_is_destroyed_before_the_next_one_starts(ask: Ask, guests: tuple[m.GuestState, ...]):
    fake = InPlace(*guests)
    assert await ask("StartInstance", fake) is None
    assert fake.asked == STEPS
    assert (fake.destroyed, [each.epoch for each in fake.spawned]) == ([3], [4])
    assert [(each.vm_state, each.guest.epoch) for each in fake.recorded] == [("active", 4)]


async def test_running_instance_is_let_be_by_a_start(ask: Ask):
    fake = InPlace(guest())
    assert await ask("StartInstance", fake) is None
    assert fake.asked == ["plan_in_place", "list_guests", "record_in_place"]


async def test_stopped_guest_is_down_before_the_record_changes_and_stays_defined(ask: Ask):
    fake = InPlace(guest())
    assert await ask("StopInstance", fake) is None
    assert fake.asked == STEPS
    assert ([each.power_state for each in fake.spawned], fake.recorded[0].vm_state) == (["shutdown"], "stopped")


async def test_nothing_starts_on_a_host_that_does_not_answer(ask: Ask):
    fake = InPlace()
    failure = await ask("StartInstance", fake, serves=False)
    assert failure is not None and failure.type == "HostDownError" and "cmp-1 does not answer" in failure.message
    assert fake.asked == ["plan_in_place"]


async def test_nothing_starts_on_a_host_that_has_booted_again(ask: Ask):
    failure = await ask("StartInstance", fake := InPlace(boot="boot-2"))
    assert failure is not None and failure.type == "HostDownError"
    assert fake.destroyed == []


async def test_nothing_starts_while_the_old_guest_cannot_be_destroyed(ask: Ask):
    fake = InPlace()
    fake.answers("destroy_guest", SpawnFailedError("it does not end"))
    failure = await ask("StartInstance", fake)
    assert failure is not None and failure.type == "SpawnFailedError"
    assert "authorize_in_place" not in fake.asked and fake.recorded == []


async def test_nothing_starts_for_an_instance_that_was_deleted_meanwhile(ask: Ask):
    fake = InPlace()
    fake.answers("authorize_in_place", InstanceDeletedError("web-01 was deleted"))
    failure = await ask("StartInstance", fake)
    assert failure is not None and failure.type == "InstanceDeletedError" and fake.spawned == []


async def test_start_that_fails_says_so_and_leaves_no_task(ask: Ask):
    fake = InPlace()
    fake.answers("spawn_guest", SpawnFailedError("no memory"))
    failure = await ask("StartInstance", fake)
    assert failure is not None and failure.type == "SpawnFailedError"
    assert [each.vm_state for each in fake.recorded] == [None]


@pytest.mark.parametrize(
    ("held", "spawned", "recorded"), [("authorize_in_place", 0, None), ("record_in_place", 1, "stopped")]
)
async def test_cancel_after_the_old_guest_is_gone_leaves_no_task(
    env: WorkflowEnvironment, held: str, spawned: int, recorded: str | None
):
    fake = InPlace(guest())
    fake.held = held
    async with AsyncExitStack() as stack:
        handle = await serve_in_place(stack, env, "StopInstance", fake)
        await asyncio.wait_for(fake.is_held.wait(), 20)
        await handle.cancel()
        await _has_heard(handle)
        fake.let_go.set()
        with pytest.raises(WorkflowFailureError) if recorded is None else nullcontext():
            await handle.result()
    assert (len(fake.spawned), [each.vm_state for each in fake.recorded]) == (spawned, [recorded])


async def _has_heard(handle: WorkflowHandle[Any, Any]) -> None:
    """Until the workflow has done what it does about a cancel."""
    async with asyncio.timeout(20):
        while True:
            events = [event.event_type for event in (await handle.fetch_history()).events]
            asked = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
            if asked in events and EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED in events[events.index(asked) :]:
                return
            await asyncio.sleep(0.02)


async def test_slow_host_is_asked_again_by_the_same_epoch(ask: Ask):
    fake = InPlace()
    fake.answers("destroy_guest", *[GuestBusyError("an earlier call still runs")] * 3)
    fake.answers("spawn_guest", *[GuestBusyError("it is starting")] * 3)
    assert await ask("StartInstance", fake) is None
    assert {each.epoch for each in fake.spawned} == {4} and len(fake.spawned) == 4
