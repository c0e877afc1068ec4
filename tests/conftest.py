"""What holds for every test; and the parts that tests of several kinds share, one server for each test process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support.stack import Stack, temporal_server
from tests.support.stores import empty_url, postgres, postgres_original, services, sqlite_original, url

__all__ = ["empty_url", "postgres", "postgres_original", "services", "sqlite_original", "stack", "temporal", "url"]

# A loaded machine is no reason for a property to fail, and a failure is to be the same one everywhere.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server; every stack takes a namespace of its own there."""
    with temporal_server(tmp_path_factory.mktemp("temporal")) as address:
        yield address


@pytest.fixture
def stack(tmp_path: Path, temporal: str) -> Iterator[Callable[..., Stack]]:
    """`stack(fleet, faults, settings)` is up; it is down, and nothing of it left, when the test ends."""
    started: list[Stack] = []

    def start(fleet: dict[str, Any], faults: Any = (), settings: dict[str, str] | None = None) -> Stack:
        directory = tmp_path / f"stack-{len(started)}"
        directory.mkdir()
        started.append(Stack(directory, temporal, settings=settings))
        started[-1].up(fleet, list(faults))
        return started[-1]

    yield start
    for each in started:
        each.down()
