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
    """The first batch with such a step: before its effect. Without disk locks, so that nothing but the product itself
    is in the way."""
    number, batch = next(iter(batches(kinds=[kind], steps=steps, locks=[False])))
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
    ],
)
def test_broken_product_turns_cells_red(sabotage: str, kind: str, steps: list[str], witness: str):
    found = reds(play(sabotage, kind, *steps, patience=PATIENCE))
    assert any(witness in reasons for reasons in found.values()), found


@pytest.mark.timeout(300)
def test_last_look_alone_may_be_missing_since_the_tombstone_stops_a_late_spawn():
    assert reds(play("no-last-look", "hang", "spawn_guest", patience=END)) == {}
