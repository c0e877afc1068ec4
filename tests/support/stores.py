"""Fixtures: a store on SQLite and on a real PostgreSQL, one server for all tests of a process."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from services.sql import SqlServices, migrate, open_services
from tests.support.allocations import Watch
from tests.support.postgres import empty, fresh_database, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Not below pytest's own directory: started as root the server runs as another user, and every session of pytest
    that begins on the machine closes that directory to others."""
    own = TemporaryDirectory(prefix="evacuate-postgres-", ignore_cleanup_errors=True)
    with own as directory, postgres_server(Path(directory) / "data") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    with fresh_database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("original") / "store.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgres_original(postgres: str) -> Iterator[str]:
    with fresh_database(postgres) as url:
        migrate(url)
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of the current schema without a row. On PostgreSQL the tests of a process share one, emptied for each:
    to make one takes longer than most of them."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_original"), tmp_path / "store.db")
        return f"sqlite:///{tmp_path / 'store.db'}"
    shared: str = request.getfixturevalue("postgres_original")
    empty(shared)
    return shared


@pytest.fixture
def services(url: str) -> Iterator[SqlServices]:
    """Every transaction of the test is held to the rule of who may write allocations."""
    opened = open_services(url)
    Watch(opened)
    yield opened
    opened.close()
