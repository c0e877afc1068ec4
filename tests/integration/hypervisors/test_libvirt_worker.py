"""A libvirt host's worker that cannot work says so in one line, and changes nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


def worker(tmp_path: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVACUATE_")} | {
        "EVACUATE_HYPERVISOR": "libvirt",
        "EVACUATE_STATE_DIR": str(tmp_path / "state"),
        "EVACUATE_HOST_STATE_DIR": str(tmp_path / "host"),
        "EVACUATE_TEMPORAL_ADDRESS": "127.0.0.1:1",
    }
    return subprocess.run(
        [sys.executable, "worker.py", "host", "--host", "cmp-1"],
        cwd=REPOSITORY,
        env=environment | settings,
        capture_output=True,
        text=True,
        timeout=50,
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"EVACUATE_LIBVIRT_URI": "vbox:///session"}, "is no URI of a libvirt"),
        ({"EVACUATE_LIBVIRT_URI": "an-alias-of-libvirt.conf"}, "is no URI of a libvirt"),
        ({"EVACUATE_LIBVIRT_URI": "qemu+tls://192.0.2.1/system"}, "is the libvirt of 192.0.2.1, not of this machine"),
        (
            {"EVACUATE_LIBVIRT_URI": "qemu+ssh://root@cmp-9.invalid/system", "EVACUATE_HYPERVISOR_UUID": "known"},
            "is the libvirt of cmp-9.invalid, not of this machine",
        ),
        ({"EVACUATE_HOST_STATE_DIR": "/proc/evacuate"}, "/proc/evacuate/cmp-1 cannot be made"),
        ({"EVACUATE_LIBVIRT_SIGNAL": "smoke"}, "EVACUATE_LIBVIRT_SIGNAL"),
        ({"EVACUATE_LIBVIRT_BRIDGES": "br0"}, "EVACUATE_LIBVIRT_BRIDGES"),
    ],
)
def test_worker_refuses_in_one_line_when_its_settings_are_wrong(
    tmp_path: Path, settings: dict[str, str], says: str
) -> None:
    done = worker(tmp_path, **settings)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1
