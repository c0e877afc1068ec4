"""A disk that is not there, or not the one that it was: no host takes the guest, and nothing is made in its place."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from evacuation import messages as m
from evacuation.errors import DestinationUnableError
from evacuation.model import PowerState, RootDisk
from services.hypervisors.process import ProcessHypervisor
from services.hypervisors.process.making import make_disk, why_unusable
from tests.integration.hypervisors.worlds import INSTANCE, OTHER, ProcessWorld, eventually, spawn, spec

Damage = Callable[[Path], object]


def _to_nowhere(disk: Path) -> None:
    disk.unlink()
    disk.symlink_to(disk.parent / "elsewhere.disk")


def _to_another(disk: Path) -> None:
    disk.unlink()
    disk.symlink_to(disk.parent / f"{OTHER}.disk")


def _into_a_directory(disk: Path) -> None:
    disk.unlink()
    disk.mkdir()


def _into_a_pipe(disk: Path) -> None:
    disk.unlink()
    os.mkfifo(disk)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "gone": (Path.unlink, "is not there"),
    "empty": (lambda disk: os.truncate(disk, 0), "is empty"),
    "replaced by an empty one": (lambda disk: (disk.unlink(), disk.touch()), "is empty"),
    "a link to nowhere": (_to_nowhere, "is a symbolic link, not a file"),
    "a link to another's": (_to_another, "is a symbolic link, not a file"),
    "a directory": (_into_a_directory, "is a directory, not a file"),
    "a pipe": (_into_a_pipe, "is a special file, not a file"),
    "zeroes": (lambda disk: disk.write_bytes(bytes(100)), "is not one that a guest has written"),
    "another's": (lambda disk: make_disk(_without(disk), OTHER), f"is the one of {OTHER}"),
}


def _without(disk: Path) -> Path:
    disk.unlink()
    return disk


def prepare() -> m.PrepareDestination:
    about = m.HostCall(host="cmp-2", hypervisor_uuid=None, incarnation=None)
    return m.PrepareDestination(call=about, instance_id=INSTANCE, name="web-01", epoch=2, root_disk=RootDisk.SHARED)


def everything(processes: ProcessWorld) -> set[Path]:
    return set(processes.root.disks.iterdir())


@pytest.fixture
def lived(processes: ProcessWorld) -> ProcessWorld:
    """The instance has run on cmp-1, which is off."""
    spawn(processes.hypervisor("cmp-1"), spec(1))
    processes.host("cmp-1").power_off()
    return processes


@pytest.mark.parametrize(("damage", "why"), DAMAGES.values(), ids=DAMAGES)
def test_no_host_takes_the_guest_of_a_disk_that_is(damage: Damage, why: str, lived: ProcessWorld) -> None:
    damage(lived.root.disk(INSTANCE))
    hypervisor, before = lived.hypervisor("cmp-2"), everything(lived)
    for attempt in (lambda: hypervisor.prepare(prepare()), lambda: spawn(hypervisor, spec(2))):
        with pytest.raises(DestinationUnableError, match=f"the disk of web-01 {why}") as refused:
            attempt()
        assert refused.value.remedy
    assert hypervisor.inventory() == ()
    assert everything(lived) == before


def test_guest_that_is_only_to_be_defined_needs_its_disk_too(lived: ProcessWorld) -> None:
    lived.root.disk(INSTANCE).unlink()
    with pytest.raises(DestinationUnableError, match="is not there"):
        spawn(lived.hypervisor("cmp-2"), spec(2, power_state=PowerState.SHUTDOWN))
    assert lived.hypervisor("cmp-2").inventory() == ()


@pytest.mark.parametrize("damage", [Path.unlink, lambda disk: os.truncate(disk, 0)], ids=["gone", "empty"])
def test_disk_that_goes_after_the_driver_has_looked_is_not_made(damage: Damage, lived: ProcessWorld) -> None:
    disk, hypervisor = lived.root.disk(INSTANCE), lived.hypervisor("cmp-2")
    with pytest.raises(DestinationUnableError, match="the disk of web-01 is"):
        hypervisor.spawn(spec(2), last_look=lambda: damage(disk) and None, beat=lambda _: None)
    assert hypervisor.inventory() == ()
    assert why_unusable(disk, INSTANCE)


def test_disk_of_the_release_before_is_taken_as_it_is(lived: ProcessWorld) -> None:
    disk = lived.root.disk(INSTANCE)
    disk.write_bytes(disk.read_bytes().split(b"\n", 1)[1])
    assert why_unusable(disk, INSTANCE) is None
    spawn(lived.hypervisor("cmp-2"), spec(2))


def test_making_disks_leaves_what_is_there_and_makes_what_is_not(lived: ProcessWorld) -> None:
    used, fresh = lived.root.disk(INSTANCE), lived.root.disk(OTHER)
    written = used.read_bytes()
    os.truncate(fresh, 0)
    lived.root.make_disks([INSTANCE, OTHER, OTHER])
    assert used.read_bytes() == written
    assert why_unusable(fresh, OTHER) is None
    assert {path.suffix for path in everything(lived)} == {"", ".disk"}


def test_guest_goes_on_where_it_was_when_the_disk_is_restored(lived: ProcessWorld) -> None:
    disk = lived.root.disk(INSTANCE)
    kept = disk.rename(disk.with_suffix(".kept"))
    with pytest.raises(DestinationUnableError):
        spawn(lived.hypervisor("cmp-2"), spec(2))
    kept.rename(disk)
    spawn(ProcessHypervisor(lived.path, "cmp-2"), spec(2))
    eventually(lambda: lived.journal()[-1].epoch == 2)
