"""power_state is what runs: of a guest that is proven gone it is nostate, whatever was recorded last."""

from datetime import UTC, datetime, timedelta

import pytest

from evacuation import messages as m
from tests.integration.sql.world import World, evidence

NAMES = ("web-01", "web-02", "db-01", "web-03")
AT_HOME = ("running", "running", "shutdown", "running")
CMP_1_OFF = ("nostate", "nostate", "nostate", "running")


def powers(world: World) -> tuple[str, ...]:
    return tuple(world.instance(name).power_state for name in NAMES)


@pytest.mark.parametrize("kind", ["power-off", "operator"])
def test_guests_of_a_host_that_is_proven_off_have_no_power_state(world: World, kind: str) -> None:
    assert powers(world) == AT_HOME
    world.services.evidence.record_evidence(evidence(kind=kind))
    assert powers(world) == CMP_1_OFF


def test_guests_of_a_host_that_was_cut_have_no_power_state_and_it_is_not_up(world: World) -> None:
    """Whoever ordered the cut, and before anybody evacuates."""
    request = m.FenceRequest(host="cmp-1", incarnation="boot-1", instance_id="")
    until = datetime.now(UTC) + timedelta(minutes=1)
    world.services.evidence.begin_cut(request, "somebody", until)
    assert (world.host("cmp-1").state, powers(world)) == ("down", AT_HOME)
    world.services.evidence.end_cut("cmp-1", "somebody", (evidence(),), until)
    shown = world.host("cmp-1")
    assert (shown.state, shown.fenced, powers(world)) == ("down", True, CMP_1_OFF)


def test_power_state_is_what_was_recorded_when_the_evidence_is_voided(world: World) -> None:
    world.fence()
    world.services.evidence.void_evidence("cmp-1", "boot-1", "its own worker answered")
    assert powers(world) == AT_HOME


def test_evidence_about_another_boot_says_nothing(world: World) -> None:
    world.services.evidence.record_evidence(evidence(incarnation="boot-0"))
    assert powers(world) == AT_HOME


def test_guests_of_the_boot_before_have_no_power_state_until_each_is_started(world: World) -> None:
    plan = world.services.hosts.register(world.report("cmp-1", "boot-2"))
    assert powers(world) == CMP_1_OFF
    world.start(plan.start[0], "cmp-1", "boot-2")
    assert powers(world) == ("running", "nostate", "nostate", "running")
    first = m.HostGuest(host="cmp-1", incarnation="boot-2", instance_id=plan.start[1].instance_id, epoch=1)
    world.services.hosts.authorize_start(first)
    assert powers(world) == ("running", "nostate", "nostate", "running"), "authorised, and not known to run"


def test_instance_has_no_power_state_from_the_proof_on_until_its_start_is_recorded(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    epoch = evacuation.to_authorized().epoch
    assert powers(world)[0] == "nostate"
    evacuation.finish(epoch=epoch)
    assert powers(world) == ("running", "nostate", "nostate", "running")


def test_instance_keeps_no_power_state_when_its_guest_is_gone_from_the_destination_too(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    world.services.evidence.void_evidence("cmp-1", "boot-1", "it came back")
    assert powers(world)[0] == "nostate", "the proof that was written stands"
    evacuation.guest_gone()
    evacuation.tear_down()
    evacuation.abandon(error=True)
    assert powers(world) == ("nostate", "running", "shutdown", "running")


def test_destroyed_leftover_has_no_power_state(world: World) -> None:
    guest = m.HostGuest(host="cmp-2", incarnation="boot-1", instance_id=world.id_of("web-03"), epoch=1)
    world.services.hosts.record_destroyed(guest)
    assert powers(world)[3] == "nostate"
