"""One Temporal server for all scenarios of a test process; a namespace and a state directory for each."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import Stack, temporal_server


@pytest.fixture(scope="session")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
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
