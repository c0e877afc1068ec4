"""`instance start`, `stop` and `moved`: asked for, waited for, and joined when the same is under way."""

import asyncio
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import typer
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import Priority, WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.last_start import last_start
from cli.access import connect, operator
from cli.failures import answered, error_of
from cli.instances import find_instance
from cli.output import print_one, say
from cli.requests import SHORTLY, refuse_other
from evacuation.errors import EvacuateError
from evacuation.messages import Done, FollowInput, InPlaceInput, Tuning
from evacuation.names import (
    CONTROL_QUEUE,
    FOLLOW_INSTANCE,
    LEDGER_MEMO,
    START_INSTANCE,
    STOP_INSTANCE,
    evacuate_instance_id,
)
from evacuation.views import InstanceView
from services.runtime.settings import Settings


def start_instance(settings: Settings, asked: str, *, as_json: bool) -> None:
    """Prints the instance as it is then. Raises EvacuateError."""
    _carry_out(settings, START_INSTANCE, asked, as_json=as_json)


def stop_instance(settings: Settings, asked: str, *, as_json: bool) -> None:
    """Prints the instance as it is then. Raises EvacuateError."""
    _carry_out(settings, STOP_INSTANCE, asked, as_json=as_json)


def follow_instance(settings: Settings, asked: str, *, as_json: bool) -> None:
    """Prints the instance as it is then. Raises EvacuateError."""
    _carry_out(settings, FOLLOW_INSTANCE, asked, as_json=as_json, input_of=_follow)


def _in_place(instance: InstanceView, tuning: Tuning) -> InPlaceInput:
    return InPlaceInput(instance_id=instance.id, name=instance.name, tuning=tuning)


def _follow(instance: InstanceView, tuning: Tuning) -> FollowInput:
    return FollowInput(instance_id=instance.id, name=instance.name, who=operator(), tuning=tuning)


def _carry_out(
    settings: Settings,
    kind: str,
    asked: str,
    *,
    as_json: bool,
    input_of: Callable[[InstanceView, Tuning], FollowInput | InPlaceInput] = _in_place,
) -> None:
    async def run(instance: InstanceView) -> None:
        await _ask(await connect(settings), kind, instance, input_of(instance, settings.tuning))

    with errors_as_json(as_json=as_json):
        instance = find_instance(asked)
        asyncio.run(run(instance))
        print_one(find_instance(instance.id), as_json=as_json)


async def _ask(client: Client, kind: str, instance: InstanceView, input: FollowInput | InPlaceInput) -> None:
    """Waits for the end. Raises what it ended with, a Refusal, TemporalUnavailableError."""
    try:
        with answered():
            handle = await _start(client, kind, instance, input)
            await handle.result()
    except WorkflowFailureError as error:
        raise error_of(error.cause) from error


async def _start(
    client: Client, kind: str, instance: InstanceView, input: FollowInput | InPlaceInput
) -> WorkflowHandle[Any, Done]:
    """The workflow's id is the lock: of an evacuation, too. The same that runs already is joined."""
    workflow_id = evacuate_instance_id(instance.id)
    before = await last_start(client, instance.id, timeout=SHORTLY)
    try:
        return await client.start_workflow(
            kind,
            input,
            id=workflow_id,
            task_queue=CONTROL_QUEUE,
            result_type=Done,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            memo={LEDGER_MEMO: before} if before is not None else None,
            static_summary=f"{kind.removesuffix('Instance').lower()} {instance.name} on {instance.host or '?'}",
            priority=Priority(priority_key=instance.priority, fairness_key=instance.project),
        )
    except WorkflowAlreadyStartedError:
        described = await client.get_workflow_handle(workflow_id).describe()
        refuse_other(described, kind)
        say(f"joined: {kind} of {instance.name} runs already")
        return client.get_workflow_handle(workflow_id, run_id=described.run_id, result_type=Done)


@contextmanager
def errors_as_json(*, as_json: bool) -> Generator[None]:
    """The error as the one JSON document, where that was asked for; it is raised all the same."""
    try:
        yield
    except EvacuateError as error:
        if as_json:
            shown = {"error_type": type(error).__name__, **error.detail.model_dump(mode="json")}
            kept = ("error_type", "message", "remedy", "hosts")
            typer.echo(json.dumps({key: shown[key] for key in kept}, indent=2, ensure_ascii=False))
        raise
