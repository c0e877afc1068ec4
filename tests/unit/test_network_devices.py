import socket
from pathlib import Path

import pytest

from services.hypervisors.libvirt.network_devices import network_devices


def test_devices_are_those_of_the_process_that_listens(tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        found = network_devices(f"qemu+unix:///system?socket={tmp_path / 'sock'}")
    assert found is not None and "lo" in found
    assert set(found) <= {name for _, name in socket.if_nameindex()}


@pytest.mark.parametrize("uri", ["qemu+tls://cmp-1/system", "test:///default", "qemu:///system?socket=/none/such.sock"])
def test_devices_are_unknown_when_nobody_listens_here(uri: str):
    assert network_devices(uri) is None
