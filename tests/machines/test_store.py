"""The store keeps its promises whatever comes in which order: on SQLite, on PostgreSQL, and when operators err."""

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.machines.budget import examples
from tests.machines.store_machine import StoreMachine
from tests.machines.stores import Fresh

COUNT = {"sqlite": 25, "postgres": 10}


def machine(fresh: Fresh, *, lies: bool = False) -> type[StoreMachine]:
    return type("Machine", (StoreMachine,), {"fresh": staticmethod(fresh), "lies": lies})


@pytest.mark.timeout(0)
@pytest.mark.parametrize("lies", [False, True], ids=["all-say-what-is", "operators-err"])
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_store_keeps_its_promises_when_calls_die_or_come_late(
    request: pytest.FixtureRequest, database: str, lies: bool
):
    fresh = request.getfixturevalue(f"{database}_store")
    run_state_machine_as_test(machine(fresh, lies=lies), settings=examples(COUNT[database], steps=40))


def test_an_instance_whose_deletion_nobody_finished_is_not_missed_when_its_host_boots(sqlite_store: Fresh):
    one = machine(sqlite_store)()
    try:
        host = next(row.host for row in one.services.views.instances() if row.name == "web")
        assert host is not None
        one.delete(name="web", fuse=1)
        one.kill_host(host=host)
        one.return_host(host=host, fuse=None)
        one.nothing_is_broken()
    finally:
        one.teardown()
