"""Statements past the unit of work: objects stay true, a row that is gone is told, and waiting calls see what was
written meanwhile."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete
from sqlmodel import Session

from evacuation import messages as m
from evacuation.errors import ObjectGoneError
from services.sql.database import Database, connect_database
from services.sql.ledger.begin import begin
from services.sql.rows import lock_host, lock_instance
from services.sql.statements import change, execute, table_of, write
from services.sql.tables import HostRow, LoadedFleet
from tests.integration.sql.world import World


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = connect_database(url)
    yield opened
    opened.close()


def test_change_writes_what_differs_and_keeps_the_object_true(world: World, database: Database) -> None:
    def disable(session: Session) -> bool:
        host = lock_host(session, "cmp-1")
        change(session, host, enabled=False, position=host.position)
        return host.enabled or bool(session.dirty)

    assert database.write(disable) is False
    assert (world.host("cmp-1").enabled, world.host("cmp-2").enabled) == (False, True)


def test_change_is_told_when_the_row_is_gone(world: World, database: Database) -> None:
    def change_deleted(session: Session) -> None:
        loaded = session.get_one(LoadedFleet, 1)
        execute(session, delete(table_of(LoadedFleet)))
        change(session, loaded, id=2)

    with pytest.raises(ObjectGoneError, match="LoadedFleet is gone"):
        database.write(change_deleted)
    assert database.read(lambda session: session.get(LoadedFleet, 1)) is not None


def test_write_says_whether_there_is_such_a_row(world: World, database: Database) -> None:
    def disable(session: Session, name: str) -> bool:
        return write(session, HostRow, {"name": name}, enabled=False)

    assert [database.write(disable, name) for name in ("cmp-1", "cmp-9")] == [True, False]


def test_call_finds_the_evacuation_that_was_begun_while_it_waited(world: World, database: Database) -> None:
    evacuation = world.evacuation()
    locked, called = threading.Event(), threading.Event()
    message = m.Begin(
        ref=evacuation.ref,
        instance=evacuation.facts.instance,
        source_incarnation=evacuation.facts.source_incarnation,
        adopts=None,
        request_id="request-1",
    )

    def begin_slowly(session: Session) -> None:
        lock_instance(session, evacuation.ref.instance_id)
        locked.set()
        assert called.wait(10)
        time.sleep(0.3)
        begin(session, message)

    def claim() -> m.Destination:
        assert locked.wait(10)
        called.set()
        return evacuation.claim()

    with ThreadPoolExecutor() as pool:
        begun, claimed = pool.submit(database.write, begin_slowly), pool.submit(claim)
        begun.result()
        assert claimed.result().host in ("cmp-2", "cmp-3")
