"""Statements on rows that are executed where they are written, past the session's unit of work.

What a step of an evacuation changes is known to it; the unit of work finds it out again for every row, by comparing,
sorting and reading back. A row object that is changed here stays true to its row."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast

from sqlalchemy import CursorResult, Executable, Insert, Table, Update, bindparam, insert, update
from sqlalchemy.orm import class_mapper
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Session

from services.sql.tables import Row

R = TypeVar("R", bound=Row)
_KEY = "key_"


def execute(session: Session, statement: Executable, **values: object) -> CursorResult[*tuple[Any, ...]]:
    """Plain tuples, and no objects; what the session holds back is written first."""
    session.flush()
    return session.connection().execute(statement, values)


def add(session: Session, row: R) -> R:
    """Insert the row. The session does not follow it."""
    table = table_of(type(row))
    values = {name: value for name, value in vars(row).items() if name in table.columns and value is not None}
    execute(session, _insert(table), **values)
    return row


def add_all(session: Session, kind: type[Row], rows: Sequence[Mapping[str, object]]) -> None:
    if rows:
        session.flush()
        session.connection().execute(_insert(table_of(kind)), rows)


def add_rows(session: Session, rows: Sequence[Row]) -> None:
    """As `add`, all of one table by one statement. What is None is NULL, not the column's default."""
    if rows:
        columns = table_of(type(rows[0])).columns
        values = [{name: value for name, value in vars(row).items() if name in columns} for row in rows]
        add_all(session, type(rows[0]), values)


def change(session: Session, row: Row, **values: object) -> None:
    """Update what differs."""
    new = {name: value for name, value in values.items() if getattr(row, name) != value}
    if not new:
        return
    key = {column.name: getattr(row, column.name) for column in table_of(type(row)).primary_key}
    if not write(session, type(row), key, **new):
        raise StaleDataError(f"the row {key} of {type(row).__name__} is gone")
    for name, value in new.items():
        set_committed_value(row, name, value)


def write(session: Session, kind: type[Row], key: Mapping[str, object], **values: object) -> bool:
    """Update the row with that primary key, without reading it. Whether there is one."""
    named = {_KEY + name: value for name, value in key.items()}
    return execute(session, _update(table_of(kind)), **named, **values).rowcount == 1


def table_of(kind: type[Row]) -> Table:
    return cast("Table", class_mapper(kind).local_table)


@cache
def _insert(table: Table) -> Insert:
    return insert(table)


@cache
def _update(table: Table) -> Update:
    return update(table).where(*(column == bindparam(_KEY + column.name) for column in table.primary_key))
