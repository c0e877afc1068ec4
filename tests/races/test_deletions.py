"""An instance is deleted at each step of its evacuation, while that step is held there: nothing of it is left."""

from typing import Any

import pytest

from control.deletions import delete
from evacuation.views import InstanceView
from services.runtime.stack_record import settings_for
from services.runtime.temporal import connect
from tests.races.stage import STEPS, evacuate_all, fleet, holding, instances_of, nothing_is_broken
from tests.support.stack import Stack


async def delete_it(instance: InstanceView) -> None:
    settings = settings_for()
    await delete(await connect(settings), instance, settings.tuning)


def ends(step: str, at: str) -> set[tuple[str, str | None]]:
    """What is recovered in the store already is recovered, and then deleted like any other instance."""
    if (step, at) == ("finish_evacuation", "after"):
        return {("recovered", None)}
    return {("not_recovered", "InstanceDeletedError"), ("refused", "InstanceNotFoundError")}


def nothing_is_left(stack: Stack, names: list[str]) -> None:
    after = instances_of(stack)
    assert {after[name].vm_state for name in names} == {"deleted"}
    lists = {what: stack.run(f"{what} list --json").json for what in ("port", "allocation", "volume", "migration")}
    assert lists["port"] == lists["allocation"] == []
    assert {row["status"] for row in lists["volume"]} == {"available"}
    assert not [row for row in lists["volume"] if row["attachments"]]
    assert {row["status"] for row in lists["migration"]} <= {"failed", "done"}
    with stack.services() as services:
        assert not [row for row in services.views.evacuations() if row.open]
    stack.until(lambda: not stack.world().guests, "no guest of a deleted instance runs")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("at", "how"), [("before", "delay 1s"), ("before", "hang"), ("after", "hang")])
def test_nothing_is_left_of_an_instance_that_is_deleted_at_a_step(stack: Any, at: str, how: str):
    names = {f"vm-{number:02d}": step for number, step in enumerate(STEPS)}
    faults = [holding(step, name, how, at) for name, step in names.items()]
    running: Stack = stack(fleet(names), faults)
    assert running.run("host kill cmp-1").code == 0
    outcomes = evacuate_all(running, dict.fromkeys(names, delete_it))
    for name, step in names.items():
        assert (outcomes[name].outcome, outcomes[name].error_type) in ends(step, at), (step, outcomes[name])
    nothing_is_left(running, list(names))
    nothing_is_broken(running)
