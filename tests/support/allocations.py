"""Every transaction of a store that writes an allocation, whoever wrote it and however: it must have the turn, and the
generation of each host that it touched must have grown."""

from typing import Any

from sqlalchemy import Connection, event

from services.sql import SqlServices

WRITES = ("insert into allocation", "update allocation", "delete from allocation")
TURN = ("select loaded_fleet.id", "insert into loaded_fleet")
ROWS = "SELECT host, id, consumer_id, vcpus, memory_mb, disk_gb FROM allocation"
GENERATIONS = "SELECT name, generation FROM host"


class Watch:
    """`seen`: transactions that changed allocations and were committed. One that breaks the rule is not: its commit
    raises AssertionError."""

    def __init__(self, services: SqlServices) -> None:
        self.seen = 0
        engine = services.database._engine
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)
        event.listen(engine, "commit", self._commit)
        event.listen(engine, "rollback", self._forget)

    def _before(self, connection: Connection, cursor: Any, statement: str, *_: object) -> None:
        """Who has no turn yet has none for what it writes now."""
        if _words(statement).startswith(WRITES) and self not in connection.info:
            connection.info[self] = (False, *self._look(connection))

    def _after(self, connection: Connection, cursor: Any, statement: str, *_: object) -> None:
        if _words(statement).startswith(TURN) and self not in connection.info:
            connection.info[self] = (True, *self._look(connection))

    def _commit(self, connection: Connection) -> None:
        if self not in connection.info:
            return
        has_turn, rows, generations = connection.info.pop(self)
        now, grown = self._look(connection)
        touched = {row[0] for row in rows ^ now}
        if touched:
            assert has_turn, f"allocations on {sorted(touched)} were written without the turn"
            # A host that somebody removed has no generation any more.
            kept = {host for host in touched & grown.keys() if grown[host] <= generations.get(host, -1)}
            assert not kept, f"allocations were written, and these hosts' generations stayed: {sorted(kept)}"
            self.seen += 1

    def _forget(self, connection: Connection) -> None:
        connection.info.pop(self, None)

    def _look(self, connection: Connection) -> tuple[set[tuple[Any, ...]], dict[str, int]]:
        cursor: Any = connection.connection.cursor()
        try:
            rows = {tuple(row) for row in cursor.execute(ROWS).fetchall()}
            return rows, {name: int(number) for name, number in cursor.execute(GENERATIONS).fetchall()}
        finally:
            cursor.close()


def _words(statement: str) -> str:
    return " ".join(statement[:80].lower().replace('"', "").split())
