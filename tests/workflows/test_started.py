"""A guest whose start is known only goes forward, whoever takes its evacuation over, and whatever that one asks for."""

from collections.abc import Iterator

import pytest

from evacuation import messages as m
from evacuation.errors import InstanceDeletedError
from evacuation.messages import AttemptPhase
from tests.workflows.fakes import FakeCloud
from tests.workflows.test_endings import UNDO, left


@pytest.fixture
def cloud() -> Iterator[FakeCloud]:
    cloud = FakeCloud()
    cloud.adopts = m.OpenEvacuation(evacuation_id="evacuation-0", owner="run-0")
    cloud.authorized = True
    yield cloud


async def test_adopted_start_is_finished_though_its_destination_does_not_answer(run, cloud: FakeCloud):
    cloud.left = left(AttemptPhase.STARTED)
    outcome = await (await run(cloud, silent=frozenset({"cmp-2"}))).faster().outcome()
    assert (outcome.outcome, outcome.destination) == ("recovered", "cmp-2")
    assert cloud.asked == ["check_request", "begin_evacuation", "finish_evacuation"]


async def test_adopted_start_is_undone_when_the_instance_is_deleted(run, cloud: FakeCloud):
    cloud.left = left(AttemptPhase.STARTED)
    cloud.answers("finish_evacuation", InstanceDeletedError("web-01 was deleted"))
    outcome = await (await run(cloud)).outcome()
    assert outcome.error_type == "InstanceDeletedError"
    assert cloud.asked[2:] == [
        "finish_evacuation",
        "call_off_attempt",
        "destroy_guest@cmp-2",
        "record_guest_gone",
        "disconnect_volumes@cmp-2",
        *UNDO,
        "abandon_evacuation",
    ]


@pytest.mark.parametrize("phase", [AttemptPhase.AUTHORIZED, AttemptPhase.STARTED])
async def test_guest_that_runs_is_taken_forward_as_it_was_begun_by_a_request_that_names_another_state(
    run, cloud: FakeCloud, phase: AttemptPhase
):
    cloud.left = left(phase)
    cloud.answers("settle_guest", m.Settled(forward=True, incarnation="boot-1"))
    cloud.answering = {"cmp-2"}
    await (await run(cloud)).outcome(target_state="stopped")
    assert [each.power_state for each in cloud.messages["settle_guest"]] in ([], ["running"])
    [finish] = cloud.messages["finish_evacuation"]
    assert (finish.vm_state, finish.power_state) == ("active", "running")
    assert cloud.asked[-5:] == [
        "plan_in_place",
        "destroy_guest@cmp-2",
        "authorize_in_place",
        "spawn_guest@cmp-2",
        "record_in_place",
    ], "it is stopped afterwards"
    assert cloud.messages["record_in_place"][0].vm_state == "stopped"


async def test_recovery_says_so_when_the_guest_cannot_be_stopped_afterwards(run, cloud: FakeCloud):
    cloud.left = left(AttemptPhase.STARTED)
    outcome = await (await run(cloud)).outcome(target_state="stopped")
    assert outcome.outcome == "recovered" and "evacuate instance stop web-01" in (outcome.reason or "")
    assert "destroy_guest@cmp-2" not in cloud.asked
