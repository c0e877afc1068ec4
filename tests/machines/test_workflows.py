"""The whole workflow under whatever may befall it, at every call: it ends, nothing leaks, one copy at a time."""

from collections.abc import Iterator

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.machines.budget import examples
from tests.machines.stage import Stage
from tests.machines.stores import Fresh
from tests.machines.workflow_machine import WorkflowMachine


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


@pytest.mark.timeout(0)
def test_evacuations_end_and_leave_nothing_whatever_befalls_them(store: Fresh, stage: Stage):
    machine = type("Machine", (WorkflowMachine,), {"fresh": staticmethod(store), "stage": stage})
    run_state_machine_as_test(machine, settings=examples(10, steps=8))
