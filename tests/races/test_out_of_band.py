"""An operator edits an instance behind the evacuation's back, at each of its steps: it ends all the same, and in the
terms in which evacuations end; what the instance holds agrees with where it is."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from types import MappingProxyType
from typing import Any

import pytest

from evacuation.views import InstanceView
from services.runtime.stack_record import settings_for
from tests.races.stage import evacuate_all, fleet, holding, instances_of, nothing_is_broken
from tests.support.stack import Stack

STEPS = (
    "claim_capacity",
    "record_preparation",
    "set_up_network",
    "detach_volumes",
    "set_up_block_devices",
    "connect_volumes",
    "authorize_spawn",
    "spawn_guest",
    "finish_evacuation",
)
EDITS: Mapping[str, str] = MappingProxyType(
    {
        "ports-moved": "UPDATE port_binding SET host = 'cmp-1' WHERE active AND port_id IN "
        "(SELECT id FROM port WHERE instance_id = '{id}') AND NOT EXISTS "
        "(SELECT 1 FROM port_binding o WHERE o.port_id = port_binding.port_id AND o.host = 'cmp-1')",
        "ports-unbound": "DELETE FROM port_binding WHERE port_id IN (SELECT id FROM port WHERE instance_id = '{id}')",
        "attachment-deleted": "DELETE FROM attachment WHERE instance_id = '{id}'; "
        "UPDATE volume SET status = 'available' WHERE name = '{name}-data'",
        "volume-unmapped": "DELETE FROM attachment WHERE instance_id = '{id}'; DELETE FROM block_device WHERE "
        "instance_id = '{id}'; UPDATE volume SET status = 'available' WHERE name = '{name}-data'",
        "task-state-cleared": "UPDATE instance SET task_state = NULL WHERE id = '{id}'",
        "task-state-set": "UPDATE instance SET task_state = 'powering-off' WHERE id = '{id}'",
    }
)
ENDINGS = {
    ("recovered", "active"),
    ("not_recovered", "error"),
    ("not_recovered", "active"),
}
"""Outcome and vm_state: how an instance in vm_state active can end (docs/design.md#how-an-evacuation-ends)."""


def edit_while_in_flight(store: str, instance_id: str, statements: str) -> bool:
    """All statements in one transaction, or none: what is edited after the end is not the evacuation's any more."""
    with closing(sqlite3.connect(store, timeout=20, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        is_open = "SELECT 1 FROM evacuation WHERE instance_id = ? AND phase != 'closed'"
        found = connection.execute(is_open, (instance_id,)).fetchone() is not None
        for statement in statements.split("; ") if found else ():
            connection.execute(statement)
        connection.execute("COMMIT")
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("at", ["before", "after"])
def test_evacuation_ends_as_the_table_says_when_an_operator_edits_in_the_middle(stack: Any, at: str):
    steps = STEPS if at == "before" else STEPS[:-1]
    cells = {f"vm-{n}-{edit}": (step, edit) for n, step in enumerate(steps) for edit in EDITS}
    faults = [holding(step, name, "delay 1s", at) for name, (step, _) in cells.items()]
    running: Stack = stack(fleet(cells), faults)
    assert running.run("host kill cmp-1").code == 0

    with running.as_environment():
        store = settings_for().store_url.removeprefix("sqlite:///")
    late: list[str] = []

    async def edit(instance: InstanceView) -> None:
        statements = EDITS[cells[instance.name][1]].format(id=instance.id, name=instance.name)
        if not await asyncio.to_thread(edit_while_in_flight, store, instance.id, statements):
            late.append(instance.name)

    outcomes = evacuate_all(running, dict.fromkeys(cells, edit))
    assert len(late) < len(cells) / 4, f"too late to be in the middle: {late}"
    after = instances_of(running)
    for name, cell in cells.items():
        row = after[name]
        assert (outcomes[name].outcome, row.vm_state) in ENDINGS, (cell, outcomes[name], row)
        assert row.task_state is None, (cell, row)
        assert row.host == (outcomes[name].destination or "cmp-1"), (cell, outcomes[name], row)
        if outcomes[name].outcome == "not_recovered":
            assert outcomes[name].reason, (cell, outcomes[name])
    nothing_is_broken(running)
    runs = {running.world().name(guest.instance_id) for guest in running.world().guests}
    assert runs == {name for name, outcome in outcomes.items() if outcome.outcome == "recovered"}
