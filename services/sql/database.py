"""Transactions: the one place where they are begun, retried and translated into errors of the domain."""

import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import (
    DatabaseError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoResultFound,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Session

from evacuation.errors import StoreBehindError, StoreUnavailableError
from evacuation.ledger import LedgerMark
from services.sql.engines import TIMEOUT, engine_of
from services.sql.ledger import position
from services.sql.ledger.witnesses import Witnesses
from services.sql.refused import is_dangling, refused

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = 8.0
"""Seconds during which a transaction that lost against another one is tried again."""

COLLISIONS = 3
_TRANSIENT_STATES = frozenset({"40001", "40P01", "55P03"})
_REMEDY = "check that the database runs and that the store's URL is right"


RETENTION = "retention"
"""Key of a session's `info`: how long the events of ended actions are kept; None or nothing: for ever."""


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
        event.listen(engine, "before_cursor_execute", position.watch)

    def serve(self, owner: str, witnesses: Witnesses) -> None:
        """Everything from here on is written for that owner, and compared with what is seen."""
        self._context |= {position.OWNER: owner, Witnesses: witnesses}

    def write(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises StoreUnavailableError, and whatever the work raises; then nothing was written."""
        return self._write(lambda session: work(session, *args, **kwargs), mark=False)[0]

    def write_marked(
        self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[T, LedgerMark]:
        """As `write`; with the ledger's mark, as this transaction leaves it."""
        result, mark = self._write(lambda session: work(session, *args, **kwargs), mark=True)
        assert mark is not None, "it was asked for"
        return result, mark

    def read(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """All that the work reads is from one moment. Raises StoreUnavailableError."""
        with self._doubts():
            return self._persistently(lambda: self._once(self._reading, lambda session: work(session, *args, **kwargs)))

    def run(self, work: Callable[[Connection], T]) -> T:
        """As `write`, on a bare connection. Raises StoreUnavailableError."""

        def transaction() -> T:
            with self._writing.begin() as connection:
                return work(connection)

        return self._persistently(transaction)

    def close(self) -> None:
        self._engine.dispose()

    def _write(self, work: Callable[[Session], T], *, mark: bool) -> tuple[T, LedgerMark | None]:
        def transaction(session: Session) -> tuple[T, LedgerMark | None]:
            return work(session), position.close(session, mark=mark)

        with self._doubts():
            result, left = self._persistently(lambda: self._once(self._writing, transaction))
        if self._witnesses is not None:
            self._witnesses.note("this control worker", left)
        return result, left

    @property
    def _witnesses(self) -> Witnesses | None:
        return cast("Witnesses | None", self._context.get(Witnesses))

    @contextmanager
    def _doubts(self) -> Generator[None]:
        """A sign that the ledger is not the one that was seen is kept, though the transaction is not."""
        try:
            yield
        except StoreBehindError as error:
            if error.witness is not None:
                witness = error.witness
                self._persistently(lambda: self._once(self._writing, lambda s: position.note_doubt(s, witness)))
            raise

    def _once(self, engine: Engine, work: Callable[[Session], T]) -> T:
        session = Session(engine, autoflush=True, expire_on_commit=False, info=self._context)
        session.info[position.SEEN] = self._witnesses.all() if self._witnesses is not None else ()
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
            except IntegrityError as error:
                # Another transaction wrote the same row first: the next try reads it.
                collisions += 1
                if collisions > COLLISIONS or is_dangling(error):
                    raise refused(error) from error
            except (StaleDataError, NoResultFound) as error:
                raise refused(error) from error
            except (DBAPIError, PoolTimeoutError) as error:
                if not _is_unavailability(error):
                    raise refused(error) from error
                if self._witnesses is not None and _is_lost(error):
                    self._witnesses.lose()
                if not _is_transient(error) or time.monotonic() + pause > give_up:
                    raise unavailable(error) from error
            time.sleep(pause)
            pause = min(pause * 2, 0.5)


def connect_database(url: str, context: Mapping[object, object] | None = None) -> Database:
    """Raises StoreUnavailableError for a URL that cannot be understood; connects to nothing yet."""
    return Database(engine_of(url), context)


def unavailable(error: Exception) -> StoreUnavailableError:
    cause = str(getattr(error, "orig", None) or error).strip().splitlines()
    return StoreUnavailableError(f"the state store does not answer ({cause[0] if cause else error})", remedy=_REMEDY)


_ONE_SNAPSHOT: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def _is_unavailability(error: Exception) -> bool:
    # The bare class stands for a file that is no database.
    return (
        type(error) is DatabaseError
        or isinstance(error, OperationalError | InterfaceError | PoolTimeoutError)
        or (isinstance(error, DBAPIError) and error.connection_invalidated)
    )


def _is_lost(error: Exception) -> bool:
    """The connection is: what answers to the next one may be another server."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _is_transient(error: Exception) -> bool:
    """Lost against another transaction, or on a connection that had died since it was last used."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _TRANSIENT_STATES:
        return True
    return "database is locked" in str(error.orig)
