"""Histories that older workers wrote must replay on this code. They are never regenerated together with a change of
workflows/: a shape that must change is put behind `workflow.patched` first.

Before the first release they were all recorded again once, when the patches went that no released run could need."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from services.runtime.temporal import DATA_CONVERTER
from workflows.all import ALL
from workflows.engine.sandbox import RUNNER

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))
SHAPES = {
    "success",
    "capacity-refused",
    "spawn-failed-then-next-host",
    "cancelled-while-compensating",
    "waited-for-capacity",
    "blocked-then-settled",
    "waited-for-a-full-destination",
    "adopted-start-is-stopped-afterwards",
    "adopted-attempt-is-undone",
    "return-held",
    "ledger-written-down",
    "start-in-place",
    "stop-in-place",
}


def test_every_shape_has_a_history():
    assert {path.stem for path in HISTORIES} >= SHAPES


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_history_replays(path: Path):
    history = WorkflowHistory.from_json(path.stem, path.read_text())
    assert len(history.events) > 10
    await Replayer(workflows=ALL, data_converter=DATA_CONVERTER, workflow_runner=RUNNER).replay_workflow(history)
