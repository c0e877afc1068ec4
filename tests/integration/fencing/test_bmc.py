"""Fencing by real BMCs: sushy-tools' Redfish service and pyghmi's IPMI BMC, whose machines are processes."""

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from evacuation.errors import (
    BmcCredentialsError,
    BmcSystemError,
    BmcTlsError,
    BmcUnreachableError,
    CutOverError,
    EvacuateError,
    FenceFailedError,
)
from services.fencing import FenceOptions, bmc
from services.fencing.bmc import open_bmcs
from tests.support.bmcs import PASSWORD, USERNAME, Authority, ipmi_bmc, redfish_bmc
from tests.support.machines import Machine
from tests.unit.test_fencing import REQUEST, Notebook, fence

DRIVERS = ["redfish", "ipmi"]


class Site:
    """Two machines, cmp-1 and cmp-2, behind one Redfish service and an IPMI BMC each; `entry` makes BMC entries."""

    def __init__(self, root: Path, redfish: int, ipmi: int) -> None:
        self.root = root
        self.machine = Machine(root, "cmp-1")
        self.entries = {
            "redfish": {"address": f"https://127.0.0.1:{redfish}", "system": "cmp-1", "ca_file": "ca.pem"},
            "ipmi": {"address": f"127.0.0.1:{ipmi}"},
        }

    def driver(self, kind: str, *, timeout: float = 8.0, **changes: object) -> bmc.BmcFencing:
        entry = {"driver": kind, "username": USERNAME, "password": PASSWORD} | self.entries[kind] | changes
        path = self.root / "bmc.yaml"
        path.write_text(yaml.safe_dump({"cmp-1": {k: v for k, v in entry.items() if v is not None}}))
        path.chmod(0o600)
        made = open_bmcs("redfish", FenceOptions(root=self.root, bmc_file=path, bmc_timeout=timeout))
        assert isinstance(made, bmc.BmcFencing)
        return made

    def orders(self) -> list[str]:
        path = self.root / "orders"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    authority = Authority(root)
    certificate = authority.issue("127.0.0.1")
    with redfish_bmc(root, certificate, "cmp-1", "cmp-2") as redfish, ipmi_bmc(root, "cmp-1") as ipmi:
        yield Site(root, redfish, ipmi)


@pytest.fixture
def site(servers: Site) -> Iterator[Site]:
    """The machine is on."""
    machine = servers.machine
    leftovers = (servers.root / name for name in ("orders", "slow", "elsewhere", "strict", "locked"))
    for leftover in (machine.held, machine.stuck, machine.lies, *leftovers):
        leftover.unlink(missing_ok=True)
    machine.power_on()
    yield servers
    machine.kill()


def nothing() -> None:
    pass


class Beats:
    """How often work was seen to go on."""

    def __init__(self, at_fifth: Callable[[], None] = lambda: None) -> None:
        self.count = 0
        self._at_fifth = at_fifth

    def __call__(self) -> None:
        self.count += 1
        if self.count == 5:
            self._at_fifth()


def error_of(driver: bmc.BmcFencing, kind: type[EvacuateError]) -> EvacuateError:
    with pytest.raises(FenceFailedError) as caught:
        driver.is_off("cmp-1")
    assert type(caught.value) is kind, caught.value
    line = caught.value.line
    assert "cmp-1" in line and caught.value.remedy and "\n" not in line
    for hidden in (PASSWORD, USERNAME, "127.0.0.1"):
        assert hidden not in line
    return caught.value


@pytest.mark.parametrize("kind", DRIVERS)
def test_power_off_kills_the_machine_and_reads_it_back(site: Site, kind: str):
    driver, beats = site.driver(kind), Beats()
    assert not driver.is_off("cmp-1")
    driver.power_off("cmp-1", None, last_look=nothing, beat=beats)
    assert driver.is_off("cmp-1") and not site.machine.is_on
    assert beats.count >= 3


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bmc, "SETTLED", 0.5)
    monkeypatch.setattr(bmc, "POLL", 0.1)


@pytest.mark.parametrize("strict", [False, True], ids=["takes it", "says that it is off"])
@pytest.mark.parametrize("kind", DRIVERS)
def test_power_off_of_a_machine_that_is_off_is_success_and_ordered_all_the_same(site: Site, kind: str, strict: bool):
    site.machine.kill()
    if strict:
        (site.root / "strict").touch()
    site.driver(kind).power_off("cmp-1", None, last_look=nothing, beat=Beats())
    assert len(site.orders()) == 1


