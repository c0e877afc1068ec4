"""Guests that come up: once, with their disk and address, however often and from wherever it is asked."""

import subprocess
from pathlib import Path

import pytest

from evacuation import messages as m
from evacuation.errors import DestinationUnableError, NobodyWaitsError, SpawnFailedError, StaleEpochError
from evacuation.model import PowerState
from services.hypervisors.process.disk import breaches, runs
from tests.libvirt.lab import guests
from tests.libvirt.world import LabWorld

REPOSITORY = Path(__file__).resolve().parents[2]
RUNNING, SHUT_DOWN = PowerState.RUNNING, PowerState.SHUTDOWN


def test_spawn_brings_up_one_guest_when_repeated(world: LabWorld) -> None:
    assert world.spawn("a", 1) == world.spawn("a", 1)
    assert world.guests("a") == [(1, RUNNING)]
    assert len(world.host("a").guests()) == 1
    world.until_it_wrote("a")
    assert [(run.epoch, run.host) for run in runs(world.journal())] == [(1, "a")]
    assert breaches(world.journal()) == []


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_counter_and_address_go_on_when_the_guest_moves(world: LabWorld, kind: str) -> None:
    world.use_disk(kind)
    world.spawn("a", 1)
    world.until_it_wrote("a")
    world.until_it_answers()
    assert world.ports() == ["p-a"]
    world.host("a").power_off()
    assert not world.answers()
    world.spawn("b", 2)
    world.until_it_wrote("b")
    world.until_it_answers()
    assert world.ports() == ["p-b"]
    first, second = runs(world.journal())
    assert (first.epoch, first.host, second.epoch, second.host) == (1, "a", 2, "b")
    assert second.first.counter == first.last.counter + 1
    assert breaches(world.journal()) == []


@pytest.mark.parametrize("signal", ["agent", "serial", "none"])
def test_spawn_waits_for_the_signal_that_was_named(world: LabWorld, signal: str) -> None:
    beats: list[str] = []
    spec = world.spec("a", 1, signal=signal)
    world.driver("a").spawn(spec, last_look=lambda: None, beat=beats.append)
    up = bool(guests.console_lines(world.console("a"), guests.UP))
    assert up or signal == "none"
    waited = [beat for beat in beats if beat.startswith("waiting for") and "create" not in beat]
    assert bool(waited) is (signal != "none")


def test_spawn_waits_for_an_answered_ping_when_that_is_the_signal(world: LabWorld) -> None:
    """From where the guest's network is: the lab's client."""
    command = ["ip", "netns", "exec", world.lab.fabric.namespace("cl"), *world.command("a", 1, signal="ping")]
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=120)
    assert world.answers()
    assert world.guests("a") == [(1, RUNNING)]


def test_spawn_leaves_nothing_when_the_guest_boots_and_says_nothing(world: LabWorld) -> None:
    broken = world.spec("a", 1).definition.replace('line="GUEST-UP"', 'line="NEVER-SAID"')
    driver = type(world.driver("a"))(world.options("a", signal_timeout=2.0))
    with pytest.raises(SpawnFailedError, match="no sign of life"):
        driver.spawn(world.spec("a", 1, definition=broken), last_look=lambda: None, beat=lambda _: None)
    assert world.guests("a") == []
    assert world.host("a").guests() == []


def test_spawn_defines_and_never_boots_when_the_instance_is_to_be_stopped(world: LabWorld) -> None:
    world.spawn("a", 1, power_state=SHUT_DOWN)
    assert world.guests("a") == [(1, SHUT_DOWN)]
    assert world.journal() == []
    assert world.driver("a").settle(world.call("a", 1, SHUT_DOWN))


def test_spawn_leaves_nothing_when_nobody_waits_at_the_last_look(world: LabWorld) -> None:
    def nobody_waits() -> None:
        raise NobodyWaitsError("the activity is over")

    with pytest.raises(NobodyWaitsError):
        world.driver("a").spawn(world.spec("a", 1), last_look=nobody_waits, beat=lambda _: None)
    assert world.guests("a") == []
    assert world.journal() == []


def test_spawn_is_refused_with_cause_and_remedy_when_the_disk_is_missing(world: LabWorld) -> None:
    world.disk.unlink()
    with pytest.raises(DestinationUnableError, match="is not there") as caught:
        world.spawn("a", 1)
    assert "mount the storage" in caught.value.remedy
    assert world.guests("a") == []


def test_spawn_is_refused_with_cause_and_remedy_when_the_bridge_is_missing(world: LabWorld) -> None:
    nics = (m.Nic(port_id="port-1", network="lan", mac=world.mac, ip=world.ip, bridge="br9"),)
    with pytest.raises(DestinationUnableError, match="br9") as caught:
        world.spawn("a", 1, nics=nics)
    assert "bridge" in caught.value.remedy
    assert world.guests("a") == []


def test_spawn_is_refused_when_the_host_cannot_run_the_domain_type(world: LabWorld) -> None:
    with pytest.raises(DestinationUnableError):
        type(world.driver("a"))(world.options("a", machine="no-such-machine")).spawn(
            world.spec("a", 1), last_look=lambda: None, beat=lambda _: None
        )
    assert world.guests("a") == []


def test_destroy_leaves_no_way_back_and_keeps_the_disk(world: LabWorld) -> None:
    world.spawn("a", 1)
    world.until_it_wrote("a")
    world.driver("a").destroy(world.instance, 1)
    world.driver("a").destroy(world.instance, 1)
    assert world.guests("a") == []
    assert world.host("a").guests() == []
    with pytest.raises(StaleEpochError):
        world.spawn("a", 1)
    assert world.journal()


def test_pause_stops_the_writing_until_spawned_again(world: LabWorld) -> None:
    world.spawn("a", 1)
    world.until_it_wrote("a")
    world.driver("a").pause(world.instance, 1)
    assert world.driver("a").inventory()[0].paused
    before = world.journal()
    other = LabWorld(world.lab)
    other.spawn("b", 1)
    other.until_it_wrote("b")
    assert world.journal() == before
    assert world.spawn("a", 1).power_state is RUNNING
    world.until_it_wrote("a")
    assert breaches(world.journal()) == []


def test_settle_goes_forward_only_when_the_guest_is_up_as_wanted(world: LabWorld) -> None:
    world.spawn("a", 1)
    assert world.driver("a").settle(world.call("a", 1))
    assert not world.driver("a").settle(world.call("a", 1, SHUT_DOWN))
    assert world.guests("a") == []
