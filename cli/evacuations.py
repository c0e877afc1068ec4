"""Evacuations of single instances: asked for, followed, cancelled."""

import asyncio
import getpass
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from cli.access import connect, open_store, require_name
from cli.durations import read_duration
from cli.instances import find_instance
from cli.output import print_json, print_one, say
from cli.requests import Accepted, Handle, cancel_running, find_running, new_request_id, request_evacuation
from cli.watching import follow, progress_of
from evacuation.errors import (
    ContradictoryOptionsError,
    EvacuateError,
    MalformedRequestError,
    NotRunningError,
    Refusal,
    TooLateError,
)
from evacuation.messages import EvacuationOutcome, EvacuationRequest
from evacuation.model import Frozen
from evacuation.names import evacuate_instance_id
from evacuation.views import InstanceView
from services.exits import DONE, INTERRUPTED, NOT_RECOVERED, REFUSED
from services.settings import Settings

PATIENCE = 5.0
"""Seconds after which a request that has no answer yet is remarked upon."""
CODES = {"recovered": DONE, "not_recovered": NOT_RECOVERED, "cancelled": NOT_RECOVERED, "refused": REFUSED}


class Evacuate(Frozen):
    """The command's options as they were given."""

    instance: str
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


def run_evacuation(settings: Settings, options: Evacuate, *, as_json: bool) -> int:
    """The exit code. Raises a Refusal, TemporalUnavailableError, StoreUnavailableError."""
    with refusals_as_outcomes(options.instance, as_json=as_json):
        request = _request(options)
        instance = find_instance(options.instance)
        request = request.model_copy(update={"instance_id": instance.id})
        try:
            return asyncio.run(_evacuate(settings, instance, request, options, as_json=as_json))
        except KeyboardInterrupt:
            say(f"detached: the evacuation goes on. Watch it: evacuate watch {options.instance}; ")
            say(f"cancel it: evacuate instance cancel {options.instance}")
            return INTERRUPTED


@contextmanager
def refusals_as_outcomes(asked: str, *, as_json: bool) -> Generator[None]:
    """A refusal is an outcome too, when JSON was asked for; it is raised all the same."""
    started = datetime.now(UTC)
    try:
        yield
    except Refusal as error:
        if as_json:
            print_json(_refused(error, asked, started))
        raise


def _refused(error: Refusal, asked: str, started: datetime) -> EvacuationOutcome:
    try:
        instance = find_instance(asked)
    except EvacuateError:
        instance = None
    return EvacuationOutcome(
        evacuation_id="",
        instance_id=instance.id if instance else asked,
        outcome="refused",
        source=instance.host if instance else None,
        error_type=type(error).__name__,
        reason=error.line,
        started_at=started,
        finished_at=datetime.now(UTC),
    )


def _request(options: Evacuate) -> EvacuationRequest:
    """Raises MalformedRequestError, ContradictoryOptionsError."""
    if options.target is not None:
        require_name(options.target, "a host")
    if options.source_confirmed_off is not None and not options.source_confirmed_off.strip():
        raise MalformedRequestError("--source-confirmed-off is empty", remedy="say how you know that the host is off")
    if options.join and (options.target or options.target_state or options.wait_for_capacity):
        raise ContradictoryOptionsError(
            "--join takes a running evacuation as it is, and the other options ask for another one",
            remedy="leave out --join, or --target, --target-state and --wait-for-capacity",
        )
    return EvacuationRequest(
        request_id=new_request_id(),
        instance_id=options.instance,
        target=options.target,
        target_state=options.target_state,
        wait_for_capacity=read_duration(options.wait_for_capacity) if options.wait_for_capacity is not None else None,
        source_confirmed_off=options.source_confirmed_off,
        requested_by=getpass.getuser(),
    )


async def _evacuate(
    settings: Settings, instance: InstanceView, request: EvacuationRequest, options: Evacuate, *, as_json: bool
) -> int:
    client = await connect(settings)
    asking = request_evacuation(client, instance, request, settings.tuning, join=options.join)
    accepted = await _patiently(asking, f"no answer for {instance.name} yet: does a control worker run?")
    _say_accepted(accepted, instance)
    if not options.wait and not accepted.undecided:
        print_one(await _started(accepted, instance), as_json=as_json)
        return DONE
    outcome = await _follow(accepted.handle, instance, accepted)
    return _end(outcome, as_json=as_json)


