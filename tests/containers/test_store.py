"""The state store on the PostgreSQL that is deployed."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from testcontainers.community.postgres import PostgresContainer

from tests.support.postgres import EXTERNAL

ROOT = Path(__file__).parents[2]


def test_store_passes_its_tests_on_a_postgresql_container(chosen_images: Mapping[str, str]) -> None:
    image = chosen_images["POSTGRES_IMAGE"]
    postgres = PostgresContainer(image, username="evacuate", password="for-this-test", driver="psycopg")
    # Every test truncates every table: that it lasts is not what is tested.
    with postgres.with_command("-c fsync=off") as server:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "2", "-k", "postgres or not sqlite", "tests/integration/sql"],
            cwd=ROOT,
            env={**os.environ, EXTERNAL: server.get_connection_url()},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-4000:]
