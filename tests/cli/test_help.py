"""Help, and how much a start costs."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from starter import app
from tests.cli.conftest import Command


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, sub in getattr(command, "commands", {}).items():
        yield from _commands(sub, (*path, name))
    if not hasattr(command, "commands"):
        yield path


COMMANDS = sorted(_commands(typer.main.get_command(app)))


def test_command_line_has_every_command_of_its_interface() -> None:
    one = {"check", "demo", "down", "report", "up", "watch"}
    host = {f"host {verb}" for verb in ("list", "show", "preflight", "kill", "start", "down")}
    instance = {f"instance {verb}" for verb in ("list", "show", "evacuate", "cancel", "delete")}
    lists = {f"{what} list" for what in ("migration", "action", "allocation", "port", "volume")}
    assert one | host | instance | lists | {"fleet load", "fleet adopt", "fleet export"} <= {
        " ".join(path) for path in COMMANDS
    }


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_shows_an_example_for_every_command(evacuate: Command, path: tuple[str, ...]) -> None:
    answer = evacuate(*path, "--help")
    assert answer.code == 0
    examples = answer.out.partition("Examples:")[2]
    assert f"evacuate {' '.join(path)}" in examples or f" {' '.join(path)}" in examples
    assert "--state-dir" in answer.out


def test_group_without_a_command_shows_its_help_line_by_line(evacuate: Command) -> None:
    answer = evacuate("host")
    assert answer.code == 2
    assert "\n  preflight  " in answer.err
    assert "error:" not in answer.err


@pytest.mark.parametrize("words", [["--help"], ["instance", "evacuate", "--help"], ["bogus"]])
def test_start_imports_neither_temporal_nor_the_store_when_they_are_not_needed(words: list[str]) -> None:
    program = (
        "import sys; from starter import run; run(sys.argv[1:]);"
        "heavy = {'temporalio', 'sqlmodel', 'sqlalchemy', 'alembic', 'psutil'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
