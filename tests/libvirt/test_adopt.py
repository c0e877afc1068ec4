"""`evacuate fleet adopt` over libvirt's test driver: what it writes, and what it refuses."""

import json
from pathlib import Path

import pytest

from services.hypervisors.libvirt import adopting
from services.sql import migrate
from tests.cli.conftest import Command, evacuate, state

pytest.importorskip("libvirt", reason="libvirt-python is not installed: make test-libvirt")

__all__ = ["evacuate", "state"]

HOST = """<node><cpu><mhz>2400</mhz><sockets>2</sockets><cores>8</cores><threads>2</threads><active>32</active></cpu>
<memory>67108864</memory>{domains}</node>"""
DOMAIN = """<domain type="test"><name>{name}</name><uuid>6f2c1d3a-0b8e-4d5f-9a61-{number:012}</uuid>
<memory unit="MiB">1024</memory><vcpu>2</vcpu><os><type>hvm</type></os><devices>
<disk type="file" device="disk"><source file="{disk}"/><target dev="vda"/></disk>
<interface type="bridge"><mac address="52:54:00:00:00:{number:02}"/><source bridge="br0"/></interface>
</devices></domain>"""


def domain(number: int, name: str | None = None, disk: str = "/srv/vms/disk.raw") -> str:
    return DOMAIN.format(number=number, name=name or f"web-{number}", disk=disk)


@pytest.fixture
def uris(tmp_path: Path):
    """Makes a host of these domains, and gives its URI."""
    made = []

    def uri(*domains: str) -> str:
        path = tmp_path / f"host-{len(made)}.xml"
        path.write_text(HOST.format(domains="".join(domains)))
        made.append(path)
        return f"test://{path}"

    return uri


@pytest.fixture
def adopt(evacuate: Command, state):
    """The command, on an empty store."""
    state.path.mkdir()
    migrate(f"sqlite:///{state.store}")
    return lambda *words: evacuate("fleet", "adopt", *words)


def read(evacuate: Command, *words: str):
    return json.loads(evacuate(*words, "--json").out)


def test_adopting_writes_hosts_and_instances_as_they_are(adopt, evacuate, uris) -> None:
    answer = adopt("--name", f"cmp-1={uris(domain(1), domain(2))}", "--name", f"cmp-2={uris()}", "--json")
    assert answer.code == 0, answer.err
    assert [(each["kind"], each["name"], each["change"]) for each in json.loads(answer.out)] == [
        ("host", "cmp-1", "added"),
        ("instance", "web-1", "added"),
        ("instance", "web-2", "added"),
        ("host", "cmp-2", "added"),
    ]
    [one, two] = read(evacuate, "host", "list")
    assert (one["name"], one["memory_mb"], one["vcpus"], one["vcpus_used"]) == ("cmp-1", 65536, 128, 4)
    assert two["vcpus_used"] == 0
    first, _ = read(evacuate, "instance", "list")
    assert (first["host"], first["vm_state"], first["power_state"]) == ("cmp-1", "active", "running")
    assert [port["mac"] for port in read(evacuate, "port", "list")] == ["52:54:00:00:00:01", "52:54:00:00:00:02"]
    assert evacuate("check").code == 0


def test_adopting_again_changes_nothing(adopt, evacuate, uris) -> None:
    name = f"cmp-1={uris(domain(1))}"
    adopt("--name", name)
    before = [read(evacuate, *words) for words in (("instance", "list"), ("port", "list"), ("host", "list"))]
    answer = adopt("--name", name, "--json")
    assert {each["change"] for each in json.loads(answer.out)} == {"unchanged"}
    assert [read(evacuate, *words) for words in (("instance", "list"), ("port", "list"), ("host", "list"))] == before


def test_shared_directory_gets_one_marker(adopt, evacuate, uris, tmp_path: Path) -> None:
    shared = tmp_path / "vms"
    shared.mkdir()
    name = f"cmp-1={uris(domain(1, disk=f'{shared}/a.raw'), domain(2, disk='/var/lib/b.raw'))}"
    adopt("--name", name, "--shared-dir", str(shared))
    marker = (shared / ".evacuate-shared").read_text()
    adopt("--name", name, "--shared-dir", str(shared))
    assert (shared / ".evacuate-shared").read_text() == marker
    assert len(list(shared.iterdir())) == 1
    found = {each["name"]: each["reasons"] for each in read(evacuate, "host", "preflight", "cmp-1")}
    assert found["web-1"] == ["there is no other host"]
    assert "disk vda (/var/lib/b.raw) is local" in found["web-2"][0]


