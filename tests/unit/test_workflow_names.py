"""The names by which commands ask for workflows are those of the workflows."""

import pytest
from temporalio.workflow import _Definition

from evacuation import names
from workflows.all import ALL
from workflows.evacuate_instance import EvacuateInstance


@pytest.mark.parametrize(
    "name",
    [
        names.EVACUATE_INSTANCE,
        names.DELETE_INSTANCE,
        names.START_INSTANCE,
        names.STOP_INSTANCE,
        names.FOLLOW_INSTANCE,
    ],
)
def test_workflow_that_commands_ask_for_is_served(name: str):
    assert name in {_Definition.must_from_class(each).name for each in ALL}


def test_update_and_query_that_commands_send_are_the_evacuations():
    defined = _Definition.must_from_class(EvacuateInstance)
    assert names.REQUEST in defined.updates
    assert names.PROGRESS in defined.queries
