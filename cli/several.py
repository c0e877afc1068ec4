"""Several instances in one command: each is asked for by itself, and all are followed together."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field
from temporalio.client import Client

from cli.evacuating import Evacuate, Started, as_started, patiently, request_of, say_accepted
from cli.inputs import require_name
from cli.output import print_json, print_table, say
from cli.watching import follow_each
from control.access import connect, open_store
from control.outcomes import refused, with_all
from control.requests import Accepted, request_evacuation
from evacuation.errors import EvacuateError, Refusal, StoreUnavailableError
from evacuation.messages import EvacuationOutcome
from evacuation.model import Frozen
from evacuation.views import InstanceView
from services.runtime.exits import DONE, INTERRUPTED, NOT_RECOVERED, REFUSED, UNREACHABLE, exit_code
from services.runtime.settings import Settings

AT_ONCE = 16
"""Requests that wait for their decision."""
COLUMNS = ("instance", "outcome", "source", "destination", "reason")


class Lost(Frozen):
    """Nobody can be asked any more how it ends: Temporal or the store was lost on the way."""

    evacuation_id: str = ""
    instance_id: str
    outcome: None = None
    source: str | None
    error_type: str
    reason: str
    code: Literal[1, 3] = Field(exclude=True)

    @classmethod
    def of(cls, error: EvacuateError, instance: InstanceView) -> "Lost":
        return cls(
            instance_id=instance.id,
            source=instance.host,
            error_type=type(error).__name__,
            reason=error.line,
            code=UNREACHABLE if exit_code(error) == UNREACHABLE else NOT_RECOVERED,
        )


Answer = EvacuationOutcome | Started | Lost


class Line(Frozen):
    """Of the table."""

    instance: str
    outcome: str | None
    source: str | None
    destination: str | None
    reason: str | None


def run_evacuations(settings: Settings, asked: Sequence[str], options: Evacuate, *, as_json: bool) -> int:
    """The exit code. Raises StoreUnavailableError, TemporalUnavailableError: nothing was asked for then."""
    found = _find(asked, options)
    try:
        answers = asyncio.run(_evacuate_all(settings, found, options))
    except KeyboardInterrupt:
        say(f"detached: the evacuations go on. Watch each: evacuate watch {asked[0]}; ")
        say(f"cancel each: evacuate instance cancel {asked[0]}")
        return INTERRUPTED
    ends = {text: answers[text] for text in asked}
    if as_json:
        print_json([ends[text] for text in asked])
    else:
        print_table([_line(text, end) for text, end in ends.items()], COLUMNS)
    for text, end in ends.items():
        _say_error(text, end)
    return code_of(ends.values())


def code_of(answers: Iterable[Answer]) -> int:
    """0 all recovered, or accepted; 3 Temporal or the store was lost; 2 every one was refused; else 1."""
    all_answers = list(answers)
    if any(isinstance(each, Lost) and each.code == UNREACHABLE for each in all_answers):
        return UNREACHABLE
    outcomes = {each.outcome for each in all_answers}
    if outcomes <= {"recovered", "accepted"}:
        return DONE
    return REFUSED if outcomes == {"refused"} else NOT_RECOVERED


def _find(asked: Sequence[str], options: Evacuate) -> dict[str, InstanceView | EvacuationOutcome]:
    """Each instance, or its refusal; an option that is wrong refuses them all."""
    found: dict[str, InstanceView | EvacuationOutcome] = {}
    with open_store() as services:
        for text in dict.fromkeys(asked):
            instance, now = None, datetime.now(UTC)
            try:
                instance = services.views.instance(require_name(text, "an instance"))
                request_of(options, instance.id)
                found[text] = instance
            except Refusal as error:
                found[text] = refused(error, now, instance=instance, asked=text)
    return found


async def _evacuate_all(
    settings: Settings, found: Mapping[str, InstanceView | EvacuationOutcome], options: Evacuate
) -> dict[str, Answer]:
    """By what was asked for; one that is asked for twice, by name and by id, is evacuated once."""
    instances = {each.id: each for each in found.values() if isinstance(each, InstanceView)}
    ends: dict[str, Answer] = {}
    if instances:
        client, gate = await connect(settings), asyncio.Semaphore(AT_ONCE)
        asking = (_ask(client, settings, instance, options, gate) for instance in instances.values())
        asked = dict(zip(instances, await asyncio.gather(*asking), strict=True))
        ends = await _ends_of(instances, asked, options)
    return {text: ends[each.id] if isinstance(each, InstanceView) else each for text, each in found.items()}


async def _ask(
    client: Client, settings: Settings, instance: InstanceView, options: Evacuate, gate: asyncio.Semaphore
) -> Accepted | Answer:
    now, request = datetime.now(UTC), request_of(options, instance.id)
    async with gate:
        try:
            asking = request_evacuation(client, instance, request, settings.tuning, join=options.join)
            accepted = await patiently(asking, f"no answer for {instance.name} yet: does a control worker run?")
        except Refusal as error:
            return refused(error, now, instance=instance)
        except EvacuateError as error:
            return Lost.of(error, instance)
    say_accepted(accepted, instance)
    return accepted


async def _ends_of(
    instances: Mapping[str, InstanceView], asked: Mapping[str, Accepted | Answer], options: Evacuate
) -> dict[str, Answer]:
    accepted = {key: each for key, each in asked.items() if isinstance(each, Accepted)}
    ends: dict[str, Answer] = {key: each for key, each in asked.items() if not isinstance(each, Accepted)}
    left = {key: each for key, each in accepted.items() if not options.wait and not each.undecided}
    ends |= {key: await as_started(each, instances[key]) for key, each in left.items()}
    handles = {key: each.handle for key, each in accepted.items() if key not in left}
    for key, end in (await follow_each(handles)).items():
        ends[key] = _end(end, instances[key], accepted[key])
    return ends


def _end(end: EvacuationOutcome | EvacuateError, instance: InstanceView, accepted: Accepted) -> Answer:
    if isinstance(end, EvacuateError):
        return Lost.of(end, instance)
    try:
        return with_all(end, instance, accepted)
    except StoreUnavailableError as error:
        return end if end.evacuation_id else Lost.of(error, instance)


def _line(text: str, end: Answer) -> Line:
    destination = end.destination if isinstance(end, EvacuationOutcome) else None
    reason = None if isinstance(end, Started) else end.reason
    return Line(instance=text, outcome=end.outcome, source=end.source, destination=destination, reason=reason)


def _say_error(text: str, end: Answer) -> None:
    if isinstance(end, Started) or end.outcome == "recovered":
        return
    how = end.outcome or "nobody knows how it ends"
    say("error: " + " ".join(f"{text}: {how}: {end.reason or end.error_type or ''}".split()))