def test_domain_that_is_skipped_is_left_out(adopt, evacuate, uris) -> None:
    adopt("--name", f"cmp-1={uris(domain(1), domain(2, 'not a name'))}", "--skip", "not a name")
    assert [each["name"] for each in read(evacuate, "instance", "list")] == ["web-1"]


REFUSED = [
    (lambda uri: [], "no host is given", 2),
    (lambda uri: ["esx://cmp-1"], "not a libvirt URI", 2),
    (lambda uri: ["--name", "cmp-1"], "names no URI", 2),
    (lambda uri: ["--name", f"cmp 1={uri()}"], "not the name of a host", 2),
    (lambda uri: [uri(), "--shared-dir", "vms"], "begin it with /", 2),
    (lambda uri: [uri(), "--skip", "nobody"], "no domain is called nobody", 2),
    (lambda uri: [uri(domain(1, "my web"))], "'my web'", 2),
    (lambda uri: ["--name", f"a={uri(domain(1))}", "--name", f"b={uri(domain(1))}"], "same uuid", 2),
    (lambda uri: ["--name", f"a={uri(domain(1))}", "--name", f"b={uri(domain(2, 'web-1'))}"], "same name", 2),
    (lambda uri: [uri(), uri()], "same host", 2),
    (lambda uri: [uri(domain(1)), "qemu+unix:///system?socket=/none"], "does not answer", 3),
    (lambda uri: [uri(domain(1)), "qemu+tls://127.0.0.1:1/system?pkipath=/none"], "certificate", 2),
]


@pytest.mark.parametrize(("words", "cause", "code"), REFUSED)
def test_adopting_is_refused_in_one_line_and_changes_nothing(
    adopt, evacuate, uris, words, cause: str, code: int
) -> None:
    answer = adopt(*words(uris))
    assert (answer.code, answer.out) == (code, "")
    assert cause in answer.err and answer.err.count("\n") == 1 and "Traceback" not in answer.err
    assert read(evacuate, "host", "list") == read(evacuate, "instance", "list") == []


def test_adopting_is_refused_when_libvirt_is_too_old(adopt, evacuate, uris, monkeypatch) -> None:
    monkeypatch.setattr(adopting, "OLDEST", 999_000_000)
    answer = adopt(uris(domain(1)))
    assert (answer.code, "too old" in answer.err) == (2, True)
    assert read(evacuate, "host", "list") == []


def test_adopting_is_refused_when_the_instance_lives_elsewhere(adopt, evacuate, uris) -> None:
    adopt("--name", f"cmp-1={uris(domain(1))}")
    answer = adopt("--name", f"cmp-2={uris(domain(1))}")
    assert answer.code == 2
    assert "lives on cmp-1, which nothing proves off" in answer.err
    assert [each["name"] for each in read(evacuate, "host", "list")] == ["cmp-1"]


@pytest.mark.parametrize("went", [0, 1], ids=["it left the first", "it came to the second"])
def test_adopting_is_refused_when_a_guest_moved_while_the_hosts_were_read(
    adopt, evacuate, uris, monkeypatch, went: int
) -> None:
    """Read here before it came, and there after it had left, it would be nowhere."""
    names = [uris(domain(1), domain(2)), uris(domain(3))]
    looked = adopting.there_now

    def a_moment_later(uri: str, timeout: float) -> frozenset[tuple[str, bool]]:
        found = sorted(looked(uri, timeout))
        if uri == names[went]:
            found = found[1:] if went == 0 else [*found, ("6f2c1d3a-0b8e-4d5f-9a61-000000000009", True)]
        return frozenset(found)

    monkeypatch.setattr(adopting, "there_now", a_moment_later)
    answer = adopt("--name", f"cmp-1={names[0]}", "--name", f"cmp-2={names[1]}")
    assert (answer.code, answer.out) == (2, "")
    assert f"the domains at {names[went]} changed while the hosts were read" in answer.err and "again" in answer.err
    assert read(evacuate, "host", "list") == []
