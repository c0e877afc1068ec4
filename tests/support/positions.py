"""Finds a writer that changes what a restored backup must not repeat, and does not move the ledger's position."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine
from sqlmodel import Session

from services.sql.database import Database

FACTS = {
    "epochs": "SELECT id, last_epoch FROM instance ORDER BY id",
    "attempts": "SELECT evacuation_id, number, host, epoch FROM attempt ORDER BY 1, 2",
    "authorised starts and proofs": "SELECT instance_id, epoch, host, incarnation, CAST(proof AS VARCHAR(9999)) "
    "FROM residence ORDER BY 1, 2",
    "recorded starts": "SELECT id, power_state FROM instance ORDER BY id",
    "evidence": "SELECT id, host, incarnation, kind, scope, voided_at FROM evidence ORDER BY id",
    "boots": "SELECT name, incarnation FROM host ORDER BY name",
    "phases of evacuations": "SELECT id, phase, closed_at FROM evacuation ORDER BY id",
}
POSITION = "SELECT ledger, position FROM ledger"
Facts = dict[str, list[tuple[Any, ...]]]


class Positions:
    """Looks before and after each transaction of a database, used by one thread: what has changed, and whether the
    position has."""

    def __init__(self, database: Database) -> None:
        self.stood_still: list[str] = []
        self._engine = database._engine
        once, writing = database._once, database._writing

        def watched(engine: Engine, work: Callable[[Session], Any]) -> Any:
            if engine is not writing:
                return once(engine, work)
            before = self._look()
            result = once(engine, work)
            self._compare(before, self._look())
            return result

        database._once = watched

    def _compare(self, before: Facts, after: Facts) -> None:
        if before["position"] == after["position"]:
            self.stood_still += [what for what in FACTS if before[what] != after[what]]

    def _look(self) -> Facts:
        with self._engine.connect() as connection:
            asked = FACTS | {"position": POSITION}
            return {what: [tuple(row) for row in connection.exec_driver_sql(query)] for what, query in asked.items()}
