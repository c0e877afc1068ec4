"""What the commands say."""

from pathlib import Path

import pytest
from rich.console import Console

from cli import output
from cli.hosts import COLUMNS as HOST_COLUMNS
from cli.instances import COLUMNS as INSTANCE_COLUMNS
from cli.output import print_table, say
from embedded.stack import DEFAULT_FLEET
from evacuation.invariants import Breach
from services.runtime.fleet_file import read_fleet
from services.sql import migrate, open_services

UUID = "aaa1577d-9f73-4bb1-b908-2f5474fd4d44"


def test_line_is_said_as_it_is_when_it_holds_brackets_and_colons(capsys: pytest.CaptureFixture[str]) -> None:
    line = "web-01: ✗ spawn_guest: no [/dev/sda] for [bold]: :x: [Errno 5]"
    say(line)
    assert capsys.readouterr().err == line + "\n"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    """Of 80 columns; what is printed is recorded."""
    made = Console(width=80, record=True, force_terminal=True)
    monkeypatch.setattr(output, "stdout", lambda: made)
    return made


@pytest.mark.parametrize("columns", [HOST_COLUMNS, INSTANCE_COLUMNS], ids=["hosts", "instances"])
def test_list_cuts_no_word_on_eighty_columns_and_names_what_it_leaves_out(
    terminal: Console, tmp_path: Path, capsys: pytest.CaptureFixture[str], columns: tuple[str, ...]
) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    migrate(url)
    services = open_services(url)
    services.fleet.load(read_fleet(DEFAULT_FLEET))
    rows = services.views.hosts() if columns is HOST_COLUMNS else services.views.instances()
    print_table(rows, columns)
    services.close()
    shown = terminal.export_text()
    told = capsys.readouterr().err
    left_out = told.removeprefix("no room for: ").partition(";")[0].split(", ")
    assert "…" not in shown and max(map(len, shown.splitlines())) <= 80
    assert all(row.name in shown for row in rows)
    for column in columns:
        assert (column in shown.split()) is not (column in left_out), column
    assert columns[-1] in left_out and "--json" in told


def test_text_is_wrapped_and_nothing_of_it_is_lost(terminal: Console, capsys: pytest.CaptureFixture[str]) -> None:
    message = "two copies of it run: one on cmp-1, and one on cmp-2, and both of them write"
    breach = Breach(
        invariant="I1", subject="web-01", message=message, remedy="stop one of the two, by hand", rule="two"
    )
    print_table([breach], ("invariant", "subject", "message", "remedy"))
    shown = terminal.export_text()
    assert set(message.split()) <= set(shown.split()) and set(breach.remedy.split()) <= set(shown.split())
    assert "no room" not in capsys.readouterr().err


def test_text_is_cut_nowhere_beside_one_with_a_long_word(terminal: Console) -> None:
    """As `check` names two writers: the message has a uuid, and the remedy beside it must be read whole."""
    message = f"{UUID}: epoch 1 on cmp-4 wrote at 2026-12-01T04:34:29.690000+00:00, after epoch 1 had"
    remedy = "it is the only copy that is seen: run: evacuate store reconcile; ask before anything is ended"
    breach = Breach(invariant="I1", subject="metrics", message=message, remedy=remedy, rule="two-writers")
    print_table([breach], ("invariant", "subject", "message", "remedy"))
    shown = terminal.export_text()
    assert set(message.split()) <= set(shown.split()) and set(remedy.split()) <= set(shown.split())
    assert max(map(len, shown.splitlines())) <= 80
