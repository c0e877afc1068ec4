"""What the database is to keep out by itself, and does not any more: constraints that are gone, references to nothing,
and values that nothing here can read."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    CompoundSelect,
    Dialect,
    Enum,
    Float,
    Integer,
    PrimaryKeyConstraint,
    Select,
    String,
    Table,
    Text,
    UniqueConstraint,
    cast,
    func,
    literal,
    select,
    text,
    type_coerce,
    union_all,
)
from sqlmodel import Session

from evacuation.invariants import SeenFlaw
from services.sql.tables import Row
from services.sql.tables.columns import Utc, Value

Unique = tuple[str, tuple[str, ...], str]
"""A table, its columns of which no two rows have the same values, and the rows to which that is confined."""

_UNIQUE = {
    "sqlite": text(
        """SELECT t.name, (SELECT group_concat(i.name) FROM pragma_index_info(x.name) i), d.sql
        FROM sqlite_master t JOIN pragma_index_list(t.name) x LEFT JOIN sqlite_master d ON d.name = x.name
        WHERE t.type = 'table' AND x."unique" """
    ),
    "postgresql": text(
        """SELECT t.relname, (SELECT string_agg(a.attname, ',') FROM pg_attribute a
            WHERE a.attrelid = x.indrelid AND a.attnum = ANY(x.indkey::int2[])),
            coalesce(' WHERE ' || pg_get_expr(x.indpred, x.indrelid), '')
        FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid
        WHERE x.indisunique AND x.indisvalid AND x.indimmediate AND pg_table_is_visible(t.oid)"""
    ),
}
_CAST = re.compile(r"::[a-z ]+")
_SPACE = re.compile(r"[()\s\"]")


def constraints_gone(session: Session) -> Iterator[SeenFlaw]:
    """What is to be unique, and is not kept so any more. An index that PostgreSQL did not build to its end keeps
    nothing out."""
    connection = session.connection()
    dialect = connection.dialect.name
    there = {
        (table, tuple(sorted(columns.split(","))), _condition(said))
        for table, columns, said in connection.execute(_UNIQUE[dialect])
        if columns
    }
    for name, wanted in _expected(dialect).items():
        if wanted not in there:
            yield SeenFlaw(table=wanted[0], what=name)


@cache
def _expected(dialect: str) -> dict[str, Unique]:
    """By name. SQLite keeps a primary key with the table, and can lose neither alone."""
    found: dict[str, Unique] = {}
    for table in Row.metadata.sorted_tables:
        kinds = (UniqueConstraint,) if dialect == "sqlite" else (UniqueConstraint, PrimaryKeyConstraint)
        for each in (each for each in table.constraints if isinstance(each, kinds)):
            found[str(each.name)] = (table.name, tuple(sorted(column.name for column in each.columns)), "")
        for index in (index for index in table.indexes if index.unique):
            where = index.dialect_options[dialect].get("where")
            condition = "" if where is None else f" WHERE {where}"
            columns = tuple(sorted(column.name for column in index.columns))
            found[str(index.name)] = (table.name, columns, _condition(condition))
    return found


def _condition(said: str | None) -> str:
    """Of a partial index, without what a database adds when it hands it out."""
    _, _, where = (said or "").partition(" WHERE ")
    return _SPACE.sub("", _CAST.sub("", where.lower().replace("<>", "!=")))


def references_to_nothing(session: Session) -> Iterator[SeenFlaw]:
    """SQLite keeps them out only for those who ask it to."""
    for table, what, row, value in session.connection().execute(_orphans()):
        yield SeenFlaw(table=table, what=f"{what} is {value}", row=row)


def unknown_words(session: Session) -> Iterator[SeenFlaw]:
    """Values of which reading makes an error, or another value."""
    dialect = session.connection().dialect
    for table, what, row, value in session.connection().execute(_strange(lax=dialect.name == "sqlite")):
        yield SeenFlaw(table=table, what=f"{what} is {value}", row=row)
    good: set[tuple[str, str, str]] = set()
    for table, what, row, value in session.connection().execute(_documents()):
        if (table, what, value) not in good and not _is_readable(table, what, value, dialect):
            yield SeenFlaw(table=table, what=f"{what} is {value[:40]}", row=row)
        else:
            good.add((table, what, value))


def _is_readable(table: str, column: str, value: str, dialect: Dialect) -> bool:
    kind = Row.metadata.tables[table].c[column].type
    assert isinstance(kind, Value)
    try:
        kind.process_result_value(json.loads(value), dialect)
    except (ValueError, TypeError):
        return False
    return True


Told = Select[str, str, str, str]
"""A table, what of it, the key of the row, and the value there."""


def _told(table: Table, what: str, value: ColumnElement[Any], *where: ColumnElement[bool]) -> Told:
    key = cast(literal(""), Text)
    for number, column in enumerate(table.primary_key):
        key = key + ("/" if number else "") + cast(column, Text)
    return select(literal(table.name), literal(what), key, cast(value, Text)).where(*where)


@cache
def _orphans() -> CompoundSelect[str, str, str, str]:
    found: list[Told] = []
    for table in Row.metadata.sorted_tables:
        for column in (column for column in table.columns if column.foreign_keys):
            (key,) = column.foreign_keys
            parent = key.column.table.alias("parent")
            is_there = select(1).select_from(parent).where(parent.c[key.column.name] == column).correlate(table)
            found.append(_told(table, column.name, column, column.is_not(None), ~is_there.exists()))
    return union_all(*found)


@cache
def _strange(*, lax: bool) -> CompoundSelect[str, str, str, str]:
    """Words that are none, and on SQLite, which takes any value into any column, whatever is of another type."""
    found = [
        _told(table, column.name, column, column.is_not(None), wrong)
        for table in Row.metadata.sorted_tables
        for column in table.columns
        if (wrong := _wrong(column, lax=lax)) is not None
    ]
    return union_all(*found)


def _wrong(column: Column[Any], *, lax: bool) -> ColumnElement[bool] | None:
    if isinstance(column.type, Enum):
        return type_coerce(column, String).not_in([str(word) for word in column.type.enums])
    if not lax:
        return None
    if isinstance(column.type, Boolean):
        return cast(column, Text).not_in(["0", "1"])
    if isinstance(column.type, Integer):
        return func.typeof(column) != "integer"
    if isinstance(column.type, Float):
        return func.typeof(column).not_in(["real", "integer"])
    if isinstance(column.type, Utc):
        return func.julianday(column).is_(None)
    return None


@cache
def _documents() -> CompoundSelect[str, str, str, str]:
    columns = ((table, column) for table in Row.metadata.sorted_tables for column in table.columns)
    found = (
        _told(table, each.name, each, each.is_not(None)) for table, each in columns if isinstance(each.type, Value)
    )
    return union_all(*found)
