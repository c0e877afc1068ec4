"""Options that many commands share, and the examples of their help."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


def _select(path: Path | None) -> Path | None:
    """The option stands before or after the command's name, and says the same as the environment variable."""
    if path is not None:
        os.environ["EVACUATE_STATE_DIR"] = str(path.expanduser().resolve())
    return path


def _state_dir(default: str) -> typer.models.OptionInfo:
    return typer.Option(
        "--state-dir",
        metavar="DIR",
        callback=_select,
        help=f"The embedded stack's directory (default: $EVACUATE_STATE_DIR, else {default}).",
    )


StateDirOption = Annotated[Path | None, _state_dir("./.evacuate")]
DemoDirOption = Annotated[Path | None, _state_dir("./.evacuate/demo")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; everything else on stderr.")]
InstanceArgument = Annotated[str, typer.Argument(metavar="INSTANCE", help="An instance's name or id.")]
InstancesArgument = Annotated[list[str], typer.Argument(metavar="INSTANCE…", help="Names or ids of instances.")]
HostArgument = Annotated[str, typer.Argument(metavar="HOST", help="A host's name.")]


def examples(*lines: str) -> str:
    """An epilog that keeps its lines."""
    return "\b\nExamples:\n" + "\n".join(f"  evacuate {line}" for line in lines)


def in_order(*names: str) -> type[TyperGroup]:
    """A group whose help lists its commands so, whoever adds them, and in whatever order."""

    class Ordered(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return sorted(super().list_commands(ctx), key=names.index)

    return Ordered


def new_group(name: str, help: str, *commands: str) -> typer.Typer:
    """`commands`: their order in its help, where several modules add some."""
    kind = in_order(*commands) if commands else None
    return typer.Typer(name=name, help=help, no_args_is_help=True, rich_markup_mode=None, cls=kind)
