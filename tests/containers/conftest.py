"""Every test here needs a container engine."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.containers.engine import images, require_engine
from tests.containers.stack import Stack, stack_of

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.containers)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def chosen_images() -> Mapping[str, str]:
    return images(require_engine())


@pytest.fixture(scope="module")
def stack(chosen_images: Mapping[str, str]) -> Iterator[Stack]:
    """deploy/compose.yaml, healthy, with this folder's fleet."""
    with stack_of(chosen_images, HERE / "fleet.yaml") as running:
        yield running
