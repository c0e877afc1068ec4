"""What is said of a host's power before it is needed."""

import pytest
from temporalio.testing import ActivityEnvironment

from activities.power_checks import PowerCheckActivities
from evacuation.messages import HostRef
from evacuation.model import PowerReading
from evacuation.ports import FencingDriver
from evacuation.power_check import PowerCheck, PowerLook, judged
from services.fencing import OperatorFencing
from tests.unit.test_fencing import UNREADABLE, DeadBmc, Power


def check(power: FencingDriver, *, answers: bool) -> PowerCheck:
    look = ActivityEnvironment().run(PowerCheckActivities(power).look_at_power, HostRef(host="cmp-1", incarnation=None))
    assert isinstance(look, PowerLook)
    return judged(look, answers=answers)


@pytest.mark.parametrize(
    ("on", "answers", "reading", "wrong"),
    [
        (True, True, PowerReading.ON, False),
        (True, False, PowerReading.ON, False),
        (False, False, PowerReading.OFF, False),
        (False, True, PowerReading.OFF, True),
    ],
)
def test_host_that_answers_must_read_on(on: bool, answers: bool, reading: PowerReading, wrong: bool):
    found = check(Power(on=on), answers=answers)
    assert (found.power, found.driver, found.notes) == (reading, "switch", ())
    assert (found.problem is not None) is wrong
    assert not wrong or "the power of cmp-1 reads off while its worker answers" in (found.problem or "")


def test_power_that_cannot_be_read_is_a_problem():
    found = check(DeadBmc(), answers=True)
    assert found.power is PowerReading.UNKNOWN and UNREADABLE in (found.problem or "")


def test_host_that_nothing_can_read_is_noted():
    found = check(OperatorFencing(), answers=True)
    assert found.problem is None and "a person's word has to prove it off" in found.notes[0]


def test_looking_orders_nothing():
    power = Power()
    check(power, answers=False)
    assert power.on