@pytest.mark.parametrize("kind", DRIVERS)
def test_bmc_that_says_off_of_a_machine_that_is_on_is_not_believed(site: Site, kind: str):
    site.machine.lies.write_text("2")
    assert not site.driver(kind).stays_off("cmp-1", nothing)
    site.machine.lies.write_text("2")
    site.driver(kind).power_off("cmp-1", None, last_look=nothing, beat=Beats())
    assert not site.machine.is_on


@pytest.mark.parametrize("kind", DRIVERS)
def test_machine_that_comes_on_again_at_once_is_not_off(site: Site, kind: str, monkeypatch: pytest.MonkeyPatch):
    """The order did nothing, and the BMC says for a while that it did."""
    monkeypatch.setattr(bmc, "PATIENCE", 0.5)
    site.machine.stuck.touch()
    site.machine.lies.write_text("3")
    with pytest.raises(FenceFailedError, match="still reads on"):
        site.driver(kind).power_off("cmp-1", None, last_look=nothing, beat=Beats())


@pytest.mark.parametrize("kind", DRIVERS)
def test_machine_that_is_off_stays_off(site: Site, kind: str):
    site.machine.kill()
    beats = Beats()
    assert site.driver(kind).stays_off("cmp-1", beats)
    assert beats.count >= 3


def test_bmc_that_is_slow_is_waited_for_with_a_beat_before_each_question(site: Site):
    """All of them together take longer than one of them may."""
    (site.root / "slow").write_text("0.6")
    beats = Beats()
    site.driver("redfish", timeout=1.0).power_off("cmp-1", None, last_look=nothing, beat=beats)
    assert not site.machine.is_on and beats.count >= 6


def test_bmc_that_sends_to_another_machine_is_not_followed(site: Site):
    with socket.create_server(("127.0.0.1", 0)) as other:
        (site.root / "elsewhere").write_text(f"https://127.0.0.1:{other.getsockname()[1]}")
        assert "another machine" in error_of(site.driver("redfish"), BmcSystemError).message
        other.settimeout(0.2)
        with pytest.raises(TimeoutError):
            other.accept()


@pytest.mark.parametrize("kind", DRIVERS)
def test_power_off_gives_no_order_when_the_last_look_calls_it_off(site: Site, kind: str):
    def call_off() -> None:
        raise CutOverError("it is over")

    with pytest.raises(CutOverError):
        site.driver(kind).power_off("cmp-1", None, last_look=call_off, beat=Beats())
    assert site.machine.is_on and site.orders() == []


@pytest.mark.parametrize("kind", DRIVERS)
def test_power_off_waits_for_a_slow_machine_and_beats_at_every_poll(site: Site, kind: str):
    site.machine.held.touch()
    beats = Beats(at_fifth=site.machine.held.unlink)
    site.driver(kind).power_off("cmp-1", None, last_look=nothing, beat=beats)
    assert not site.machine.is_on and beats.count > 5


@pytest.mark.parametrize("kind", DRIVERS)
def test_power_off_fails_when_the_switch_does_nothing(site: Site, kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bmc, "POLL", 0.05)
    monkeypatch.setattr(bmc, "PATIENCE", 0.2)
    site.machine.stuck.touch()
    with pytest.raises(FenceFailedError, match="still reads on") as caught:
        site.driver(kind).power_off("cmp-1", None, last_look=nothing, beat=Beats())
    assert caught.value.retryable and "--confirmed-off" in caught.value.remedy


@pytest.mark.parametrize("kind", DRIVERS)
@pytest.mark.parametrize("change", [{"password": "wrong"}, {"username": "nobody"}], ids=["password", "username"])
def test_wrong_account_is_named_and_not_tried_again(site: Site, kind: str, change: dict[str, str]):
    assert not error_of(site.driver(kind, **change), BmcCredentialsError).retryable


@pytest.mark.parametrize("kind", DRIVERS)
def test_address_where_nobody_listens_is_unreachable_and_tried_again(site: Site, kind: str):
    assert error_of(site.driver(kind, timeout=1.0, address="127.0.0.1:9"), BmcUnreachableError).retryable


@pytest.mark.parametrize("kind", DRIVERS)
def test_bmc_that_says_nothing_is_given_up_in_time(site: Site, kind: str):
    """It takes the connection, or the datagrams, and never answers."""
    protocol = socket.SOCK_STREAM if kind == "redfish" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, protocol) as dumb:
        dumb.bind(("127.0.0.1", 0))
        if kind == "redfish":
            dumb.listen()
        address = f"127.0.0.1:{dumb.getsockname()[1]}"
        assert error_of(site.driver(kind, timeout=1.0, address=address), BmcUnreachableError).retryable


def test_server_that_is_no_bmc_is_named(site: Site):
    """It answers every request with something that is not Redfish."""
    with socket.create_server(("127.0.0.1", 0)) as web:
        address = f"127.0.0.1:{web.getsockname()[1]}"
        threading.Thread(target=answer_anything, args=(web,), daemon=True).start()
        error_of(site.driver("redfish", timeout=2.0, address=address, ca_file=None), BmcTlsError)


