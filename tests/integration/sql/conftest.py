"""Every test here runs on SQLite and on a real PostgreSQL. On SQLite the ledger's position must have moved with every
transaction that a restored backup must not repeat: what moves it is the same statement on both, and a look costs."""

from collections.abc import Iterator

import pytest

from services.sql import SqlServices, open_services
from tests.integration.sql.world import World
from tests.support.positions import Positions
from tests.support.rows import Rows, put_rows, rows_of

UNWATCHED = {
    "tests.integration.sql.test_concurrency": "many threads write at once",
    "tests.integration.sql.test_plans": "it looks at every statement",
    "tests.integration.sql.test_statements": "it counts the statements",
    "tests.integration.sql.test_objects_gone": "the steps are watched elsewhere, and there are two hundred of them",
}


@pytest.fixture
def services(url: str, request: pytest.FixtureRequest) -> Iterator[SqlServices]:
    opened = open_services(url)
    if request.module.__name__ in UNWATCHED or not url.startswith("sqlite"):
        yield opened
    else:
        positions = Positions(opened.database)
        yield opened
        assert positions.stood_still == []
    opened.close()


@pytest.fixture(scope="session")
def worlds() -> dict[str, Rows]:
    """What the first small fleet of a process came to, on each database."""
    return {}


@pytest.fixture
def world(services: SqlServices, worlds: dict[str, Rows]) -> World:
    """Three hosts up; web-01 (one port, two volumes), web-02 and the stopped db-01 live on cmp-1, web-03 on cmp-2."""
    engine = services.database._writing
    if engine.dialect.name in worlds:
        put_rows(engine, worlds[engine.dialect.name])
        return World.of(services)
    made = World(services)
    worlds[engine.dialect.name] = rows_of(engine)
    return made
