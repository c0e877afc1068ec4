"""The command line: groups, exit codes, and one line for every error."""

import gc
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cli import fleets, hosts, inspecting, instances, records, stores
from cli.inputs import quoted
from cli.options import StateDirOption, examples, in_order
from evacuation.errors import EvacuateError, MalformedRequestError, TemporalUnavailableError
from services.runtime.exits import INTERRUPTED, REFUSED, error_line, exit_code

LONGEST_LINE = 2500
"""Characters of an error: what was typed may be quoted in it."""
FEW_COLLECTIONS = 500_000
"""Objects. What a command imports is no garbage, and to look through it again and again was a tenth of what it cost."""

ORDER = (
    *("demo", "up", "down", "watch", "report", "check", "fleet", "store", "host", "instance"),
    *("migration", "action", "allocation", "port", "volume"),
)
"""Of the help."""

app = typer.Typer(
    name="evacuate",
    help="Durable evacuation of virtual machines from dead compute hosts.",
    no_args_is_help=True,
    add_completion=False,
    cls=in_order(*ORDER),
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=examples("demo", "up --detach", "host kill cmp-1", "instance evacuate web-01", "check", "down"),
)
app.add_typer(fleets.fleet_app)
stores.add_to(app)
app.add_typer(hosts.host_app)
app.add_typer(instances.instance_app)
records.add_to(app)
inspecting.add_to(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("evacuate"))
        raise typer.Exit


@app.callback()
def root(
    state_dir: StateDirOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Durable evacuation of virtual machines from dead compute hosts."""


def main() -> None:
    """Console script `evacuate`. Exit codes are those of `services.runtime.exits`."""
    gc.set_threshold(FEW_COLLECTIONS)
    code = run()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of the Temporal client may still run, and may crash an interpreter that takes itself apart.
    os._exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code; `arguments` None: those of the process. The selection of a state directory ends with it."""
    selected = os.environ.get("EVACUATE_STATE_DIR")
    try:
        _require_text(sys.argv[1:] if arguments is None else arguments)
        return int(app(arguments, standalone_mode=False) or 0)
    except EvacuateError as error:
        return _end(error)
    except typer.TyperException as error:
        say_error(_told(error))
        return REFUSED
    except (KeyboardInterrupt, typer.Abort):
        say_error("interrupted")
        return INTERRUPTED
    except Exception as error:
        unanswered = _unanswered(error)
        if unanswered is None:
            raise
        return _end(unanswered)
    finally:
        _select(selected)


def _require_text(arguments: Sequence[str]) -> None:
    """What is no text can be sent nowhere, and printed nowhere. Raises MalformedRequestError."""
    for each in arguments:
        try:
            each.encode()
        except UnicodeEncodeError:
            raise MalformedRequestError(f"{quoted(each)} is not UTF-8", remedy="give every argument in UTF-8") from None


def _told(error: typer.TyperException) -> str:
    """One line, and whose help says more. A group without a command: its help as it is."""
    text = error.format_message()
    if text.startswith("Usage: "):
        return text
    context: Any = getattr(error, "ctx", None)
    named = str(context.command_path).split()[1:] if context is not None else []
    line = " ".join(text.split())
    return f"error: {line}{'' if line.endswith(('.', '?')) else '.'} See: {' '.join(['evacuate', *named])} --help"


def _end(error: EvacuateError) -> int:
    say_error(error_line(error))
    return exit_code(error)


def _unanswered(error: Exception) -> TemporalUnavailableError | None:
    """A call of Temporal's client that its command did not expect to fail. None: a defect, not to be hidden."""
    if "temporalio" not in sys.modules:
        return None
    from control.failures import UNANSWERED, unavailable

    return unavailable(error) if isinstance(error, UNANSWERED) else None


def _select(state_dir: str | None) -> None:
    if state_dir is None:
        os.environ.pop("EVACUATE_STATE_DIR", None)
    else:
        os.environ["EVACUATE_STATE_DIR"] = state_dir


def say_error(line: str) -> None:
    typer.echo(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…", err=True)
