"""`evacuate host kill` and `host start`: the power buttons of hosts that are processes of this machine."""

from typing import Annotated

import typer

from cli.hosts import known
from cli.options import HostArgument, StateDirOption
from cli.output import say
from control.access import settings


def kill_host(host: HostArgument, state_dir: StateDirOption = None) -> None:
    """Power loss: everything on the host dies at once, and nobody is told. Embedded stack only."""
    from embedded.commands.power import kill

    kill(settings(), known(host))
    say(f"{host} is off, and nothing of it is left")


def start_host(
    host: HostArgument,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the host is up again.")] = True,
    state_dir: StateDirOption = None,
) -> None:
    """Power on, with a new boot: the host comes back and is reconciled before it serves. Embedded stack only."""
    from embedded.commands.power import start

    start(settings(), known(host), wait=wait)
