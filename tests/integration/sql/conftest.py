"""Every test here runs on SQLite and on a real PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.sql import SqlServices, migrate, open_services
from tests.integration.sql.world import World
from tests.support.postgres import fresh_database, postgres_server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres_server(tmp_path_factory.mktemp("postgres") / "data") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    with fresh_database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture
def url(empty_url: str) -> str:
    migrate(empty_url)
    return empty_url


@pytest.fixture
def services(url: str) -> Iterator[SqlServices]:
    opened = open_services(url)
    yield opened
    opened.close()


@pytest.fixture
def world(services: SqlServices) -> World:
    """Three hosts up; web-01 (one port, two volumes), web-02 and the stopped db-01 live on cmp-1, web-03 on cmp-2."""
    return World(services)
