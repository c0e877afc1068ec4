"""Two control workers, and one of them dies in the middle of every workflow: the other takes all of them over."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from embedded.processes import stack_processes
from evacuation.names import evacuate_instance_id
from evacuation.views import InstanceView
from services.runtime.stack_record import settings_for
from services.runtime.temporal import DATA_CONVERTER, connect
from tests.races.stage import STEPS, evacuate_all, fleet, holding, instances_of, nothing_is_broken
from tests.support.stack import Stack
from workflows.all import ALL
from workflows.engine.sandbox import RUNNER

HELD = tuple(step for step in STEPS if step not in ("check_request", "prepare_destination", "spawn_guest"))


def control_workers(stack: Stack) -> list[int]:
    found = stack_processes(Path(stack.environment["EVACUATE_STATE_DIR"]))
    return sorted(p.pid for p in found if is_control(p))


def is_control(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[-1:] == ["control"]
    except psutil.Error:
        return False


async def histories(instances: list[InstanceView]) -> list[WorkflowHistory]:
    client = await connect(settings_for())
    handles = [client.get_workflow_handle(evacuate_instance_id(each.id)) for each in instances]
    return list(await asyncio.gather(*(handle.fetch_history() for handle in handles)))


async def replay(found: list[WorkflowHistory]) -> None:
    replayer = Replayer(workflows=ALL, data_converter=DATA_CONVERTER, workflow_runner=RUNNER)
    for history in found:
        await replayer.replay_workflow(history)


def identities(history: WorkflowHistory) -> set[str]:
    """Of the workers that decided: completed workflow tasks."""
    tasks = [e.workflow_task_completed_event_attributes for e in history.events]
    return {task.identity for task in tasks if task.identity}


@pytest.mark.timeout(240)
def test_other_control_worker_takes_over_every_workflow_when_one_is_killed(stack: Any):
    """Each workflow is held at a step of its own; whoever decided on it until then is killed."""
    names = {f"vm-{number:02d}": step for number, step in enumerate(HELD)}
    faults = [holding(step, name, "delay 1s", "before") for name, step in names.items()]
    running: Stack = stack(fleet(names), faults, {"EVACUATE_CONTROL_WORKERS": "2"})
    running.until(lambda: len(control_workers(running)) == 2, "two control workers run")
    assert running.run("host kill cmp-1").code == 0
    arrived: list[str] = []

    async def kill_one(instance: InstanceView) -> None:
        """First when half of them are held, then when all have been: one worker each time."""
        arrived.append(instance.name)
        if len(arrived) in (len(names) // 2, len(names)):
            workers = control_workers(running)
            if len(workers) > 1:
                os.kill(workers[len(arrived) == len(names)], signal.SIGKILL)

    outcomes = evacuate_all(running, dict.fromkeys(names, kill_one))
    assert {name: o.outcome for name, o in outcomes.items()} == dict.fromkeys(names, "recovered"), outcomes
    with running.as_environment():
        found = asyncio.run(histories(list(instances_of(running).values())))
    assert any(len(identities(history)) > 1 for history in found), "no workflow was taken over"
    asyncio.run(replay(found))
    nothing_is_broken(running)
