"""Two hosts and one disk: what stops the second guest, and what does not."""

import signal
from collections.abc import Iterator

import pytest

from evacuation.errors import DiskLockedError
from evacuation.model import PowerState
from services.hypervisors.process.disk import breaches, interleaved, runs
from tests.libvirt.lab import guests
from tests.libvirt.lab.shell import until
from tests.libvirt.world import LabWorld


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_second_guest_is_refused_by_the_write_lock_when_the_source_lives_on(world: LabWorld, kind: str) -> None:
    """The source's libvirtd is dead and answers as that of a dead host does; its QEMU and the guest live on."""
    world.use_disk(kind)
    world.spawn("a", 1)
    world.host("a").signal_libvirtd(signal.SIGKILL)
    world.until_it_wrote("a")
    with pytest.raises(DiskLockedError) as caught:
        world.spawn("b", 2)
    assert not caught.value.retryable
    assert world.guests("b") == []
    world.until_it_wrote("a")
    assert breaches(world.journal()) == []
    world.host("a").power_off()
    world.spawn("b", 2)
    world.until_it_wrote("b")
    assert [(run.epoch, run.host) for run in runs(world.journal())] == [(1, "a"), (2, "b")]
    assert breaches(world.journal()) == []


def test_stale_definition_is_gone_when_the_source_is_back_and_its_instance_was_evacuated(world: LabWorld) -> None:
    world.spawn("a", 1)
    world.host("a").power_off()
    world.spawn("b", 2)
    world.host("a").power_on()
    assert world.guests("a") == [(1, PowerState.SHUTDOWN)]
    world.driver("a").destroy(world.instance, 1)
    assert world.guests("a") == []
    assert world.host("a").run("virsh", "-q", "list", "--all", "--name").strip() == ""
    assert world.guests("b") == [(2, PowerState.RUNNING)]
    world.until_it_wrote("b")


@pytest.fixture
def san(world: LabWorld) -> Iterator[LabWorld]:
    """One LUN that both hosts see as a block device of their own at the same path: no lock of one reaches the other."""
    lun = world.lab.directory / "lun"
    # Whoever looks from outside of the hosts finds this, and it must not look like a disk that was lost.
    lun.write_bytes(b"a block device, on the hosts")
    for name in ("a", "b"):
        world.host(name).run("mount", "--bind", world.lab.loop_device(world.disk), str(lun))
    world.disk_xml = guests.block_disk(str(lun))
    try:
        yield world
    finally:
        for name in ("a", "b"):
            world.host(name).power_off()
        world.lab.drop_loop_devices()


def test_two_guests_write_to_a_san_disk_when_nothing_fences_the_source(san: LabWorld) -> None:
    """The honest case: no lock, no error anywhere, and the data is gone. It is what fencing is for."""
    san.spawn("a", 1)
    san.until_it_wrote("a")
    san.host("a").signal_libvirtd(signal.SIGKILL)
    san.spawn("b", 2)
    san.until_it_wrote("b", 4)
    san.until_it_wrote("a", 4)
    until(lambda: interleaved(san.journal()), "two guests wrote to one disk")


def test_one_guest_writes_to_a_san_disk_when_the_source_was_fenced_first(san: LabWorld) -> None:
    san.spawn("a", 1)
    san.until_it_wrote("a")
    san.host("a").signal_libvirtd(signal.SIGKILL)
    san.until_it_wrote("a")
    san.host("a").power_off()
    san.spawn("b", 2)
    san.until_it_wrote("b", 4)
    assert [(run.epoch, run.host) for run in runs(san.journal())] == [(1, "a"), (2, "b")]
    assert breaches(san.journal()) == []
