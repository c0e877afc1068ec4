"""Tests of the tests: a product that is broken on purpose turns cells red, and only a broken one does."""

import pytest

from tests.chaos.matrix import Matrix, batches
from tests.chaos.play import END, Verdict
from tests.chaos.sabotages import environment

pytestmark = pytest.mark.long
ONE_TRY = {"EVACUATE_ATTEMPTS_PER_HOST": "1"}
"""The second attempt goes elsewhere: what comes late finds no newer guest where it comes to."""
PATIENCE = 10.0
"""What is broken may be stuck, too: enough to see that."""


def play(sabotage: str, kind: str, *steps: str, patience: float) -> list[Verdict]:
    """The first batch with such a step that is possible: before its effect, where there is one. Without disk locks
    where that can be, so that nothing but the product itself is in the way."""
    wanted = batches(kinds=[kind], steps=steps, locks=(False, True))
    number, batch = next(each for each in wanted if not all(cell.impossible for cell in each[1]))
    with Matrix(seed=1, settings=environment(sabotage) | ONE_TRY, patience=patience) as matrix:
        return matrix.play(batch, number)


def reds(verdicts: list[Verdict]) -> dict[str, str]:
    return {f"{v.at} {v.step}": "; ".join(v.reasons) for v in verdicts if v.result == "red"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("sabotage", "kind", "steps", "witness"),
    [
        ("no-tombstone", "hang", ["spawn_guest"], "two guests wrote to one disk"),
        ("stale-evidence", "source-thaws", ["set_up_network"], "it ended recovered"),
        ("unshielded-unwinding", "cancelled", ["tear_down_network", "release_capacity"], "open"),
        ("compensation-left-out", "fail", ["abandon_evacuation"], "its port"),
        ("errors-are-silence", "answers-with-error", ["check_request"], "it ended recovered"),
        ("store-that-nobody-doubts", "store-restored", ["claim_capacity"], "before it is reconciled"),
        ("power-that-nobody-reads", "word-against-power", ["check_request"], "2 copies run"),
        ("begin-that-does-not-look", "returns-before-begin", ["begin_evacuation"], "is only reserved"),
        ("start-that-is-forgotten", "terminated", ["finish_evacuation"], "was started again"),
        ("store-of-anybody", "second-control-plane", ["claim_capacity"], "AssertionError: exit 0"),
        ("disk-made-by-a-spawn", "object-gone", ["prepare_destination"], "it ended recovered"),
        ("claim-without-a-look", "fail", ["claim_capacity"], "are noted as free"),
    ],
)
def test_broken_product_turns_cells_red(sabotage: str, kind: str, steps: list[str], witness: str):
    found = reds(play(sabotage, kind, *steps, patience=PATIENCE))
    assert any(witness in reasons for reasons in found.values()), found


@pytest.mark.timeout(300)
def test_last_look_alone_may_be_missing_since_the_tombstone_stops_a_late_spawn():
    assert reds(play("no-last-look", "hang", "spawn_guest", patience=END)) == {}
