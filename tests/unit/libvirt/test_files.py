"""Files that a guest's disks are made of, and what they are based on."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from services.definitions.libvirt.definition import Disk, disk_files
from services.hypervisors.libvirt.files import MAGIC, why_unusable


def qcow2(path: Path, base: str = "") -> Path:
    """As much of an image as has the name of its base."""
    name = base.encode()
    path.write_bytes(MAGIC + struct.pack(">IQI", 3, 72 if name else 0, len(name)) + bytes(52) + name)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "base.raw").write_bytes(bytes(512))
    qcow2(tmp_path / "middle.qcow2", "base.raw")
    return tmp_path


def wrong(*images: Path) -> str | None:
    return why_unusable(map(str, images))


SOUND: dict[str, Callable[[Path], Path]] = {
    "a raw one": lambda at: at / "base.raw",
    "one that is based on nothing": lambda at: qcow2(at / "web.qcow2"),
    "one that is based on others": lambda at: qcow2(at / "web.qcow2", "middle.qcow2"),
    "one whose base is named in full": lambda at: qcow2(at / "web.qcow2", str(at / "middle.qcow2")),
    "one whose base is named as a file": lambda at: qcow2(at / "web.qcow2", f"file:{at / 'middle.qcow2'}"),
    "one that is based on a network volume": lambda at: qcow2(at / "web.qcow2", "nbd://storage/base"),
    "one whose base is described": lambda at: qcow2(at / "web.qcow2", 'json:{"driver": "nbd"}'),
    "one that is based on itself": lambda at: qcow2(at / "web.qcow2", "web.qcow2"),
}


@pytest.mark.parametrize("image", SOUND.values(), ids=SOUND)
def test_guest_can_be_started_on(image: Callable[[Path], Path], images: Path):
    assert wrong(image(images)) is None


def test_image_is_named_that_is_not_there_or_empty(images: Path):
    empty = images / "empty.raw"
    empty.touch()
    assert wrong(images / "base.raw", images / "none.raw") == f"{images}/none.raw is not there"
    assert wrong(empty) == f"{empty} is empty"
    assert wrong(images) == f"{images} is a directory"


def test_base_is_named_that_is_not_there_or_empty(images: Path):
    web = qcow2(images / "web.qcow2", "middle.qcow2")
    (images / "base.raw").unlink()
    assert wrong(web) == f"{images}/base.raw, which {web} is based on, is not there"
    (images / "base.raw").touch()
    assert wrong(web) == f"{images}/base.raw is empty"


def test_link_is_followed(images: Path):
    link = images / "link.raw"
    link.symlink_to("base.raw")
    assert wrong(link) is None
    (images / "base.raw").unlink()
    assert wrong(link) == f"{link} is not there"


def test_only_files_that_a_guest_cannot_do_without_are_looked_at():
    disks = (
        Disk(target="vda", type="file", path="/a"),
        Disk(target="vdb", type="block", path="/dev/b"),
        Disk(target="sda", type="file", device="cdrom", path="/iso"),
        Disk(target="vdc", type="file", path="/c", optional=True),
        Disk(target="vdd", type="network", network="nbd:d"),
        Disk(target="vde", type="dir", path="/e"),
    )
    assert disk_files(disks) == ("/a", "/dev/b")
