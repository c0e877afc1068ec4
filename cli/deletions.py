"""Deletions of instances, also in the middle of an evacuation."""

import asyncio
import sys

import typer

from cli.evacuations import refusals_as_outcomes
from cli.inputs import find_instance
from cli.output import print_one
from control.access import connect
from control.deletions import delete
from evacuation.views import InstanceView
from services.runtime.settings import Settings


def delete_instance(settings: Settings, asked: str, *, yes: bool, as_json: bool) -> None:
    """Prints the instance as it is then. A person at a terminal is asked first, a program is not. Raises
    InstanceNotFoundError; typer.Abort if the answer is no."""

    async def run(instance: InstanceView) -> None:
        await delete(await connect(settings), instance, settings.tuning)

    with refusals_as_outcomes(asked, as_json=as_json):
        instance = find_instance(asked)
        if not yes and sys.stdin.isatty():
            typer.confirm(f"Delete {instance.name} ({instance.id}), for good?", abort=True, err=True)
        asyncio.run(run(instance))
        print_one(find_instance(instance.id), as_json=as_json)