def answer_anything(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")


def test_unknown_system_is_named_and_not_tried_again(site: Site):
    assert not error_of(site.driver("redfish", system="cmp-9"), BmcSystemError).retryable


def test_system_has_to_be_named_where_there_are_two(site: Site):
    assert "name its system" in error_of(site.driver("redfish", system=None), BmcSystemError).remedy


@pytest.mark.parametrize(
    "change", [{"ca_file": None}, {"address": "https://localhost:{port}"}], ids=["unknown authority", "another name"]
)
def test_certificate_that_proves_nothing_is_refused_and_not_tried_again(site: Site, change: dict[str, str | None]):
    port = str(site.entries["redfish"]["address"]).rpartition(":")[2]
    change = {key: value and value.format(port=port) for key, value in change.items()}
    error = error_of(site.driver("redfish", **change), BmcTlsError)
    assert not error.retryable and "ca_file" in error.remedy


@pytest.mark.parametrize(
    ("days", "why", "remedy"),
    [(-30, "its certificate has expired", "renew"), (30, "its certificate is not valid yet", "clock")],
    ids=["expired", "of tomorrow"],
)
def test_certificate_that_is_not_valid_now_is_named_with_what_to_do(site: Site, days: int, why: str, remedy: str):
    """No authority that is named elsewhere would help. Such a machine is neither read as off nor told to go off."""
    own = site.root / f"certificate{days}"
    own.mkdir()
    authority = Authority(own)
    with redfish_bmc(own, authority.issue("127.0.0.1", shifted=timedelta(days=days)), "cmp-1") as port:
        driver = site.driver("redfish", address=f"https://127.0.0.1:{port}", ca_file=str(authority.ca))
        error = error_of(driver, BmcTlsError)
        assert why in error.message and remedy in error.remedy and "ca_file" not in error.remedy
        with pytest.raises(BmcTlsError):
            driver.power_off("cmp-1", None, last_look=nothing, beat=Beats())
        with pytest.raises(BmcTlsError):
            driver.doubt_about("cmp-1")
    assert site.machine.is_on and not (own / "orders").exists()


@pytest.mark.parametrize("status", ["401", "403"])
def test_account_that_is_locked_is_named_and_proves_nothing(site: Site, status: str):
    (site.root / "locked").write_text(status)
    error = error_of(site.driver("redfish"), BmcCredentialsError)
    assert f"HTTP {status}" in error.message and "unlock it" in error.remedy and not error.retryable
    with pytest.raises(BmcCredentialsError):
        site.driver("redfish").power_off("cmp-1", None, last_look=nothing, beat=Beats())
    assert site.machine.is_on and site.orders() == []


def test_account_that_is_locked_between_the_look_and_the_order_is_not_a_cut(site: Site):
    def lock() -> None:
        (site.root / "locked").write_text("401")

    with pytest.raises(BmcCredentialsError):
        site.driver("redfish").power_off("cmp-1", None, last_look=lock, beat=Beats())
    assert site.machine.is_on and site.orders() == []


def test_account_that_an_ipmi_bmc_does_not_let_in_may_be_locked(site: Site):
    """It says the same of a locked one, and of one that it does not know."""
    assert "unlock it" in error_of(site.driver("ipmi", username="nobody"), BmcCredentialsError).remedy


def test_certificate_is_not_looked_at_where_the_file_says_so(site: Site):
    assert not site.driver("redfish", ca_file=None, verify=False).is_off("cmp-1")


@pytest.mark.parametrize("kind", DRIVERS)
def test_nothing_of_the_account_is_logged(site: Site, kind: str, caplog: pytest.LogCaptureFixture):
    """Not even by the libraries, when everything is logged and everything goes wrong."""
    caplog.set_level("DEBUG")
    driver = site.driver(kind, password="wrong")
    error_of(driver, BmcCredentialsError)
    assert not [
        record for record in caplog.records if USERNAME in record.getMessage() or "wrong" in record.getMessage()
    ]


@pytest.mark.parametrize("kind", DRIVERS)
def test_evidence_names_the_driver_that_read_the_power(site: Site, kind: str):
    proof = fence(REQUEST, site.driver(kind), Notebook())
    assert (proof.who, proof.reason) == (kind, "power cut, read back: off")


def test_thread_safety_of_ipmi_is_a_process_a_call(site: Site):
    """Eight threads read at once: each gets its answer."""
    driver, answers = site.driver("ipmi"), []
    threads = [threading.Thread(target=lambda: answers.append(driver.is_off("cmp-1"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [False] * 8
