"""`evacuate up`, `down` and `fleet load`: the embedded stack, and a fleet with its hosts and disks on this machine."""

import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.hosts import COLUMNS as HOST_COLUMNS
from cli.options import StateDirOption
from cli.output import counted, print_table, say, stderr
from control.access import open_store, settings
from evacuation.errors import StoreBehindError, StoreOwnedError

if TYPE_CHECKING:
    from services.runtime.settings import Settings

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A fleet file (YAML).")]


def up(
    fleet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The fleet to load (default: 4 hosts, 12 instances).")
    ] = None,
    faults: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Faults to inject (docs/operations.md); may be edited later.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="The state store (default: SQLite in the state directory).")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when everything runs.")] = False,
    state_dir: StateDirOption = None,
) -> None:
    """Start everything on this machine: Temporal, the store, workers, and hosts whose guests are processes.

    A state directory that has a store is resumed; hosts that were switched off stay off."""
    from embedded.stack import UpOptions, bring_down, bring_up

    options = UpOptions(fleet=fleet, faults=faults, database=database)
    if detach:
        started = bring_up(settings().state_dir, options)
        with _left_running():
            announce(make_ready(started))
        return
    # Also where the caller's shell has it ignored, as shells do for what runs in their background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    started = bring_up(settings().state_dir, options)
    try:
        announce(make_ready(started))
        say("Ctrl-C ends it")
        _stay(started)
    except KeyboardInterrupt:
        say("ending the stack")
    finally:
        # Only what was started here is ended: a refusal has left somebody else's stack alone.
        bring_down(started.state_dir)


@contextmanager
def _left_running() -> Generator[None]:
    """What is asked of the operator now needs the stack."""
    try:
        yield
    except (StoreBehindError, StoreOwnedError):
        say("the stack runs, and starts nothing before that; end it with: evacuate down")
        raise


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def make_ready(started: "Settings") -> "Settings":
    """Waits, with progress, until every host answers and every guest runs."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from embedded.readiness import wait_for_stack

    columns = (TextColumn("{task.description:>7}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=stderr(), transient=True) as progress:
        bars = {name: progress.add_task(name, total=None) for name in ("hosts", "guests")}
        wait_for_stack(started, lambda name, done, total: progress.update(bars[name], completed=done, total=total))
    return started


def announce(started: "Settings") -> None:
    """Where everything is."""
    with open_store() as services:
        print_table(services.views.hosts(), HOST_COLUMNS)
    say(f"Temporal {started.temporal_address}, namespace {started.temporal_namespace}")
    if started.ui_address:
        say(f"Web UI   http://{started.ui_address}/namespaces/{started.temporal_namespace}/workflows")
    say(f"State    {started.state_dir}")


def _stay(started: "Settings") -> None:
    from embedded.processes import supervisor_of

    while supervisor_of(started.state_dir) is not None:
        time.sleep(0.5)


def down(state_dir: StateDirOption = None) -> None:
    """End everything: guests, workers, Temporal. The state stays, and `evacuate up` resumes it."""
    from embedded.stack import bring_down

    ran = bring_down(settings().state_dir)
    say("down" if ran else f"nothing runs in {settings().state_dir}")


def load_fleet(file: FileArgument, state_dir: StateDirOption = None) -> None:
    """Load a fleet into an empty store; the same fleet again changes nothing."""
    from embedded.fleets import load
    from services.runtime.fleet_file import read_fleet

    fleet = read_fleet(file)
    with open_store() as services:
        load(settings(), services, fleet)
    say(f"loaded {counted(len(fleet.hosts), 'host')}, {counted(len(fleet.instances), 'instance')}")
