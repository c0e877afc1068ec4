"""Guests that libvirt has as active and that do not go on, and what an operator did to them before."""

from pathlib import Path

import pytest

from evacuation.errors import DiskLockedError, SpawnFailedError
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.report import guests_of
from services.hypervisors.libvirt.survey import survey_of
from services.hypervisors.process.disk import breaches, runs
from tests.libvirt.lab import guests
from tests.libvirt.lab.host import LabHost
from tests.libvirt.lab.shell import until
from tests.libvirt.world import LabWorld

PANIC = "o /b 0x505 1"
"""What a guest's kernel writes to its panic device."""


def reported(host: LabHost) -> str:
    """The definition of its one guest, as its worker would tell it."""
    (told,), _ = guests_of(survey_of(LibvirtConnection(host.uri, host.name, timeout=10), "qemu", host=host.name))
    return told.stored.definition or ""


def state(world: LabWorld, host: str) -> str:
    return world.host(host).run("virsh", "domstate", "--reason", world.name).strip()


def test_crashed_transient_guest_goes_on_elsewhere_from_its_overlay_and_not_from_its_base(world: LabWorld) -> None:
    """It was never defined, got a snapshot, was defined from a file of yesterday, panicked, and is preserved."""
    world.use_disk("qcow2")
    host, stored, overlay = world.host("a"), world.lab.directory / "stored.xml", world.disk.with_suffix(".s1")
    text = world.spec("a", 1).definition or ""
    text = text.replace("<on_crash>destroy", "<on_crash>preserve").replace(
        "<memballoon", "<panic model='isa'/><memballoon"
    )
    stored.write_text(text)
    host.run("virsh", "-q", "create", str(stored))
    world.until_it_wrote("a")
    world.spawn("a", 1)
    assert world.guests("a")[0][0] == 1, "it has its mark, and was not started again"
    host.run("virsh", "-q", "snapshot-create-as", world.name, "s1", "--disk-only", "--no-metadata")
    host.run("virsh", "-q", "define", str(stored))
    world.until_it_wrote("a")
    host.run("virsh", "qemu-monitor-command", world.name, "--hmp", PANIC)
    until(lambda: state(world, "a") == "crashed (panicked)", "it crashed")

    (told,) = world.driver("a").inventory()
    assert told.paused
    definition = reported(host)
    assert str(overlay) in definition and str(world.disk) not in definition
    moved = definition.replace("host=a epoch=1", "host=b epoch=2").replace(".a.console", ".b.console")
    with pytest.raises(DiskLockedError):
        world.spawn("b", 2, definition=moved)
    world.driver("a").destroy(world.instance, 1)
    assert host.guests() == []
    world.spawn("b", 2, definition=moved)
    world.until_it_wrote("b")
    journal = guests.journal(overlay, "qcow2")
    first, second = runs(journal)
    assert (first.host, second.host) == ("a", "b")
    assert second.first.counter == first.last.counter + 1 and breaches(journal) == []


def test_guest_without_room_on_its_disk_is_named_and_goes_on_when_there_is_some(world: LabWorld) -> None:
    full = FullDisk(world)
    world.disk_xml = guests.file_disk(str(full.disk))
    world.spawn("a", 1)
    world.until_it_wrote("a")
    full.fill()
    until(lambda: state(world, "a") == "paused (I/O error)", "it is stopped", within=30)
    pids = world.host("a").guests()
    with pytest.raises(SpawnFailedError, match="paused by an I/O error") as caught:
        world.spawn("a", 1)
    assert "make room" in caught.value.remedy
    full.make_room()
    world.spawn("a", 1)
    world.until_it_wrote("a")
    assert world.host("a").guests() == pids, "nothing of its memory was thrown away"


class FullDisk:
    """A disk on a file system of host a, which has room for little."""

    def __init__(self, world: LabWorld) -> None:
        self._host, self._directory = world.host("a"), world.lab.shared / f"small-{world.name}"
        self.disk = self._directory / "disk.raw"
        self._directory.mkdir()
        # As the driver sees it, from outside of the host.
        self.disk.write_bytes(bytes(512))
        self._host.run("mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(self._directory))
        self._host.run("qemu-img", "create", "-q", "-f", "raw", str(self.disk), "8M")

    @property
    def _ballast(self) -> Path:
        return self._directory / "ballast"

    def fill(self) -> None:
        self._host.run("sh", "-c", f"dd if=/dev/zero of={self._ballast} bs=4k 2>/dev/null || true")

    def make_room(self) -> None:
        self._host.run("rm", str(self._ballast))
