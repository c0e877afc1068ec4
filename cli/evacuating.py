"""What every evacuation that is asked for has, alone or beside others: its options, its answer, its end."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal

from cli.durations import read_duration
from cli.inputs import require_name
from cli.output import say
from control.access import open_evacuation, operator
from control.progress import progress_of
from control.requests import Accepted, new_request_id
from control.running import Handle
from evacuation.errors import ContradictoryOptionsError
from evacuation.messages import EvacuationRequest
from evacuation.model import Frozen
from evacuation.names import evacuate_instance_id
from evacuation.statements import require_statement
from evacuation.views import InstanceView

PATIENCE = 5.0
"""Seconds after which a request that has no answer yet is remarked upon."""


class Evacuate(Frozen):
    """The command's options as they were given."""

    target: str | None = None
    target_state: Literal["active", "stopped"] | None = None
    wait_for_capacity: str | None = None
    join: bool = False
    wait: bool = True
    source_confirmed_off: str | None = None


class Started(Frozen):
    """What --no-wait prints: the evacuation goes on by itself."""

    evacuation_id: str
    instance_id: str
    outcome: Literal["accepted"] = "accepted"
    source: str | None
    workflow_id: str
    also_stopped: tuple[str, ...] = ()


def request_of(options: Evacuate, instance_id: str = "") -> EvacuationRequest:
    """Raises MalformedRequestError, ContradictoryOptionsError."""
    if options.target is not None:
        require_name(options.target, "a host")
    word = options.source_confirmed_off
    if word is not None:
        word = require_statement(word, "--source-confirmed-off", remedy="say how you know that the host is off")
    if options.join and (options.target or options.target_state or options.wait_for_capacity):
        raise ContradictoryOptionsError(
            "--join takes a running evacuation as it is, and the other options ask for another one",
            remedy="leave out --join, or --target, --target-state and --wait-for-capacity",
        )
    return EvacuationRequest(
        request_id=new_request_id(),
        instance_id=instance_id,
        target=options.target,
        target_state=options.target_state,
        wait_for_capacity=read_duration(options.wait_for_capacity) if options.wait_for_capacity is not None else None,
        source_confirmed_off=word,
        requested_by=operator(),
    )


async def patiently(asking: Coroutine[Any, Any, Accepted], concern: str) -> Accepted:
    """Waits for as long as it takes, and says so when that becomes long."""
    task = asyncio.ensure_future(asking)
    try:
        return await asyncio.wait_for(asyncio.shield(task), PATIENCE)
    except TimeoutError:
        if task.done():
            raise
        say(concern)
        return await task


def say_accepted(accepted: Accepted, instance: InstanceView) -> None:
    if accepted.joined:
        say(f"joined the running evacuation of {instance.name}")
    if accepted.acceptance is None:
        return
    say(f"accepted: {instance.name} leaves {accepted.acceptance.source}")
    if accepted.acceptance.also_stopped:
        say(f"a power-off of {accepted.acceptance.source} also stops {', '.join(accepted.acceptance.also_stopped)}")


async def as_started(accepted: Accepted, instance: InstanceView) -> Started:
    acceptance = accepted.acceptance
    return Started(
        evacuation_id=acceptance.evacuation_id if acceptance else await _joined_id(accepted.handle, instance),
        instance_id=instance.id,
        source=acceptance.source if acceptance else instance.host,
        workflow_id=evacuate_instance_id(instance.id),
        also_stopped=acceptance.also_stopped if acceptance else (),
    )


async def _joined_id(handle: Handle, instance: InstanceView) -> str:
    """As it says itself. Where no control worker answers for it: as the store has it open, and before it is there, its
    run's, which is then its own."""
    progress = await progress_of(handle)
    if progress is not None:
        return progress.evacuation_id
    say(f"no answer from the evacuation of {instance.name}: it goes on when a control worker runs")
    return open_evacuation(instance.id) or handle.run_id or ""
