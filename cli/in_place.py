"""`instance start`, `stop` and `moved`: asked for, waited for, and joined when the same is under way."""

import asyncio
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager

import typer

from cli.inputs import find_instance
from cli.output import print_one, say
from control.access import connect, operator
from control.in_place import Input, ask, end_of
from evacuation.errors import EvacuateError
from evacuation.messages import FollowInput, InPlaceInput, Tuning
from evacuation.names import FOLLOW_INSTANCE, START_INSTANCE, STOP_INSTANCE
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
    input_of: Callable[[InstanceView, Tuning], Input] = _in_place,
) -> None:
    async def run(instance: InstanceView) -> None:
        it = await ask(await connect(settings), kind, instance, input_of(instance, settings.tuning))
        if it.joined:
            say(f"joined: {kind} of {instance.name} runs already")
        await end_of(it)

    with errors_as_json(as_json=as_json):
        instance = find_instance(asked)
        asyncio.run(run(instance))
        print_one(find_instance(instance.id), as_json=as_json)


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
