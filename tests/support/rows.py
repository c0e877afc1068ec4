"""All that a store holds, taken once and put into others: to make a fleet takes longer than most tests of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Table, text

from services.sql.tables.columns import Row

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def rows_of(engine: Engine) -> Rows:
    with engine.connect() as connection:
        tables = Row.metadata.sorted_tables
        return {table.name: [dict(row._mapping) for row in connection.execute(table.select())] for table in tables}


def put_rows(engine: Engine, rows: Rows) -> None:
    """In the place of what is there."""
    tables = Row.metadata.sorted_tables
    with engine.begin() as connection:
        for table in reversed(tables):
            connection.execute(table.delete())
        for table in (table for table in tables if rows[table.name]):
            connection.execute(table.insert(), rows[table.name])
            _count_on(connection, table)


def _count_on(connection: Connection, table: Table) -> None:
    """What numbers its rows by itself goes on behind them."""
    counted = table.autoincrement_column
    if counted is not None and connection.dialect.name == "postgresql":
        last = f"SELECT max({counted.name}) FROM {table.name}"
        connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{table.name}', '{counted.name}'), ({last}))"))
