"""A representative part of the fault matrix, in `make test-chaos`; the whole of it is `make chaos`."""

import re
from pathlib import Path

import pytest

import workflows
from tests.chaos.jobs import play_all
from tests.chaos.matrix import Matrix, batches
from tests.chaos.plan import BATCHES, KINDS, NOT_STRUCK, STEPS, Cell

PART = (
    ("fail", 4, True),
    ("refuse", 3, False),
    ("hang", 1, False),
    ("reply-lost", 2, False),
    ("reset", 3, True),
    ("host-worker-killed", 2, False),
    ("destination-boots-again", 1, True),
    ("temporal-killed", 1, True),
    ("postgres-killed", 2, False),
)
"""Kind, batch, and whether disks are locked."""


def batch(kind: str, number: int, disk_lock: bool) -> tuple[Cell, ...]:
    return dict(batches(kinds=[kind], locks=[disk_lock]))[number]


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("kind", "number", "disk_lock"), PART)
def test_every_step_of_the_batch_survives_the_fault(matrix: Matrix, kind: str, number: int, disk_lock: bool):
    verdicts = matrix.play(batch(kind, number, disk_lock), number)
    assert any(verdict.result == "green" for verdict in verdicts)
    assert [verdict for verdict in verdicts if verdict.result == "red"] == []


def test_matrix_has_every_activity_of_an_evacuation():
    """All that its modules name; a step that comes to be is missed here."""
    own = {"delete_instance", "return_host", "report_host", "in_place"}
    others = own | {"probe_host", "fence_host", "accept_host", "ask_hosts", "check_power", "follow_instance"}
    modules = [path for path in Path(workflows.__file__).parent.rglob("*.py") if path.stem not in others]
    named = {name for path in modules for name in re.findall(r"Activities\.([a-z_]+)", path.read_text())}
    planned = {step for steps in STEPS.values() for step in steps}
    assert named == planned | NOT_STRUCK.keys()
    assert not planned & NOT_STRUCK.keys()


def test_matrix_has_every_step_before_and_after_under_every_fault_once():
    cells = [cell for _, each in batches() for cell in each]
    assert len(cells) == len({(c.kind.name, c.step, c.at, c.disk_lock) for c in cells})
    assert len(cells) == len(KINDS) * 25 * 2 * 2
    assert all(len(each) <= 20 for _, each in batches())
    assert sum(len(routes) for routes, _ in BATCHES[1:]) == 5


def test_batches_are_played_in_processes_of_their_own_and_all_verdicts_come_back():
    impossible = batch("reply-lost", 1, True)
    wanted = [(1, impossible[:3]), (2, impossible[3:5])]
    played = list(play_all(wanted, jobs=2, seed=1, scale=1.0))
    assert sorted(v.step for each in played for v in each.verdicts) == sorted(cell.step for cell in impossible[:5])
    assert {v.result for each in played for v in each.verdicts} == {"n/a"}
