"""BMCs of other machines than the entry says: nothing is cut there, and nothing that they read counts."""

from collections.abc import Collection, Iterator
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from temporalio.testing import ActivityEnvironment

from activities.power_checks import PowerCheckActivities
from evacuation.errors import BmcFileError, BmcIdentityError, BmcUnreachableError, FenceFailedError
from evacuation.messages import HostRef
from evacuation.model import PowerReading
from evacuation.power_check import PowerCheck, judged
from services.fencing import FenceOptions, bmc
from services.fencing.bmc import open_bmcs
from tests.integration.fencing.test_bmc import DRIVERS, Beats, nothing
from tests.support.bmcs import PASSWORD, USERNAME, Authority, ipmi_bmc, redfish_bmc
from tests.support.machines import Machine
from tests.unit.test_fencing import REQUEST, WORD, Notebook, fence, fence_destination, look, take_word

FIRST, SECOND = UUID("4c4c4544-0031-3510-8052-b4c04f4a3733"), UUID("8f0dbd5a-51bb-11ee-be56-0242ac120002")
NAMES = ("cmp-1", "cmp-2")


class Fleet(dict[str, str]):
    """Implements the port `Identities`."""

    def uuid_of(self, host: str) -> str | None:
        return self.get(host)

    def owner_of(self, uuids: Collection[str]) -> str | None:
        return next((host for host, uuid in self.items() if uuid.lower() in uuids), None)


class Site:
    """cmp-1 and cmp-2 behind one Redfish service and an IPMI BMC each. `fleet`: what their workers said."""

    def __init__(self, root: Path, redfish: int, ipmi: dict[str, int]) -> None:
        self.root = root
        self.machines = {name: Machine(root, name) for name in NAMES}
        self.fleet = Fleet()
        self._addresses = {"redfish": dict.fromkeys(NAMES, redfish), "ipmi": ipmi}

    def driver(self, kind: str, *, exchanged: bool = False, **more: str) -> bmc.BmcFencing:
        """`exchanged`: each host has the other one's entry; `more` is in the entry of cmp-1."""
        entries = {name: self._entry(kind, name) for name in NAMES}
        entries["cmp-1"] |= more
        if exchanged:
            entries = dict(zip(entries, reversed(entries.values()), strict=True))
        path = self.root / "bmc.yaml"
        path.write_text(yaml.safe_dump(entries))
        path.chmod(0o600)
        made = open_bmcs("redfish", FenceOptions(root=self.root, bmc_file=path, identities=self.fleet))
        assert isinstance(made, bmc.BmcFencing)
        return made

    def _entry(self, kind: str, name: str) -> dict[str, str]:
        account = {"driver": kind, "username": USERNAME, "password": PASSWORD}
        named = {"system": name, "ca_file": "ca.pem"} if kind == "redfish" else {}
        return account | named | {"address": f"127.0.0.1:{self._addresses[kind][name]}"}

    def says(self, kind: str, name: str, uuid: UUID) -> None:
        """As a BMC of that kind says it, usually."""
        self.machines[name].says.write_text(uuid.bytes_le.hex() if kind == "ipmi" else str(uuid).upper())

    def orders(self) -> list[str]:
        path = self.root / "orders"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    certificate = Authority(root).issue("127.0.0.1")
    with (
        redfish_bmc(root, certificate, *NAMES) as redfish,
        ipmi_bmc(root, "cmp-1") as first,
        ipmi_bmc(root, "cmp-2") as second,
    ):
        yield Site(root, redfish, {"cmp-1": first, "cmp-2": second})


@pytest.fixture
def site(servers: Site) -> Iterator[Site]:
    """Both machines are on, and both hosts are known. Their BMCs say nothing."""
    (servers.root / "orders").unlink(missing_ok=True)
    for machine in servers.machines.values():
        machine.says.write_text("")
        machine.power_on()
    servers.fleet = Fleet({"cmp-1": str(FIRST), "cmp-2": str(SECOND)})
    yield servers
    for machine in servers.machines.values():
        machine.kill()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bmc, "SETTLED", 0.3)
    monkeypatch.setattr(bmc, "POLL", 0.05)


def cut(driver: bmc.BmcFencing, host: str = "cmp-1") -> None:
    driver.power_off(host, None, last_look=nothing, beat=Beats())


def refused(driver: bmc.BmcFencing, host: str) -> BmcIdentityError:
    """Whatever is asked of the host's power."""
    for ask in (
        lambda: driver.is_off(host),
        lambda: driver.stays_off(host, nothing),
        lambda: driver.doubt_about(host),
        lambda: cut(driver, host),
    ):
        with pytest.raises(BmcIdentityError) as caught:
            ask()
        line = caught.value.line
        assert not caught.value.retryable and host in line and "\n" not in line
        assert not [hidden for hidden in (PASSWORD, USERNAME, "127.0.0.1") if hidden in line]
    return caught.value


