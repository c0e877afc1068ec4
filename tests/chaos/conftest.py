"""Servers for as many batches as a test process plays."""

from collections.abc import Iterator

import pytest

from tests.chaos.matrix import Matrix


@pytest.fixture(scope="session")
def matrix() -> Iterator[Matrix]:
    with Matrix(seed=1) as opened:
        yield opened
