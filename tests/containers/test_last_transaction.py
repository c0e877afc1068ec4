"""PostgreSQL is cut off while the transactions that end evacuations are under way, their writes made."""

import time

from tests.containers.plant import HERD, Plant

LOCK = "BEGIN; SELECT id FROM migration FOR UPDATE; SELECT pg_sleep(600)"
LOCKING = "FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'"
WAITING = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ '^(UPDATE migration|SELECT loaded_fleet)'"
"""One for the migrations, and behind it the others for the turn that it has."""


def psql(statement: str) -> list[str]:
    return ["psql", "--username", "evacuate", "--no-align", "--tuples-only", "--command", statement, "evacuate"]


def seen(plant: Plant, what: str) -> int:
    """How many sessions of the server are like that. Asked inside its container, which needs no network."""
    return int(plant.machinery.execute("postgres", *psql(f"SELECT count(*) {what}")))


def test_evacuations_recover_when_postgresql_is_cut_off_in_the_last_transaction(plant: Plant) -> None:
    """It comes back under another address: the sessions that it had can neither go on nor end, and their locks are in
    the way of every other try."""
    to, machinery = plant.to, plant.machinery
    plant.begin_and_hold(to)
    machinery.execute_detached("postgres", *psql(LOCK))
    plant.until(lambda: seen(plant, LOCKING) == 1, "the migrations are locked")
    plant.faults()
    plant.until(lambda: seen(plant, WAITING) == len(HERD), "the last transactions wait")

    machinery.cut("postgres")
    machinery.execute("postgres", *psql(f"SELECT pg_terminate_backend(pid) {LOCKING}"))
    time.sleep(2)
    machinery.join_elsewhere("postgres")

    plant.verify_recovered(to)