REDFISH = [str(FIRST), str(FIRST).upper(), str(UUID(bytes=FIRST.bytes_le)), f"{{{FIRST}}}"]
IPMI = [FIRST.bytes_le.hex(), FIRST.hex, FIRST.bytes[::-1].hex()]
SPELLED = [("redfish", each) for each in REDFISH] + [("ipmi", each) for each in IPMI]


@pytest.mark.parametrize(("kind", "said"), SPELLED)
def test_host_is_cut_however_its_bmc_spells_the_uuid(site: Site, kind: str, said: str):
    site.machines["cmp-1"].says.write_text(said)
    driver = site.driver(kind)
    assert driver.doubt_about("cmp-1") is None
    cut(driver)
    assert not site.machines["cmp-1"].is_on


@pytest.mark.parametrize("kind", DRIVERS)
def test_uuid_that_the_worker_said_in_upper_case_is_the_same(site: Site, kind: str):
    site.fleet["cmp-1"] = str(FIRST).upper()
    site.says(kind, "cmp-1", FIRST)
    assert not site.driver(kind).is_off("cmp-1")


@pytest.mark.parametrize("kind", DRIVERS)
def test_exchanged_entries_are_named_and_neither_host_is_cut(site: Site, kind: str):
    site.says(kind, "cmp-1", FIRST)
    site.says(kind, "cmp-2", SECOND)
    driver = site.driver(kind, exchanged=True)
    for host, other, uuid in (("cmp-1", "cmp-2", FIRST), ("cmp-2", "cmp-1", SECOND)):
        error = refused(driver, host)
        assert str(uuid) in error.message and f"which is {other}" in error.message
        assert error.remedy == f"correct the entry of {host} in the BMC file"
    assert site.orders() == [] and all(machine.is_on for machine in site.machines.values())


@pytest.mark.parametrize("kind", DRIVERS)
def test_off_of_another_machine_proves_nothing(site: Site, kind: str):
    """The healthy cmp-1 has the entry of cmp-2, which is off."""
    site.says(kind, "cmp-2", SECOND)
    site.machines["cmp-2"].kill()
    driver, notes = site.driver(kind, exchanged=True), Notebook()
    with pytest.raises(BmcIdentityError):
        fence(REQUEST, driver, notes)
    with pytest.raises(BmcIdentityError):
        fence_destination(driver, notes)
    assert look(driver, notes) is PowerReading.UNKNOWN
    assert (notes.known, notes.said, notes.cuts, notes.readings, site.orders()) == (None, [], {}, [], [])


@pytest.mark.parametrize("kind", DRIVERS)
def test_on_of_another_machine_does_not_speak_against_a_word(site: Site, kind: str):
    site.says(kind, "cmp-2", SECOND)
    notes = Notebook()
    take_word(WORD, site.driver(kind, exchanged=True), notes)
    assert notes.readings == [PowerReading.UNKNOWN] and notes.known is not None


@pytest.mark.parametrize("kind", DRIVERS)
def test_unknown_machine_is_named_by_its_uuid_with_what_to_do_if_it_is_right(site: Site, kind: str):
    site.says(kind, "cmp-1", UUID(int=77))
    error = refused(site.driver(kind), "cmp-1")
    assert str(UUID(int=77)) in error.message and f"uuid: {UUID(int=77)}" in error.remedy
    assert site.orders() == []


NONE = ["", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]
NONE += ["03000200-0400-0500-0006-000700080009"]


@pytest.mark.parametrize("said", [*NONE, "Not Settable"])
@pytest.mark.parametrize("kind", DRIVERS)
def test_bmc_that_names_no_machine_is_believed_and_doubted(site: Site, kind: str, said: str):
    is_uuid = said.count("-") == 4
    site.machines["cmp-1"].says.write_text(UUID(said).hex if is_uuid and kind == "ipmi" else said * (kind != "ipmi"))
    driver = site.driver(kind)
    assert "does not say which machine" in (driver.doubt_about("cmp-1") or "")
    cut(driver)
    assert not site.machines["cmp-1"].is_on


@pytest.mark.parametrize("kind", DRIVERS)
def test_host_whose_worker_never_came_is_doubted_and_cut(site: Site, kind: str):
    site.says(kind, "cmp-1", FIRST)
    del site.fleet["cmp-1"]
    driver = site.driver(kind)
    assert "never said which machine" in (driver.doubt_about("cmp-1") or "")
    cut(driver)
    assert not site.machines["cmp-1"].is_on


