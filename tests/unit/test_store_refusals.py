"""What a database refuses is told in words of the domain, and nothing of its library gets further."""

from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError, NoResultFound, ProgrammingError
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Session

from evacuation.errors import ObjectGoneError, StoreConflictError
from services.sql.database import Database, connect_database


@pytest.fixture
def database(tmp_path) -> Database:
    database = connect_database(f"sqlite:///{tmp_path / 'store.db'}")

    def create(session: Session) -> None:
        session.execute(text("CREATE TABLE volume (id INTEGER PRIMARY KEY, name TEXT UNIQUE)"))
        session.execute(text("CREATE TABLE attachment (volume_id INTEGER REFERENCES volume(id))"))
        session.execute(text("INSERT INTO volume VALUES (1, 'data')"))

    database.write(create)
    return database


def executes(statement: str) -> Callable[[Session], None]:
    def work(session: Session) -> None:
        session.execute(text(statement))

    return work


def raises(error: Exception) -> Callable[[Session], None]:
    def work(session: Session) -> None:
        raise error

    return work


def test_row_that_refers_to_nothing_is_an_object_that_is_gone(database: Database):
    with pytest.raises(ObjectGoneError, match="attachment: FOREIGN KEY") as caught:
        database.write(executes("INSERT INTO attachment VALUES (7)"))
    assert "evacuate check" in caught.value.remedy


def test_row_whose_place_is_taken_is_a_conflict_however_often_it_is_tried(database: Database):
    with pytest.raises(StoreConflictError, match="UNIQUE"):
        database.write(executes("INSERT INTO volume VALUES (2, 'data')"))


@pytest.mark.parametrize("error", [StaleDataError("the row is gone"), NoResultFound("no row")])
def test_row_that_was_there_a_moment_ago_is_gone(database: Database, error: Exception):
    with pytest.raises(ObjectGoneError):
        database.write(raises(error))


@pytest.mark.parametrize("kind", [ProgrammingError, DataError])
def test_refusal_quotes_neither_statement_nor_values(database: Database, kind: type[ProgrammingError | DataError]):
    with pytest.raises(StoreConflictError) as caught:
        database.write(raises(kind("UPDATE host SET name = :secret", {"secret": "s3cret"}, ValueError("too long"))))
    assert "host: too long" in caught.value.message and "s3cret" not in caught.value.line


def test_defect_of_the_program_stays_what_it_is(database: Database):
    with pytest.raises(KeyError):
        database.write(raises(KeyError("what")))
