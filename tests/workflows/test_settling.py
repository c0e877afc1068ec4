"""A destination of which nobody knows whether it runs the guest is asked before anything is done to it."""

from datetime import timedelta

import pytest

from tests.workflows.fakes import FakeCloud, Silence
from workflows.policies import HOST


@pytest.mark.parametrize("questions", [1, 2, 3])
async def test_silent_destination_is_fenced_only_when_it_was_asked_for_the_hold(run, questions: int):
    cloud = FakeCloud("cmp-2", "cmp-3")
    cloud.answers("spawn_guest", Silence())
    cloud.answers("settle_guest", *[Silence()] * 10)
    evacuation = (await run(cloud)).faster()
    hold = timedelta(seconds=HOST.start_to_close) * (questions - 0.5)
    evacuation.tuning = evacuation.tuning.model_copy(update={"hold": hold})
    assert (await evacuation.outcome()).outcome == "recovered"
    before = cloud.asked[: cloud.asked.index("fence_destination")]
    assert before.count("settle_guest@cmp-2") == questions
    assert cloud.asked.count("fence_destination") == 1
