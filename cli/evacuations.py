"""Evacuations of single instances: asked for, followed, cancelled."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime

from cli.evacuating import Evacuate, as_started, patiently, request_of, say_accepted
from cli.inputs import find_instance
from cli.output import print_json, print_one, say
from cli.watching import follow
from control.access import connect
from control.outcomes import recorded, refused, with_all
from control.requests import Accepted, request_evacuation
from control.running import Handle, cancel_running, find_running
from evacuation.errors import EvacuateError, NotRunningError, Refusal, TooLateError
from evacuation.messages import EvacuationOutcome, EvacuationRequest
from evacuation.views import InstanceView
from services.runtime.exits import DONE, INTERRUPTED, NOT_RECOVERED, REFUSED
from services.runtime.settings import Settings

CODES = {"recovered": DONE, "not_recovered": NOT_RECOVERED, "cancelled": NOT_RECOVERED, "refused": REFUSED}


def run_evacuation(settings: Settings, asked: str, options: Evacuate, *, as_json: bool) -> int:
    """The exit code. Raises a Refusal, TemporalUnavailableError, StoreUnavailableError."""
    with refusals_as_outcomes(asked, as_json=as_json):
        request = request_of(options)
        instance = find_instance(asked)
        request = request.model_copy(update={"instance_id": instance.id})
        try:
            return asyncio.run(_evacuate(settings, instance, request, options, as_json=as_json))
        except KeyboardInterrupt:
            say(f"detached: the evacuation goes on. Watch it: evacuate watch {asked}; ")
            say(f"cancel it: evacuate instance cancel {asked}")
            return INTERRUPTED


@contextmanager
def refusals_as_outcomes(asked: str, *, as_json: bool) -> Generator[None]:
    """A refusal is an outcome too, when JSON was asked for; it is raised all the same."""
    started = datetime.now(UTC)
    try:
        yield
    except Refusal as error:
        if as_json:
            print_json(refused(error, started, instance=_known(asked), asked=asked))
        raise


def _known(asked: str) -> InstanceView | None:
    try:
        return find_instance(asked)
    except EvacuateError:
        return None


async def _evacuate(
    settings: Settings, instance: InstanceView, request: EvacuationRequest, options: Evacuate, *, as_json: bool
) -> int:
    client = await connect(settings)
    asking = request_evacuation(client, instance, request, settings.tuning, join=options.join)
    accepted = await patiently(asking, f"no answer for {instance.name} yet: does a control worker run?")
    say_accepted(accepted, instance)
    if not options.wait and not accepted.undecided:
        print_one(await as_started(accepted, instance), as_json=as_json)
        return DONE
    outcome = await _follow(accepted.handle, instance, accepted)
    return _end(outcome, as_json=as_json)


async def _follow(handle: Handle, instance: InstanceView, accepted: Accepted | None = None) -> EvacuationOutcome:
    return with_all((await follow({instance.id: handle}))[instance.id], instance, accepted)


def _end(outcome: EvacuationOutcome, *, as_json: bool) -> int:
    print_one(outcome, as_json=as_json)
    if outcome.outcome == "recovered" and outcome.reason:
        say(f"note: {outcome.reason}")
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
