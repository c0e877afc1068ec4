"""Tests of the tests: what no cell of the fault matrix can see, a scenario does."""

import pytest

from tests.chaos.sabotages import environment
from tests.scenarios.scenario import End, Telling, fleet_of, folders, read


@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("sabotage", "name", "witness"),
    [
        ("cut-that-asks-nobody", "source-that-returns-before-its-fence-is-not-cut", "'down' is not 'up'"),
        (
            "deletion-that-waits-for-nobody",
            "deleted-on-a-dead-host-gives-its-volume-back-once-that-is-off",
            "available",
        ),
    ],
)
def test_scenario_fails_on_a_product_that_is_broken_where_it_looks(stack, sabotage: str, name: str, witness: str):
    scenario = read(next(each for each in folders() if each.name == name))
    settings = scenario.get("settings", {}) | environment(sabotage)
    running = stack(fleet_of(scenario), scenario.get("faults") or (), settings)
    with pytest.raises(AssertionError, match=witness):
        Telling(running, scenario).tell()
        End(running).verify({"check": 0} | (scenario.get("end") or {}))
