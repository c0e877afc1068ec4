"""An evacuation, a start and a stop of one instance exclude each other, and whoever is refused is told by what."""

import asyncio

import pytest

from embedded.state import StateDir
from evacuation.messages import Done, InPlaceInput
from evacuation.names import CONTROL_QUEUE, evacuate_instance_id
from services.runtime.stack_record import settings_for
from services.runtime.temporal import connect
from tests.cli.conftest import called
from tests.cli.interference import NAME, begin, instance


async def start_one() -> None:
    client, row = await connect(settings_for()), instance()
    await client.start_workflow(
        "StartInstance",
        InPlaceInput(instance_id=row.id, name=row.name),
        id=evacuate_instance_id(row.id),
        task_queue=CONTROL_QUEUE,
        result_type=Done,
    )


@pytest.mark.parametrize("command", ["evacuate", "evacuate --join", "stop", "moved"])
def test_command_is_refused_while_a_start_runs(unserved: StateDir, command: str) -> None:
    asyncio.run(start_one())
    verb, *options = command.split()
    answer = called("instance", verb, NAME, *options)
    assert answer.code == 2 and "a start of it is running already: workflow evacuate-instance/" in answer.err, answer


def test_start_is_no_evacuation_to_be_cancelled(unserved: StateDir) -> None:
    asyncio.run(start_one())
    answer = called("instance", "cancel", NAME)
    assert answer.code == 2 and "no evacuation of web-01 is running" in answer.err, answer


def test_start_is_refused_while_an_evacuation_runs(unserved: StateDir) -> None:
    asyncio.run(begin())
    answer = called("instance", "start", NAME, "--json")
    assert (answer.code, answer.json["error_type"]) == (2, "EvacuationRunningError"), answer
    assert set(answer.json) == {"error_type", "message", "remedy", "hosts"}


@pytest.mark.parametrize("verb", ["start", "moved"])
def test_command_about_an_instance_that_nobody_knows_is_refused(unserved: StateDir, verb: str) -> None:
    answer = called("instance", verb, "nobody", "--json")
    assert (answer.code, answer.json["error_type"]) == (2, "InstanceNotFoundError"), answer
    assert len(answer.err.strip().splitlines()) == 1
