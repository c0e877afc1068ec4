"""A guest whose disk is a network volume: found by its attachment, and lost with it."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evacuation import messages as m
from evacuation.errors import AttachmentLostError, DestinationUnableError
from evacuation.model import RootDisk
from services.hypervisors.process.disk import breaches, runs
from tests.libvirt.lab.fabric import NETWORK, STORAGE
from tests.libvirt.lab.shell import until
from tests.libvirt.world import LabWorld

SERVER, PORT = f"{NETWORK}.{STORAGE}", 10809


@contextmanager
def exported(world: LabWorld, attachment: str, disk: Path) -> Iterator[None]:
    """The volume server, with this one attachment."""
    inside = ["ip", "netns", "exec", world.lab.fabric.namespace("st")]
    options = ["-x", attachment, "-f", "raw", "-b", SERVER, "-p", str(PORT), "--persistent", "--shared=0"]
    server = subprocess.Popen([*inside, "qemu-nbd", *options, str(disk)], stdin=subprocess.DEVNULL)
    listening = [*inside, "ss", "-Hltn", f"sport = :{PORT}"]
    try:
        until(lambda: subprocess.run(listening, capture_output=True, check=False).stdout, "the volume server listens")
        yield
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


def attached(world: LabWorld, attachment: str) -> dict[str, object]:
    world.disk_xml = ""
    target = m.VolumeTarget(host=SERVER, port=PORT)
    disk = m.GuestDisk(volume_id="volume-1", device="vda", attachment_id=attachment, target=target)
    return {"disks": (disk,), "root_disk": RootDisk.VOLUME}


def test_guest_goes_on_from_its_volume_when_it_moves(world: LabWorld) -> None:
    with exported(world, "attachment-1", world.disk):
        world.spawn("a", 1, **attached(world, "attachment-1"))
        world.until_it_wrote("a")
        world.host("a").power_off()
    with exported(world, "attachment-2", world.disk):
        world.spawn("b", 2, **attached(world, "attachment-2"))
        world.until_it_wrote("b")
        world.driver("b").destroy(world.instance, 2)
    assert [(run.epoch, run.host) for run in runs(world.journal())] == [(1, "a"), (2, "b")]
    assert breaches(world.journal()) == []


def test_spawn_says_so_when_its_attachment_is_gone(world: LabWorld) -> None:
    with exported(world, "attachment-1", world.disk), pytest.raises(AttachmentLostError):
        world.spawn("b", 2, **attached(world, "attachment-2"))
    assert world.guests("b") == []


def test_spawn_is_refused_when_nobody_answers_at_the_volume_server(world: LabWorld) -> None:
    with pytest.raises(DestinationUnableError) as caught:
        world.spawn("b", 2, **attached(world, "attachment-1"))
    assert "volume server" in caught.value.remedy
    assert world.guests("b") == []
