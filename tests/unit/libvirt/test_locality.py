"""A host's worker speaks for its host: the libvirt that it drives is this machine's."""

import socket
from pathlib import Path
from typing import Any

import pytest

from evacuation.errors import HypervisorUnableError, HypervisorUnavailableError
from services.hypervisors.libvirt.api import LibvirtError
from services.hypervisors.libvirt.locality import Locality, require_local

STAT = "cpu  {user} 100 400 {idle} 50 3 4 0 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 1\n"
UUID = "4c4c4544-0044-4b10-8052-b4c04f4e3433"
OTHER = "9a9a9a9a-0044-4b10-8052-b4c04f4e3433"
SECOND = 10**9


@pytest.mark.parametrize(
    "uri",
    [
        "qemu:///system",
        "qemu:///session",
        "qemu+unix:///system?socket=/run/libvirt/libvirt-sock",
        "qemu+tcp:///system",
        "qemu+tcp://localhost/system",
        "qemu+tls://127.0.0.1:16514/system?pkipath=/etc/pki",
        "qemu+ssh://root@[::1]/system",
        f"qemu+libssh2://{socket.gethostname()}/system",
        "test:///default",
    ],
)
def test_uri_of_this_machine_is_taken(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"localhost": "127.0.0.1", socket.gethostname(): "127.0.1.1"}
    resolve = socket.getaddrinfo

    def known(name: str, *more: Any, **given: Any) -> Any:
        return resolve(own.get(name, name), *more, **given)

    monkeypatch.setattr(socket, "getaddrinfo", known)
    require_local(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "qemu+ssh://root@192.0.2.1/system",
        "qemu+tls://192.0.2.1/system?pkipath=/etc/pki",
        "qemu+tcp://192.0.2.1:16509/system",
        "qemu+libssh://192.0.2.1/system",
        "qemu+libssh2://192.0.2.1:22/system",
        "qemu://192.0.2.1/system",
        "qemu+unix://192.0.2.1/system?socket=/run/sock",
        "qemu+tls://[2001:db8::1]/system",
        "QEMU+SSH://192.0.2.1/system",
        "test+tcp://192.0.2.1/default",
    ],
)
def test_uri_of_another_machine_is_refused_with_the_way_out(uri: str) -> None:
    with pytest.raises(HypervisorUnableError, match=r"of (192\.0\.2\.1|2001:db8::1), not of this") as caught:
        require_local(uri)
    assert "on that host" in caught.value.remedy


def test_uri_whose_host_nobody_knows_is_refused() -> None:
    with pytest.raises(HypervisorUnableError, match=r"cmp-9\.invalid"):
        require_local("qemu+ssh://cmp-9.invalid/system")


def test_uri_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(HypervisorUnableError):
        require_local("qemu+tcp://[::1/system")


class Libvirt:
    """What a socket of this machine leads to."""

    def __init__(self, said: object) -> None:
        self.said = said
        self.asked = 0

    def reading(self, what: str, *_: object) -> Any:
        assert what == "machine"
        self.asked += 1
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def machine(*, user: int = 1000, idle: int = 5000, uuid: str | None = OTHER) -> dict[str, Any]:
    """`user`, `idle`: in ticks of a hundredth of a second, as /proc/stat counts."""
    ticks = {"user": user + 100, "kernel": 407, "idle": idle, "iowait": 50}
    capabilities = f"<capabilities><host><uuid>{uuid}</uuid></host></capabilities>" if uuid else "<capabilities/>"
    times = {name: each * SECOND // 100 for name, each in ticks.items()}
    return {"hostname": "cmp-9", "times": times, "capabilities": capabilities}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """This machine's own counters and firmware."""
    (tmp_path / "stat").write_text(STAT.format(user=1000, idle=5000))
    (tmp_path / "product_uuid").write_text(f"{UUID.upper()}\n")
    return tmp_path


def locality(here: Path, said: object, uri: str = "qemu+unix:///system?socket=/tmp/sock") -> Locality:
    connection: Any = Libvirt(said)
    return Locality(uri, connection, stat=here / "stat", uuids=(here / "product_uuid", here / "no-machine-id"))


def test_libvirt_on_this_kernel_is_taken_whatever_it_calls_itself(here: Path) -> None:
    """Host uuids are set by hand, and a container has a name of its own: this kernel's counters are the witness."""
    locality(here, machine()).require()
    locality(here, machine(user=1100, idle=5400)).require()


@pytest.mark.parametrize("other", [machine(idle=900_000), machine(user=90_000), machine(idle=0, uuid=None)])
def test_libvirt_behind_a_forwarded_socket_is_refused(here: Path, other: dict[str, Any]) -> None:
    with pytest.raises(HypervisorUnableError, match="cmp-9, not of this machine") as caught:
        locality(here, other).require()
    assert "on that host" in caught.value.remedy


def test_libvirt_with_the_uuid_of_this_machine_is_taken_where_counters_are_another_view(here: Path) -> None:
    locality(here, machine(idle=900_000, uuid=UUID)).require()


@pytest.mark.parametrize("stat", ["", "cpu  0 0 0 0 0 0 0 0 0 0\n", None])
def test_machine_without_counters_has_nothing_to_compare(here: Path, stat: str | None) -> None:
    (here / "stat").unlink() if stat is None else (here / "stat").write_text(stat)
    locality(here, machine(idle=900_000)).require()


def test_libvirt_that_has_no_counters_is_taken(here: Path) -> None:
    locality(here, machine() | {"times": None}).require()


def test_libvirt_is_asked_once(here: Path) -> None:
    found = locality(here, machine())
    found.require()
    found.require()
    assert found._connection.asked == 1  # type: ignore[attr-defined]  # the fake


@pytest.mark.parametrize("silent", [HypervisorUnavailableError("silent"), LibvirtError(38, 7, "lost")])
def test_libvirt_that_was_silent_is_asked_again(here: Path, silent: Exception) -> None:
    """A host whose libvirtd hangs says who it is all the same."""
    found = locality(here, silent)
    found.require_if_it_answers()
    found.require_if_it_answers()
    assert found._connection.asked == 1  # type: ignore[attr-defined]  # the fake
    found._connection.said = machine(idle=900_000)  # type: ignore[attr-defined]  # the fake
    with pytest.raises(HypervisorUnableError):
        found.require()


def test_libvirt_in_this_very_process_is_not_asked(here: Path) -> None:
    locality(here, machine(idle=900_000), "test:///default").require()
