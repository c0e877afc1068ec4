from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.hypervisors.worlds import ProcessWorld, process_world


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ProcessWorld]:
    with process_world(tmp_path) as world:
        yield world
