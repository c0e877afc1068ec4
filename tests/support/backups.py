"""A backup of a store, taken by SQL, and put back in its place."""

from sqlalchemy import Engine, delete, insert, select

from services.sql.tables import Row


class Backup:
    """Every row, as it was when this was made."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with engine.connect() as connection:
            tables = Row.metadata.sorted_tables
            self._rows = {each: [dict(row) for row in connection.execute(select(each)).mappings()] for each in tables}

    def restore(self) -> None:
        with self._engine.execution_options(writes=True).begin() as connection:
            for each in reversed(Row.metadata.sorted_tables):
                connection.execute(delete(each))
            for table, rows in self._rows.items():
                if rows:
                    connection.execute(insert(table), rows)