@pytest.mark.parametrize("kind", DRIVERS)
def test_machine_of_another_host_is_not_cut_for_one_whose_worker_never_came(site: Site, kind: str):
    site.says(kind, "cmp-2", SECOND)
    del site.fleet["cmp-1"]
    assert "which is cmp-2" in refused(site.driver(kind, exchanged=True), "cmp-1").message
    assert site.orders() == []


@pytest.mark.parametrize("kind", DRIVERS)
def test_bmc_that_is_another_between_the_look_and_the_order_gets_none(site: Site, kind: str):
    """Its address was given to another one meanwhile."""
    site.says(kind, "cmp-1", FIRST)
    with pytest.raises(BmcIdentityError):
        site.driver(kind).power_off("cmp-1", None, last_look=lambda: site.says(kind, "cmp-1", SECOND), beat=Beats())
    assert site.orders() == [] and site.machines["cmp-1"].is_on


@pytest.mark.parametrize("kind", DRIVERS)
def test_off_that_is_read_back_of_another_machine_does_not_count(site: Site, kind: str):
    site.says(kind, "cmp-1", FIRST)
    site.machines["cmp-1"].kill()
    beats = Beats(at_fifth=lambda: site.says(kind, "cmp-1", SECOND))
    with pytest.raises(BmcIdentityError):
        site.driver(kind).stays_off("cmp-1", beats)


@pytest.mark.parametrize("kind", DRIVERS)
def test_entry_may_say_what_its_bmc_says(site: Site, kind: str):
    """Some boards tell their BMC another UUID than their firmware tells the host."""
    site.says(kind, "cmp-1", UUID(int=77))
    driver = site.driver(kind, uuid=str(UUID(int=77)))
    assert driver.doubt_about("cmp-1") is None
    cut(driver)
    assert not site.machines["cmp-1"].is_on


@pytest.mark.parametrize("kind", DRIVERS)
def test_entry_may_not_make_another_host_of_it(site: Site, kind: str):
    site.says(kind, "cmp-1", SECOND)
    refused(site.driver(kind, uuid=str(SECOND)), "cmp-1")
    assert site.orders() == []


def test_uuid_of_an_entry_must_name_a_machine(site: Site):
    with pytest.raises(BmcFileError, match="uuid is not one that names a machine"):
        site.driver("redfish", uuid=str(UUID(int=0)))


def test_bmc_that_is_too_busy_to_say_who_it_is_is_asked_again(site: Site):
    """It has a GUID, perhaps another machine's: no answer is not the answer that there is none."""
    site.machines["cmp-1"].says.write_text("code c0")
    with pytest.raises(BmcUnreachableError) as caught:
        site.driver("ipmi").is_off("cmp-1")
    assert caught.value.retryable
    with pytest.raises(FenceFailedError):
        cut(site.driver("ipmi"))
    assert site.orders() == []


@pytest.mark.parametrize("code", ["c1", "d4"])
def test_bmc_that_does_not_give_its_guid_to_this_account_has_none(site: Site, code: str):
    site.machines["cmp-1"].says.write_text(f"code {code}")
    assert "does not say which machine" in (site.driver("ipmi").doubt_about("cmp-1") or "")


def checked(driver: bmc.BmcFencing, host: str) -> PowerCheck:
    look = PowerCheckActivities(driver).look_at_power
    return judged(ActivityEnvironment().run(look, HostRef(host=host, incarnation=None)), answers=True)


@pytest.mark.parametrize("kind", DRIVERS)
def test_check_names_exchanged_entries_of_hosts_that_live(site: Site, kind: str):
    site.says(kind, "cmp-1", FIRST)
    site.says(kind, "cmp-2", SECOND)
    right = checked(site.driver(kind), "cmp-1")
    assert (right.power, right.problem, right.notes, right.driver) == (PowerReading.ON, None, (), kind)
    for host in NAMES:
        wrong = checked(site.driver(kind, exchanged=True), host)
        assert wrong.power is PowerReading.UNKNOWN and f"the BMC of {host} switches another" in (wrong.problem or "")
    assert site.orders() == []


@pytest.mark.parametrize("kind", DRIVERS)
def test_check_names_exchanged_entries_without_uuids_once_one_of_them_is_off(site: Site, kind: str):
    site.machines["cmp-2"].kill()
    found = checked(site.driver(kind, exchanged=True), "cmp-1")
    assert found.power is PowerReading.OFF and "reads off while its worker answers" in (found.problem or "")
    assert "does not say which machine" in found.notes[0] and site.orders() == []
