"""The page of the matrix, and what becomes of it when batches are played again."""

from pathlib import Path

from tests.chaos.matrix import batches, batches_with
from tests.chaos.play import Verdict, verdict
from tests.chaos.report import Run, corrected, read, write

RUN = Run(command="make chaos", day="2030-01-01", seed=1, scale=1, minutes=40, instances=30, strikes=9)


def a_matrix(**red: str) -> list[Verdict]:
    """The cells of one batch; those whose step is in `red` are red for the reason."""
    _, batch = next(batches(kinds=["hang"]))
    return [
        verdict(cell, "red", outcome="stuck", reasons=(red[cell.step],)) if cell.step in red else verdict(cell, "green")
        for cell in batch
    ]


def test_what_was_played_again_is_in_the_place_of_what_was_red_and_the_page_tells_of_both(tmp_path: Path):
    page, data = tmp_path / "page.md", tmp_path / "data.json"
    write(a_matrix(begin_evacuation="it came late"), RUN, page, data)
    assert "## Red" in page.read_text() and "it came late" in page.read_text()
    write(*corrected(*read(data), a_matrix(), "2030-01-02"), page, data)
    verdicts, run = read(data)
    assert {each.result for each in verdicts} == {"green"} and len(verdicts) == len(a_matrix())
    assert (run.day, run.again[0].day, run.again[0].cells) == ("2030-01-01", "2030-01-02", len(verdicts))
    text = page.read_text()
    assert "## Red" not in text and "## Played again" in text
    assert "hang before begin_evacuation with disk locks (stuck): it came late" in text


def test_batches_of_red_cells_are_whole():
    (number, batch), *_ = batches(kinds=["hang"])
    assert list(batches_with([batch[0].key])) == [(number, batch)]


def test_report_counts_what_was_played_and_names_what_is_red(tmp_path: Path):
    cell = {"kind": "fail", "route": "forward", "step": "spawn_guest", "disk_lock": True}
    verdicts = [
        Verdict(**cell, at="before", result="green", outcome="recovered"),
        Verdict(**cell, at="after", result="red", outcome="cancelled", reasons=("two copies",)),
    ]
    write(verdicts, RUN, tmp_path / "matrix.md", tmp_path / "matrix.json")
    page = (tmp_path / "matrix.md").read_text()
    assert "**1 green, 1 red, 0 impossible** of 2 cells; 30 instances evacuated under 9 faults" in page
    assert "| spawn_guest | before | ✓ |" in page
    assert "- fail after spawn_guest with disk locks (cancelled): two copies" in page
