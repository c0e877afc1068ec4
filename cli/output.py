"""What the commands print: one JSON document or a table on stdout, everything else on stderr."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from evacuation.model import Frozen

EMPHASIS = {
    "up": "green",
    "up (silent)": "yellow",
    "running?": "yellow",
    "running": "green",
    "recovered": "green",
    "down": "red",
    "error": "red",
    "not_recovered": "red",
    "shutdown": "yellow",
}


NARROWEST, LONGEST_WORD = 14, 40
"""Columns that a text is wrapped in, at least, and the most that one of its words asks for."""
EDGES, BETWEEN = 1, 3
"""Columns of a table that hold nothing: beside it, and for each of its columns."""
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


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_json(value: "Frozen | Sequence[Frozen]") -> None:
    from evacuation.model import Frozen

    plain = value.model_dump(mode="json") if isinstance(value, Frozen) else [v.model_dump(mode="json") for v in value]
    typer.echo(json.dumps(plain, indent=2, ensure_ascii=False))


def print_rows(rows: "Sequence[Frozen]", columns: Sequence[str], *, as_json: bool, title: str | None = None) -> None:
    """All fields as JSON, or the named columns as a table."""
    if as_json:
        print_json(rows)
    else:
        print_table(rows, columns, title=title)


def print_table(rows: "Sequence[Frozen]", columns: Sequence[str], *, title: str | None = None) -> None:
    """A word is never cut, text is wrapped. What a terminal has no room for is left out from the right, and named."""
    cells = {column: [_plain(getattr(row, column)) for row in rows] for column in columns}
    room = stdout().width - EDGES
    shown, left = 0, room
    for column in columns:
        left -= _least(column, cells[column]) + BETWEEN
        if left < 0 and shown:
            break
        shown += 1
    stdout().print(_table({column: cells[column] for column in columns[:shown]}, room, title))
    if shown < len(columns):
        say(f"no room for: {', '.join(columns[shown:])}; a wider terminal shows them, and --json")


def _table(cells: Mapping[str, Sequence[str]], room: int, title: str | None) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    widths = _widths(cells, room)
    for name, texts in cells.items():
        table.add_column(name, no_wrap=not _is_text(texts), width=widths[name])
    for row in zip(*cells.values(), strict=True):
        table.add_row(*map(_styled, row))
    return table


def _widths(cells: Mapping[str, Sequence[str]], room: int) -> dict[str, int]:
    """What they take at least; what is left goes to the texts, in equal parts, if they want so much."""
    from rich.cells import cell_len

    widths = {name: _least(name, texts) for name, texts in cells.items()}
    left = room - sum(widths.values()) - BETWEEN * len(widths)
    wants = {name: max(map(cell_len, texts)) - widths[name] for name, texts in cells.items() if _is_text(texts)}
    for asked, name in enumerate(sorted(wants, key=wants.__getitem__)):
        more = max(0, min(wants[name], left // (len(wants) - asked)))
        widths[name] += more
        left -= more
    return widths


def _is_text(cells: Sequence[str]) -> bool:
    return any(" " in cell for cell in cells)


def _least(name: str, cells: Sequence[str]) -> int:
    """Columns of the terminal that it takes so that no word of it is cut; a text has a little more."""
    from rich.cells import cell_len

    is_text = _is_text(cells)
    words = " ".join(cells).split() if is_text else cells
    longest = max(map(cell_len, [name, *words]))
    return min(max(longest, NARROWEST), LONGEST_WORD) if is_text else longest


def print_one(row: "Frozen", *, as_json: bool) -> None:
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
    return _styled(_plain(value))


def _styled(plain: str) -> str:
    from rich.markup import escape

    text = escape(plain)
    return f"[{EMPHASIS[text]}]{text}[/]" if text in EMPHASIS else text


def _plain(value: object) -> str:
    from evacuation.model import Frozen

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