async def _patiently(asking: Coroutine[Any, Any, Accepted], concern: str) -> Accepted:
    """Waits for as long as it takes, and says so when that becomes long."""
    task = asyncio.ensure_future(asking)
    try:
        return await asyncio.wait_for(asyncio.shield(task), PATIENCE)
    except TimeoutError:
        if task.done():
            raise
        say(concern)
        return await task


def _say_accepted(accepted: Accepted, instance: InstanceView) -> None:
    if accepted.joined:
        say(f"joined the running evacuation of {instance.name}")
    if accepted.acceptance is None:
        return
    say(f"accepted: {instance.name} leaves {accepted.acceptance.source}")
    if accepted.acceptance.also_stopped:
        say(f"a power-off of {accepted.acceptance.source} also stops {', '.join(accepted.acceptance.also_stopped)}")


async def _started(accepted: Accepted, instance: InstanceView) -> Started:
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
    with open_store() as services:
        rows = [row.id for row in services.views.evacuations() if row.instance_id == instance.id and row.open]
    return rows[-1] if rows else handle.run_id or ""


async def _follow(handle: Handle, instance: InstanceView, accepted: Accepted | None = None) -> EvacuationOutcome:
    outcome = (await follow({instance.id: handle}))[instance.id]
    if outcome.evacuation_id:
        return outcome
    known = accepted.acceptance.evacuation_id if accepted and accepted.acceptance else None
    return recorded(instance.id, known) or outcome.model_copy(
        update={"evacuation_id": known or "", "source": instance.host}
    )


def recorded(instance_id: str, evacuation_id: str | None) -> EvacuationOutcome | None:
    """The outcome as the store keeps it; without an id, the instance's last one."""
    with open_store() as services:
        rows = [row for row in services.views.evacuations() if row.instance_id == instance_id]
    outcomes = [row.outcome for row in rows if row.outcome and (evacuation_id is None or row.id == evacuation_id)]
    return outcomes[-1] if outcomes else None


def _end(outcome: EvacuationOutcome, *, as_json: bool) -> int:
    print_one(outcome, as_json=as_json)
    if outcome.outcome != "recovered":
        say("error: " + " ".join(f"{outcome.outcome}: {outcome.reason or outcome.error_type or ''}".split()))
    return CODES[outcome.outcome]


def watch_evacuation(settings: Settings, instance: InstanceView, *, as_json: bool) -> int:
    """Follows the one that runs; else tells how the last one ended."""

    async def run() -> EvacuationOutcome | None:
        handle = await find_running(await connect(settings), instance.id)
        return await _follow(handle, instance) if handle else recorded(instance.id, None)

    outcome = asyncio.run(run())
    if outcome is None:
        raise NotRunningError(f"no evacuation of {instance.name} runs, or ever ran")
    return _end(outcome, as_json=as_json)


def cancel_evacuation(settings: Settings, asked: str, *, as_json: bool) -> int:
    """Waits for the end. Raises NotRunningError, TooLateError (it recovered anyway), TemporalUnavailableError."""
    with refusals_as_outcomes(asked, as_json=as_json):
        instance = find_instance(asked)
        outcome = asyncio.run(_cancel(settings, instance))
    print_one(outcome, as_json=as_json)
    if outcome.outcome == "recovered":
        raise TooLateError(
            f"too late to cancel: {instance.name} had started on {outcome.destination}, and an evacuation goes only"
            " forward from there"
        )
    return DONE if outcome.outcome == "cancelled" else NOT_RECOVERED


async def _cancel(settings: Settings, instance: InstanceView) -> EvacuationOutcome:
    handle = await cancel_running(await connect(settings), instance.id)
    if handle is None:
        raise NotRunningError(f"no evacuation of {instance.name} is running", remedy="there is nothing to cancel")
    say(f"asked the evacuation of {instance.name} to stop; waiting until it is undone")
    return await _follow(handle, instance)
