from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.hypervisors.worlds import ProcessWorld, SimulatedWorld, World, process_world


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ProcessWorld]:
    with process_world(tmp_path) as world:
        yield world


@pytest.fixture(params=["process", "simulated"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "simulated":
        yield SimulatedWorld()
        return
    with process_world(tmp_path) as world:
        yield world
