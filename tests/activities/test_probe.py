"""What a host's own worker answers when it is asked what runs there."""

from temporalio.testing import ActivityEnvironment

from activities.probe import ProbeActivities
from evacuation.capabilities import HostLook, SeenDomain, SharedDirectory
from evacuation.messages import HostReport, ProbeRequest
from services.hypervisors.simulated.driver import SimulatedHypervisor
from tests.integration.hypervisors.worlds import spawn, spec

SEEN = SeenDomain(id="id-1", name="web", active=True, epoch=3, state="running", disks=("/shared/a",))
LOOK = HostLook(domains=(SEEN,), shared=(SharedDirectory(path="/shared", marker="m"),))


class Look:
    """The port `Looking`."""

    def look(self) -> HostLook:
        return LOOK


def asked(*, live: bool, look: Look | None) -> HostReport:
    hypervisor = SimulatedHypervisor("cmp-1")
    spawn(hypervisor, spec(1))
    probe = ProbeActivities(hypervisor, "cmp-1", lambda: True, looking=look)
    request = ProbeRequest(host="cmp-1", hypervisor_uuid=None, live=live)
    return ActivityEnvironment().run(probe.list_guests, request)


def test_host_tells_what_runs_and_on_which_disks_when_it_is_looked_at() -> None:
    answer = asked(live=True, look=Look())
    assert (answer.domains, answer.shared, answer.guests) == (LOOK.domains, LOOK.shared, ())


def test_host_tells_its_guests_when_that_is_all_it_can_see() -> None:
    answer = asked(live=True, look=None)
    assert answer.domains is None and [guest.epoch for guest in answer.guests] == [1]


def test_host_is_not_looked_at_when_its_guests_are_asked_for() -> None:
    answer = asked(live=False, look=Look())
    assert answer.domains is None and [guest.epoch for guest in answer.guests] == [1]
