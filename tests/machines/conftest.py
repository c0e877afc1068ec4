"""The original of a machine's store, once for all tests of a process and database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines.stores import Fresh, on_postgres, on_sqlite


@pytest.fixture(scope="session")
def sqlite_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    with on_sqlite(Path(tmp_path_factory.mktemp("machines"))) as fresh:
        yield fresh


@pytest.fixture(scope="session")
def postgres_store(postgres: str) -> Iterator[Fresh]:
    with on_postgres(postgres) as fresh:
        yield fresh


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Fresh:
    return request.getfixturevalue(f"{request.param}_store")
