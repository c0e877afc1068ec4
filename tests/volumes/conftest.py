"""These tests need qemu-storage-daemon, qemu-io and nbdinfo (Debian: qemu-system-common, qemu-utils, libnbd-bin)."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.volumes.ground import Ground, ground

PROGRAMS = ("qemu-storage-daemon", "qemu-io", "nbdinfo")


def require_programs() -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing and os.environ.get("EVACUATE_REQUIRE_VOLUMES"):
        pytest.fail(f"not installed: {', '.join(missing)}; see deploy/packages.sh")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture
def volumes() -> Iterator[Ground]:
    require_programs()
    # A unix socket's path is short, and pytest's directories are not.
    with TemporaryDirectory(prefix="evacuate-nbd-") as directory, ground(Path(directory)) as made:
        yield made
