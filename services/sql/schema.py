"""The schema's revision: moved by `migrate`, checked by everybody who opens the store."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from evacuation.errors import StoreSchemaError, StoreUnavailableError
from services.sql.database import connect_database
from services.sql.engines import sqlite_file

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012", "0013")
"""All that this release knows, oldest first. The last one is what it needs."""

MIGRATE = "run: evacuate store migrate"
_LOCK = 0x65766163
"""Of the advisory lock under which PostgreSQL lets one migration run at a time."""


def migrate(url: str) -> None:
    """The schema is this release's. Two at once: the second waits, and finds nothing to do. Raises
    StoreUnavailableError, StoreSchemaError (the store is newer than this release)."""
    _require_directory(url)
    database = connect_database(url)
    try:
        database.run(_upgrade)
    finally:
        database.close()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    _refuse_newer(_revision(connection))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def check_revision(connection: Connection) -> None:
    """Raises StoreSchemaError, with what to do."""
    revision = _revision(connection)
    _refuse_newer(revision)
    if revision is None:
        raise StoreSchemaError("the store has no schema yet", remedy=MIGRATE)
    if revision != REVISIONS[-1]:
        raise StoreSchemaError(f"the store's schema {revision} is older than this release", remedy=MIGRATE)


def require_file(url: str) -> None:
    """Opening a store must not create one. Raises StoreUnavailableError."""
    path = sqlite_file(url)
    if path is not None and not path.is_file():
        raise StoreUnavailableError(f"there is no store at {path}", remedy=MIGRATE)


def _require_directory(url: str) -> None:
    path = sqlite_file(url)
    if path is not None and not path.parent.is_dir():
        raise StoreUnavailableError(f"there is no directory {path.parent}", remedy="make it, or correct the URL")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _refuse_newer(revision: str | None) -> None:
    if revision is not None and revision not in REVISIONS:
        raise StoreSchemaError(
            f"the store's schema {revision} is newer than this release", remedy="upgrade this release of evacuate"
        )
