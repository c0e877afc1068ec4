"""Every test here runs on SQLite and on a real PostgreSQL."""

import pytest

from services.sql import SqlServices
from tests.integration.sql.world import World


@pytest.fixture
def world(services: SqlServices) -> World:
    """Three hosts up; web-01 (one port, two volumes), web-02 and the stopped db-01 live on cmp-1, web-03 on cmp-2."""
    return World(services)
