"""Engines: how each database is connected to, and which URLs say so."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from evacuation.errors import StoreUnavailableError

TIMEOUT = 10.0
"""Seconds until a connect, a statement, a lock or a place in the pool is given up."""
POSTGRES_CONNECTIONS = 40
"""One for each thread that a worker has, and `OVERFLOW` for what comes beside."""
OVERFLOW = 8
SQLITE_CONNECTIONS = 8
"""One of them writes at a time and the interpreter lets one read at a time: more would only hold more caches. Who finds
none free waits for `TIMEOUT`."""
SQLITE_STATEMENTS, SQLITE_PAGES_KIB = 48, 512
"""What each of them keeps: prepared statements, of some 14 KiB each, and pages, which the system keeps too. The
driver's own 128 and 2,000 are four MiB a connection; one that only a peak uses still fills after ten minutes."""
_POOL: Mapping[str, Any] = {
    "pool_timeout": TIMEOUT,
    # The one that was used last: as few as are needed keep their caches of pages and of prepared statements warm.
    "pool_use_lifo": True,
}
_SQLITE: Mapping[str, Any] = {
    "timeout": TIMEOUT,
    "check_same_thread": False,
    "cached_statements": SQLITE_STATEMENTS,
}
_SILENCE = {"idle": 5, "interval": 2, "count": 3}
"""TCP keepalives, seconds: either end gives up a connection whose other end is gone without a word, the server with the
transaction and the locks that it holds. What was sent and never acknowledged is under `tcp_user_timeout` instead."""
_POSTGRES = ("postgres", "postgresql", "postgresql+psycopg")
_URLS = "write sqlite:////PATH/OF/FILE, or postgresql+psycopg://USER:PASSWORD@HOST:PORT/NAME"


def engine_of(url: str) -> Engine:
    """Connects to nothing yet. Raises StoreUnavailableError for a URL that cannot be understood."""
    try:
        return _engine(_understood(url))
    except (ArgumentError, ImportError, ValueError) as error:
        raise _not_understood(url) from error


def _understood(url: str) -> str:
    """The URL as this program's own drivers take it: PostgreSQL's is written in several ways. Raises
    StoreUnavailableError."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme in _POSTGRES and rest:
        return f"postgresql+psycopg://{rest}"
    if sqlite_file(url) is None:
        raise _not_understood(url)
    return url


def _not_understood(url: str) -> StoreUnavailableError:
    """Nothing but the scheme is quoted: the rest may hold a password."""
    scheme = url.partition("://")[0] if "://" in url else ""
    about = f"of kind {scheme[:20]!r} " if scheme else ""
    return StoreUnavailableError(f"the store's URL {about}is not understood", remedy=_URLS)


def sqlite_file(url: str) -> Path | None:
    prefix = "sqlite:///"
    path = url.removeprefix(prefix)
    return Path(path) if url.startswith(prefix) and path else None


def _engine(url: str) -> Engine:
    if sqlite_file(url) is not None:
        return _sqlite(url)
    seconds = int(TIMEOUT)
    options = f"-c statement_timeout={seconds}s -c lock_timeout={seconds}s -c timezone=UTC"
    options += f" -c tcp_user_timeout={seconds}s"
    options += "".join(f" -c tcp_keepalives_{name}={value}" for name, value in _SILENCE.items())
    arguments = {
        "connect_timeout": seconds,
        "options": f"{options} -c idle_in_transaction_session_timeout=60s",
        "application_name": "evacuate",
        "tcp_user_timeout": seconds * 1000,
        **{f"keepalives_{name}": value for name, value in _SILENCE.items()},
    }
    size = {"pool_size": POSTGRES_CONNECTIONS, "max_overflow": OVERFLOW}
    return create_engine(url, **_POOL, **size, pool_recycle=1800, connect_args=arguments)


def _sqlite(url: str) -> Engine:
    size = {"pool_size": SQLITE_CONNECTIONS, "max_overflow": 0}
    engine = create_engine(url, **_POOL, **size, connect_args=_SQLITE)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    # The driver's own BEGIN is off: a transaction that is going to write must say so at its start.
    connection.isolation_level = None
    safety = (f"busy_timeout={int(TIMEOUT * 1000)}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
    for pragma in (*safety, f"cache_size=-{SQLITE_PAGES_KIB}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
    try:
        # The driver's own call: a statement by way of the engine costs many times what BEGIN does.
        cast("sqlite3.Connection", connection.connection.driver_connection).execute(begin)
    except sqlite3.Error as error:
        raise DBAPIError.instance(begin, None, error, sqlite3.Error) from error
