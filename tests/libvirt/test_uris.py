"""Ways to a host's libvirt: what each says when it works, and in one line when it does not."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evacuation.errors import HypervisorUnableError
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.locality import Locality
from tests.libvirt.lab.lab import Lab, lab_of

REPOSITORY = Path(__file__).resolve().parents[2]
ASK = """
import sys
from evacuation.errors import EvacuateError
from services.runtime.exits import error_line, exit_code
from services.hypervisors.libvirt.connection import LibvirtConnection
try:
    print(LibvirtConnection(sys.argv[1], "t", timeout=float(sys.argv[2])).run("version"))
except EvacuateError as error:
    print(error_line(error))
    sys.exit(exit_code(error))
"""


@pytest.fixture(scope="module")
def remote(can_run: None) -> Iterator[Lab]:
    with lab_of("t", named=2, tls=True) as lab:
        yield lab


def ask(lab: Lab, uri: str, *, timeout: float = 10.0) -> tuple[int, str]:
    """From another machine: the lab's client."""
    command = ["ip", "netns", "exec", lab.fabric.namespace("cl"), sys.executable, "-c", ASK, uri, str(timeout)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout.strip()


def tls(lab: Lab, identity: str) -> str:
    return f"qemu+tls://{lab.hosts['t'].address}/system?pkipath={lab.pki}/{identity}"


def test_host_is_reached_by_tls_with_a_client_certificate(remote: Lab) -> None:
    code, said = ask(remote, tls(remote, "good"))
    assert (code, said.isdigit()) == (0, True)


@pytest.mark.parametrize("identity", ["anonymous", "stranger"])
def test_tls_is_refused_in_one_line_when_a_certificate_is_wrong(remote: Lab, identity: str) -> None:
    code, said = ask(remote, tls(remote, identity))
    assert code == 2
    assert said.startswith("error: libvirt refuses the connection")
    assert "certificates" in said
    assert "\n" not in said


def test_host_behind_a_dead_switch_is_given_up_in_time(remote: Lab) -> None:
    remote.hosts["t"].partition()
    try:
        code, said = ask(remote, remote.hosts["t"].tcp_uri, timeout=2.0)
    finally:
        remote.hosts["t"].heal()
    assert code != 0
    assert "did not come to an end in 2 s" in said or "does not answer" in said


def test_libvirt_on_this_kernel_is_told_from_one_behind_a_forwarded_socket(remote: Lab, tmp_path: Path) -> None:
    """All hosts of the lab share a kernel, and have host uuids of their own: another one is made up."""
    uri = remote.hosts["t"].uri
    connection = LibvirtConnection(uri, "t", timeout=10)
    assert connection.run("machine")["times"]["idle"] > 0
    Locality(uri, connection).require()
    other = tmp_path / "stat"
    other.write_text("cpu  1000000 0 1000000 1000000 0 0 0 0 0 0\n")
    with pytest.raises(HypervisorUnableError, match="not of this machine"):
        Locality(uri, connection, stat=other).require()
    connection.close()
