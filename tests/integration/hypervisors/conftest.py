from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.integration.hypervisors.worlds import LibvirtWorld, ProcessWorld, SimulatedWorld, World, process_world


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ProcessWorld]:
    with process_world(tmp_path) as world:
        yield world


@pytest.fixture
def libvirt_world(tmp_path: Path) -> LibvirtWorld:
    if find_spec("libvirt") is None:
        pytest.skip("libvirt-python is not installed: make test-libvirt")
    return LibvirtWorld(tmp_path)


@pytest.fixture(params=["process", "simulated", "libvirt"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "simulated":
        yield SimulatedWorld()
        return
    if request.param == "libvirt":
        yield request.getfixturevalue("libvirt_world")
        return
    with process_world(tmp_path) as world:
        yield world
