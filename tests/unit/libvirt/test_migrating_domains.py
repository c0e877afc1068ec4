"""Guests that somebody migrates while their hosts are read for an adoption."""

import pytest

from evacuation.errors import NotAdoptableError
from evacuation.model import PowerState, VmState
from services.hypervisors.libvirt.adoptable import adopted_host
from services.hypervisors.libvirt.survey import SurveyedDomain
from tests.unit.libvirt.test_large_definitions import survey
from tests.unit.libvirt.world import INSTANCE, STORED


def domain(state: int, reason: int) -> SurveyedDomain:
    return SurveyedDomain(id=INSTANCE, name="web", state=state, reason=reason, active=True, definition=STORED)


@pytest.mark.parametrize("reason", [2, 12, 13])
def test_guest_that_is_being_migrated_is_not_adopted(reason: int) -> None:
    """Neither host has it for good: it may run on either."""
    with pytest.raises(NotAdoptableError, match="domain web cannot be adopted: it is being migrated") as caught:
        adopted_host(survey(domain(3, reason)), name=None)
    assert "adopt again" in caught.value.remedy and "--skip" in caught.value.remedy
    assert not adopted_host(survey(domain(3, reason)), name=None, skip=("web",)).instances


def test_guest_that_an_io_error_stopped_is_wanted_active() -> None:
    """Nobody paused it, and it would come back elsewhere."""
    (found,) = adopted_host(survey(domain(3, 5)), name=None).instances
    assert (found.vm_state, found.power_state) == (VmState.ACTIVE, PowerState.RUNNING)
