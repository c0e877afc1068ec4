"""A request is not refused for a copy that nobody has reported the end of: whoever was seen with it is asked again."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.elsewhere import Elsewhere
from activities.instance_state import InstanceStateActivities
from activities.power import PowerReader
from evacuation import messages as m
from evacuation.errors import InstanceMisplacedError
from evacuation.model import PowerState
from services.fencing import ProcessFencing
from tests.activities.world import LONG, World


class Copy:
    """Of web-01, on cmp-2: it is known there, and ends before anybody says so."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.runs = True
        self.asked = 0
        world.sql.hosts.record_look((world.instance_id,), self.find((), datetime.max))
        self.asked = 0

    def find(self, instances: Collection[str], since: datetime) -> Sequence[m.HostReport]:
        self.asked += 1
        copy = m.GuestState(instance_id=self.world.instance_id, epoch=1, power_state=PowerState.RUNNING)
        return (self.world.report("cmp-2").model_copy(update={"guests": (copy,) if self.runs else ()}),)

    def check(self) -> m.CheckedRequest:
        sql, fencing = self.world.sql, ProcessFencing(self.world.root)
        elsewhere = Elsewhere(sql.hosts.record_look, self, time_scale=0)
        power = PowerReader(sql.evidence, fencing)
        state = InstanceStateActivities(sql.store, fencing, power=power, elsewhere=elsewhere)
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, start_to_close_timeout=LONG)
        return environment.run(
            state.check_request, m.EvacuationRequest(request_id="r", instance_id=self.world.instance_id)
        )


def test_request_is_refused_only_while_the_copy_is_there(tmp_path: Path):
    copy = Copy(World.create(tmp_path))
    with pytest.raises(InstanceMisplacedError, match="cmp-2"):
        copy.check()
    copy.runs = False
    copy.check()
    assert copy.asked == 2, "once for each refusal"
    copy.check()
    assert copy.asked == 2, "what was not seen elsewhere is not asked for"
