"""The undoing of an attempt: shown while it goes on, and each part of it done until it holds."""

from temporalio.exceptions import ApplicationError

from evacuation.errors import SpawnFailedError, VolumeServiceError
from tests.workflows.conftest import Run
from tests.workflows.fakes import FakeCloud
from tests.workflows.test_endings import UNDO


def failing_cloud() -> FakeCloud:
    """The first spawn fails, and the next host takes the instance."""
    cloud = FakeCloud()
    cloud.answers("spawn_guest", *[SpawnFailedError("no memory")] * 2)
    return cloud


async def test_undoing_is_shown_while_it_goes_on(run):
    cloud = failing_cloud()
    cloud.answers("tear_down_network", *[ApplicationError("not now", type="Injected")] * 1000)
    evacuation: Run = await run(cloud)
    await evacuation.start()
    await evacuation.until("tear_down_network")
    assert (await evacuation.until_phase("undoing")).destination == "cmp-2"
    cloud.script["tear_down_network"].clear()


async def test_volumes_are_disconnected_on_a_host_that_answers_before_anything_is_taken_from_it(run):
    cloud = failing_cloud()
    cloud.answers("disconnect_volumes", *[VolumeServiceError("the client is stuck")] * 3)
    outcome = await (await run(cloud)).outcome()
    assert outcome.outcome == "recovered"
    first = cloud.asked.index("disconnect_volumes@cmp-2")
    assert cloud.asked[first : first + 7] == ["disconnect_volumes@cmp-2"] * 4 + UNDO


async def test_host_that_cannot_disconnect_for_the_hold_is_let_be(run):
    """Nothing runs there, and its attachments are deleted at the volume service next."""
    cloud = failing_cloud()
    cloud.answers("disconnect_volumes", *[VolumeServiceError("the client is stuck")] * 1000)
    outcome = await (await run(cloud)).faster().outcome()
    assert outcome.outcome == "recovered"
    tried = cloud.asked.count("disconnect_volumes@cmp-2")
    attempts = sum(each.host == "cmp-2" for each in outcome.attempts)
    assert 10 < tried <= 31 * attempts, "once a second, for the hold"
    last = len(cloud.asked) - cloud.asked[::-1].index("disconnect_volumes@cmp-2")
    assert cloud.asked[last : last + 3] == UNDO
