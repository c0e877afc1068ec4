"""Writes the histories that `test_replay.py` replays: python -m tests.replay.record [SHAPE ...]

Run it for a new shape only. A history that is there already is kept, whatever is asked for."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from evacuation.errors import (
    CapacityNotYetError,
    DestinationBusyError,
    DestinationUnableError,
    FenceDeclinedError,
    GuestBusyError,
    SpawnFailedError,
)
from evacuation.ledger import LedgerMark
from evacuation.messages import AttemptPhase, Authorized, OpenEvacuation, Settled
from tests.support.temporal import time_skipping
from tests.workflows.conftest import Run, serve
from tests.workflows.fakes import FakeCloud, Silence
from tests.workflows.in_place import InPlace, guest, serve_in_place
from tests.workflows.returns import KEY, NOTHING, FakeReturn, serve_return
from tests.workflows.test_endings import left

HISTORIES = Path(__file__).parent / "histories"


async def success(cloud: FakeCloud, run: Run, env: WorkflowEnvironment) -> None:
    await run.ask()


async def capacity_refused(cloud: FakeCloud, run: Run, env: WorkflowEnvironment) -> None:
    cloud.answers("prepare_destination", DestinationUnableError("no disk"))
    await run.start()


async def spawn_failed_then_next_host(cloud: FakeCloud, run: Run, env: WorkflowEnvironment) -> None:
    cloud.answers("spawn_guest", SpawnFailedError("no memory"), SpawnFailedError("no memory"))
    await run.start()


async def cancelled_while_compensating(cloud: FakeCloud, run: Run, env: WorkflowEnvironment) -> None:
    cloud.answers("spawn_guest", SpawnFailedError("no memory"))
    cloud.answers("tear_down_block_devices", *[ApplicationError("not now", type="Injected")] * 5)
    handle = await run.start()
    await run.until("tear_down_block_devices")
    await handle.cancel()


async def waited_for_capacity(cloud: FakeCloud, run: Run, env: WorkflowEnvironment) -> None:
    cloud.answers("claim_capacity", *[CapacityNotYetError("full")] * 5)
    await run.start(wait_for_capacity=timedelta(minutes=30))


async def blocked_then_settled(cloud: FakeCloud, run: Run, env: WorkflowEnvironment) -> None:
    cloud.answers("spawn_guest", Silence())
    cloud.answers("settle_guest", *[Silence()] * 6, Settled(forward=True, incarnation="boot-1"))
    cloud.answers("fence_destination", *[FenceDeclinedError("3 other guests live there")] * 50)
    await run.faster().start()


async def waited_for_a_full_destination(cloud: FakeCloud, run: Run, env: WorkflowEnvironment) -> None:
    cloud.answers("authorize_spawn", *[DestinationBusyError("cmp-2 has 10 evacuations in flight, its most")] * 3)
    cloud.answers("connect_volumes", GuestBusyError("an earlier call still runs"))
    await run.start()


async def adopted_start_is_stopped_afterwards(cloud: FakeCloud, run: Run, env: WorkflowEnvironment) -> None:
    cloud.adopts = OpenEvacuation(evacuation_id="evacuation-0", owner="run-0")
    cloud.left = left(AttemptPhase.STARTED)
    await run.start(target_state="stopped")


async def adopted_attempt_is_undone(cloud: FakeCloud, run: Run, env: WorkflowEnvironment) -> None:
    cloud.adopts = OpenEvacuation(evacuation_id="evacuation-0", owner="run-0")
    cloud.left = left(AttemptPhase.UNDOING)
    await run.start()


async def ledger_written_down(cloud: FakeCloud, run: Run, env: WorkflowEnvironment) -> None:
    mark = LedgerMark(ledger="7c9a5e0e-0000-4000-8000-00000000000a", position=57)
    cloud.answers("authorize_spawn", Authorized(epoch=2, evidence=(), ledger=mark))
    await run.ask()


SHAPES: dict[str, Callable[[FakeCloud, Run, WorkflowEnvironment], Awaitable[None]]] = {
    story.__name__.replace("_", "-"): story
    for story in (
        success,
        capacity_refused,
        spawn_failed_then_next_host,
        cancelled_while_compensating,
        waited_for_capacity,
        blocked_then_settled,
        waited_for_a_full_destination,
        adopted_start_is_stopped_afterwards,
        adopted_attempt_is_undone,
        ledger_written_down,
    )
}


ANSWERING = {"waited-for-a-full-destination", "adopted-start-is-stopped-afterwards"}
"""Shapes whose destination answers its probe."""


def held_return() -> FakeReturn:
    """Held by an evacuation, whose guest is quarantined; then it is destroyed, and another one started."""
    held = NOTHING.model_copy(update={"held_by": (KEY.name,), "quarantine": (KEY,)})
    other = KEY.model_copy(update={"instance_id": "7c9a5e0e-0000-4000-8000-000000000002", "name": "web-02"})
    return FakeReturn(held, held, NOTHING.model_copy(update={"destroy": (KEY,), "start": (other,)}))


IN_PLACE: dict[str, tuple[str, Callable[[], InPlace]]] = {
    "start-in-place": ("StartInstance", InPlace),
    "stop-in-place": ("StopInstance", lambda: InPlace(guest())),
}
"""The workflow, and what it finds on its host: nothing, and the running guest."""

RETURNS: dict[str, Callable[[], FakeReturn]] = {"return-held": held_return}


def without_this_machine(value: Any) -> Any:
    """The history without process identities and stack traces: they say where it was recorded, and replay nothing."""
    if isinstance(value, dict):
        return {k: "" if k in {"stackTrace", "identity"} else without_this_machine(v) for k, v in value.items()}
    return [without_this_machine(v) for v in value] if isinstance(value, list) else value


async def begin(shape: str, env: WorkflowEnvironment, stack: AsyncExitStack) -> WorkflowHandle[Any, Any]:
    if shape in IN_PLACE:
        name, fake = IN_PLACE[shape]
        return await serve_in_place(stack, env, name, fake())
    if shape in RETURNS:
        return await serve_return(stack, env, RETURNS[shape]())
    cloud = FakeCloud()
    cloud.answering = {"cmp-2"} if shape in ANSWERING else set()
    run = await serve(stack, env, cloud)
    await SHAPES[shape](cloud, run, env)
    return await run.of_this_run()


async def record(shape: str) -> None:
    async with time_skipping() as env, AsyncExitStack() as stack:
        handle = await begin(shape, env, stack)
        try:
            await handle.result()
        except WorkflowFailureError as error:
            print(f"{shape}: ended with {error.cause!r}")
        history = await handle.fetch_history()
    (HISTORIES / f"{shape}.json").write_text(json.dumps(without_this_machine(json.loads(history.to_json())), indent=1))
    print(f"{shape}: {len(history.events)} events")


async def main() -> None:
    known = [*SHAPES, *RETURNS, *IN_PLACE]
    if unknown := set(sys.argv[1:]) - set(known):
        sys.exit(f"error: no such shape: {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    for shape in sys.argv[1:] or known:
        if not (HISTORIES / f"{shape}.json").exists():
            await record(shape)


if __name__ == "__main__":
    asyncio.run(main())
