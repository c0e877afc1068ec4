"""How a database goes about the statements of a piece of work: collected while it works, explained afterwards."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, event

from services.sql import SqlServices
from services.sql.tables import Row

SMALL = {"loaded_fleet", "network", "server_group"}
"""However large the fleet, and however long the store is in use."""
GROWING = {table.name for table in Row.metadata.tables.values()} - SMALL
PARTIAL = {
    str(index.name)
    for table in Row.metadata.tables.values()
    for index in table.indexes
    if index.dialect_options["sqlite"]["where"] is not None
}
"""Of what is open, unproven, current, connected: few, however many there ever were."""


class Statements:
    """Of the store, from here on, each text once; `count` is how many were executed."""

    def __init__(self, services: SqlServices) -> None:
        self.count = 0
        self._engine = services.database._engine
        self._seen: dict[str, Any] = {}
        event.listen(self._engine, "before_cursor_execute", self._note)

    def forget(self) -> None:
        self.count = 0
        self._seen.clear()

    def _note(self, _: Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        self.count += 1
        if statement.split(maxsplit=1)[0] in ("SELECT", "UPDATE", "DELETE"):
            self._seen.setdefault(statement, parameters[0] if many else parameters)

    def scans(self) -> list[str]:
        """What reads a whole table that grows, and the statement."""
        event.remove(self._engine, "before_cursor_execute", self._note)
        explain = _ON[self._engine.dialect.name]
        with self._engine.connect() as connection:
            return [
                f"{each}: {text}" for text, values in self._seen.items() for each in explain(connection, text, values)
            ]


def _on_sqlite(connection: Connection, statement: str, parameters: Any) -> Iterator[str]:
    for *_, detail in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
        words = str(detail).split()
        if words[0] == "SCAN" and words[1] in GROWING and words[-1] not in PARTIAL:
            yield str(detail)


def _on_postgres(connection: Connection, statement: str, parameters: Any) -> Iterator[str]:
    """With sequential scans off, so that only what no index could serve is one, however few rows there are."""
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    found = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    plan: Any = json.loads(found) if isinstance(found, str) else found
    for node in _nodes(plan[0]["Plan"]):
        kind, table = node["Node Type"], node.get("Relation Name")
        whole = kind.endswith("Index Scan") or kind == "Index Only Scan"
        if table in GROWING and kind == "Seq Scan":
            yield f"{kind} on {table}"
        elif whole and "Index Cond" not in node and node["Index Name"] not in PARTIAL:
            yield f"{kind} of all of {node['Index Name']}"


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


_ON: dict[str, Callable[[Connection, str, Any], Iterator[str]]] = {"sqlite": _on_sqlite, "postgresql": _on_postgres}
