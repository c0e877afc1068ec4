"""`evacuate demo`."""

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from cli.options import DemoDirOption
from cli.output import say
from control.access import settings
from evacuation.errors import NotTheStackError

MARK = "demo"
"""A file that says that the state directory is a demonstration's, which the next one may clear away."""


def demo(
    hosts: Annotated[int, typer.Option(min=2, max=20, help="How many compute hosts.")] = 3,
    instances: Annotated[int, typer.Option(min=1, max=200, help="How many instances, spread over the hosts.")] = 9,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running afterwards.")] = False,
    state_dir: DemoDirOption = None,
) -> None:
    """Everything on this machine: load a fleet, kill a host, evacuate it, prove it from the disks."""
    from embedded.commands.demo_run import run_demo
    from embedded.stack import bring_down

    directory = _fresh_directory()
    try:
        proven = run_demo(directory, hosts=hosts, instances=instances)
    finally:
        if not keep:
            bring_down(directory)
            shutil.rmtree(directory, ignore_errors=True)
    if keep:
        say(f"the stack runs on; end it with: evacuate down --state-dir {directory}")
    raise typer.Exit(0 if proven else 1)


def _fresh_directory() -> Path:
    """Raises NotTheStackError: what is there is not a demonstration's."""
    if "EVACUATE_STATE_DIR" not in os.environ:
        os.environ["EVACUATE_STATE_DIR"] = str(Path.cwd() / ".evacuate" / "demo")
    directory = settings().state_dir
    if directory.exists() and any(directory.iterdir()):
        _clear(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARK).touch()
    return directory


def _clear(directory: Path) -> None:
    from embedded.processes import supervisor_of

    if not (directory / MARK).exists():
        raise NotTheStackError(
            f"{directory} is not empty, and not a demonstration's", remedy="name another --state-dir"
        )
    if supervisor_of(directory) is not None:
        raise NotTheStackError(
            f"a demonstration runs in {directory}", remedy=f"end it first: evacuate down --state-dir {directory}"
        )
    shutil.rmtree(directory)
