"""Every folder beside this file, told on the real embedded stack."""

from pathlib import Path

import pytest

from tests.scenarios.scenario import End, Telling, fleet_of, folders, read


@pytest.mark.timeout(120)
@pytest.mark.parametrize("folder", folders(), ids=lambda path: path.name)
def test_scenario(stack, folder: Path):
    scenario = read(folder)
    running = stack(fleet_of(scenario), scenario.get("faults") or (), scenario.get("settings"))
    Telling(running, scenario).tell()
    End(running).verify({"check": 0} | (scenario.get("end") or {}))


def test_there_are_scenarios():
    assert len(folders()) >= 25
