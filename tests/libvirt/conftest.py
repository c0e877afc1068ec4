"""Every test here runs real guests (QEMU, emulated) on real libvirtds: one lab for all, three hosts on one switch."""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.libvirt.lab.lab import Lab, lab_of
from tests.libvirt.world import LabWorld

HERE = Path(__file__).parent
PROGRAMS = ("libvirtd", "qemu-system-x86_64", "qemu-img", "busybox", "cpio", "ip", "nsenter", "unshare")


def missing() -> str | None:
    """What keeps these tests from running here."""
    if os.geteuid() != 0:
        return "the lab needs root"
    programs = [each for each in PROGRAMS if shutil.which(each) is None]
    if programs:
        return f"not installed: {', '.join(programs)}"
    return None if find_spec("libvirt") else "libvirt-python is not installed"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.libvirt)
            item.add_marker(pytest.mark.timeout(180))
            item.add_marker(pytest.mark.xdist_group("libvirt"))


@pytest.fixture(scope="session")
def can_run() -> None:
    """They take minutes, memory and root: only who asks for them gets them."""
    if not os.environ.get("EVACUATE_REQUIRE_LIBVIRT"):
        pytest.skip("real guests: make test-libvirt")
    why = missing()
    if why:
        pytest.fail(f"{why}; see deploy/packages.sh")


@pytest.fixture(scope="session")
def lab(can_run: None) -> Iterator[Lab]:
    with lab_of("a", "b", "c") as running:
        yield running


@pytest.fixture
def world(lab: Lab) -> Iterator[LabWorld]:
    """Every host on and healthy, with no domain; and so again afterwards."""
    world = LabWorld(lab)
    try:
        yield world
    finally:
        world.clear()
