"""Every test here needs a container engine."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import docker
import pytest

from tests.containers.engine import require_engine, require_images
from tests.containers.plant import Plant, Plants
from tests.containers.stack import Stack, stack_of

HERE = Path(__file__).parent
SPAWN_DELAY = 4


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.containers)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    return require_engine()


@pytest.fixture(scope="session")
def chosen_images(engine: docker.DockerClient) -> Mapping[str, str]:
    return require_images(engine)


@pytest.fixture(scope="module")
def stack(chosen_images: Mapping[str, str]) -> Iterator[Stack]:
    """deploy/compose.yaml, healthy, with this folder's fleet."""
    settings = {"EVACUATE_SPAWN_DELAY": str(SPAWN_DELAY)}
    with stack_of(chosen_images, HERE / "fleet.yaml", settings=settings) as running:
        yield running


@pytest.fixture(scope="session")
def plants(chosen_images: Mapping[str, str], engine: docker.DockerClient) -> Iterator[Plants]:
    found = Plants(chosen_images, engine)
    yield found
    found.close()


@pytest.fixture
def plant(plants: Plants) -> Plant:
    """At rest, whatever the tests before did to it."""
    return plants.at_rest()
