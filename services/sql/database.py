"""Transactions: the one place where databases are opened, retried and translated into errors of the domain."""

import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

from evacuation.errors import StoreUnavailableError

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds until a connect, a statement, a lock or a place in the pool is given up."""

PATIENCE = 8.0
"""Seconds during which a transaction that lost against another one is tried again."""

COLLISIONS = 3
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
_TRANSIENT_STATES = frozenset({"40001", "40P01", "55P03"})
_REMEDY = "check that the database runs and that the store's URL is right"


class Database:
    """`write` and `read` run a function of a session in one transaction, repeated when it lost against another:
    the function must have no effect but on its session."""

    def __init__(self, engine: Engine, context: Mapping[object, object] | None = None) -> None:
        """`context` is every session's `info`: the rules of this store."""
        self._engine = engine
        self._context = dict(context or {})
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._writing: Engine = engine.execution_options(writes=True)
        self._reading: Engine = engine if self._is_sqlite else engine.execution_options(**_ONE_SNAPSHOT)
        # SQLite has one writer: threads of this process queue here instead of polling its file lock.
        self._writer = threading.Lock()

    def write(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises StoreUnavailableError, and whatever the work raises; then nothing was written."""
        return self._persistently(lambda: self._once(self._writing, lambda session: work(session, *args, **kwargs)))

    def read(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """All that the work reads is from one moment. Raises StoreUnavailableError."""
        return self._persistently(lambda: self._once(self._reading, lambda session: work(session, *args, **kwargs)))

    def run(self, work: Callable[[Connection], T]) -> T:
        """As `write`, on a bare connection. Raises StoreUnavailableError."""

        def transaction() -> T:
            with self._writing.begin() as connection:
                return work(connection)

        return self._persistently(transaction)

    def close(self) -> None:
        self._engine.dispose()

    def _once(self, engine: Engine, work: Callable[[Session], T]) -> T:
        session = Session(engine, autoflush=True, expire_on_commit=False, info=self._context)
        with self._turn(engine), session, session.begin():
            return work(session)

    @contextmanager
    def _turn(self, engine: Engine) -> Generator[None]:
        if engine is not self._writing or not self._is_sqlite:
            yield
            return
        if not self._writer.acquire(timeout=TIMEOUT):
            raise StoreUnavailableError("the state store is busy", remedy="try again")
        try:
            yield
        finally:
            self._writer.release()

    def _persistently(self, transaction: Callable[[], T]) -> T:
        give_up, pause, collisions = time.monotonic() + PATIENCE, 0.01, 0
        while True:
            try:
                return transaction()
            except IntegrityError:
                # Another transaction wrote the same row first: the next try reads it.
                collisions += 1
                if collisions > COLLISIONS:
                    raise
            except (DBAPIError, PoolTimeoutError) as error:
                if not _is_unavailability(error):
                    raise
                if not _is_transient(error) or time.monotonic() + pause > give_up:
                    raise unavailable(error) from error
            time.sleep(pause)
            pause = min(pause * 2, 0.5)


def connect_database(url: str, context: Mapping[object, object] | None = None) -> Database:
    """Raises StoreUnavailableError for a URL that cannot be understood; connects to nothing yet."""
    try:
        return Database(_engine(url), context)
    except (ArgumentError, ImportError, ValueError) as error:
        raise StoreUnavailableError("the store's URL is not understood", remedy=_REMEDY) from error


def sqlite_file(url: str) -> Path | None:
    prefix = "sqlite:///"
    return Path(url.removeprefix(prefix)) if url.startswith(prefix) else None


def unavailable(error: Exception) -> StoreUnavailableError:
    cause = str(getattr(error, "orig", None) or error).strip().splitlines()
    return StoreUnavailableError(f"the state store does not answer ({cause[0] if cause else error})", remedy=_REMEDY)


_ONE_SNAPSHOT: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


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


def _is_unavailability(error: Exception) -> bool:
    # The bare class stands for a file that is no database.
    return (
        type(error) is DatabaseError
        or isinstance(error, OperationalError | InterfaceError | PoolTimeoutError)
        or (isinstance(error, DBAPIError) and error.connection_invalidated)
    )


def _is_transient(error: Exception) -> bool:
    """Lost against another transaction, or on a connection that had died since it was last used."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _TRANSIENT_STATES:
        return True
    return "database is locked" in str(error.orig)
