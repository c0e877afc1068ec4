"""What the commands print: one JSON document or a table on stdout, everything else on stderr."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

import typer

from evacuation.model import Frozen

if TYPE_CHECKING:
    from rich.console import Console

EMPHASIS = {
    "up": "green",
    "running": "green",
    "recovered": "green",
    "down": "red",
    "error": "red",
    "not_recovered": "red",
    "shutdown": "yellow",
}


WIDE = 240
"""Columns of what is not a terminal: nothing is cut off there."""


@cache
def stdout() -> "Console":
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


@cache
def stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True)


def say(text: str) -> None:
    """A line for the person who watches, as it is: what is quoted in it may hold brackets and colons."""
    stderr().print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


def print_json(value: Frozen | Sequence[Frozen]) -> None:
    plain = value.model_dump(mode="json") if isinstance(value, Frozen) else [v.model_dump(mode="json") for v in value]
    typer.echo(json.dumps(plain, indent=2, ensure_ascii=False))


def print_rows(rows: Sequence[Frozen], columns: Sequence[str], *, as_json: bool, title: str | None = None) -> None:
    """All fields as JSON, or the named columns as a table."""
    if as_json:
        print_json(rows)
    else:
        print_table(rows, columns, title=title)


def print_table(rows: Sequence[Frozen], columns: Sequence[str], *, title: str | None = None) -> None:
    from rich import box
    from rich.table import Table

    table = Table(*columns, title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for row in rows:
        table.add_row(*(_cell(getattr(row, column)) for column in columns))
    stdout().print(table)


def print_one(row: Frozen, *, as_json: bool) -> None:
    """One object: a line per field."""
    if as_json:
        print_json(row)
        return
    from rich.table import Table

    table = Table(box=None, show_header=False)
    for name in type(row).model_fields:
        table.add_row(name, _cell(getattr(row, name)))
    stdout().print(table)


def _cell(value: object) -> str:
    from rich.markup import escape

    text = escape(_plain(value))
    return f"[{EMPHASIS[text]}]{text}[/]" if text in EMPHASIS else text


def _plain(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S")
        case tuple() | frozenset():
            # What is in it is not known to the checker, and _plain takes anything.
            return ", ".join(_plain(part) for part in value)  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
        case Frozen():
            return str(getattr(value, "message", None) or value.model_dump_json())
        case _:
            return str(value)
