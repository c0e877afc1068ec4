"""The BMC entries of two hosts are exchanged: seen before anybody needs them, and neither host is cut by them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.hypervisors.process import ProcessHost
from tests.support.bmcs import PASSWORD, USERNAME, Authority, redfish_bmc
from tests.support.machines import Machine
from tests.support.stack import Stack

pytestmark = pytest.mark.timeout(180)
HOSTS = ("cmp-1", "cmp-2")
FLEET = {
    "hosts": [{"name": name, "vcpus": 4, "memory_mb": 4096, "disk_gb": 100} for name in HOSTS],
    "instances": [{"name": "web-01", "host": "cmp-1", "flavor": {"vcpus": 1, "memory_mb": 512, "disk_gb": 5}}],
}


class Site:
    """A stack whose hosts are fenced over Redfish; what is switched there are processes that stand for them."""

    def __init__(self, root: Path, port: int, make: Callable[..., Stack], *, tells: bool = True) -> None:
        """`tells`: the BMCs say whose they are."""
        self._root, self._port = root, port
        self.machines = {name: Machine(root, name) for name in HOSTS}
        for machine in self.machines.values():
            machine.power_on()
        self.name(*HOSTS)
        self.stack = make(FLEET, (), {"EVACUATE_FENCING": "redfish", "EVACUATE_BMC_FILE": str(root / "bmc.yaml")})
        for name, machine in self.machines.items() if tells else ():
            power = ProcessHost(Path(self.stack.environment["EVACUATE_STATE_DIR"]), name).power()
            machine.says.write_text(power.hypervisor_uuid.upper())

    def name(self, *systems: str) -> None:
        """These are the systems of the hosts, in the file of BMCs."""
        usual = {"address": f"127.0.0.1:{self._port}", "username": USERNAME, "password": PASSWORD, "ca_file": "ca.pem"}
        fresh = self._root / "bmc.new"
        fresh.touch(mode=0o600)
        entries = {host: usual | {"system": system} for host, system in zip(HOSTS, systems, strict=True)}
        fresh.write_text(yaml.safe_dump(entries))
        fresh.replace(self._root / "bmc.yaml")

    def orders(self) -> list[str]:
        path = self._root / "orders"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def site(tmp_path: Path, stack: Callable[..., Stack]) -> Iterator[Site]:
    root = tmp_path / "bmc"
    root.mkdir()
    with redfish_bmc(root, Authority(root).issue("127.0.0.1"), *HOSTS) as port:
        site = Site(root, port, stack)
        yield site
        for machine in site.machines.values():
            machine.kill()


def test_exchanged_entries_are_seen_by_the_preflight_and_cut_nobody(site: Site) -> None:
    def power_of(answer: Any) -> dict[str, dict[str, Any]]:
        return {each["host"]: each for each in answer.json[0]["power"]}

    right = site.stack.run("host preflight cmp-1 --json")
    assert right.code == 0 and "power: 2 of 2 hosts that answer read on" in right.err, right
    assert {name: (each["power"], each["problem"]) for name, each in power_of(right).items()} == {"cmp-1": ("on", None)}

    site.name("cmp-2", "cmp-1")
    wrong = site.stack.run("host preflight cmp-1 --json")
    assert wrong.code == 1, wrong
    for host, other in (HOSTS, HOSTS[::-1]):
        assert f"the BMC of {host} switches another machine" in power_of(wrong)[host]["problem"]
        assert f"which is {other}" in power_of(wrong)[host]["problem"]

    assert site.stack.run("host kill cmp-1").code == 0
    refused = site.stack.run("instance evacuate web-01 --json")
    assert refused.code == 1 and refused.json["error_type"] == "BmcIdentityError", refused
    assert site.orders() == [] and all(machine.is_on for machine in site.machines.values())

    site.name(*HOSTS)
    assert site.stack.run("instance evacuate web-01 --json").json["outcome"] == "recovered"
    assert set(site.orders()) == {"cmp-1 ForceOff"} and site.machines["cmp-2"].is_on


@pytest.fixture
def silent_site(tmp_path: Path, stack: Callable[..., Stack]) -> Iterator[Site]:
    """Its BMCs do not say whose they are."""
    root = tmp_path / "bmc"
    root.mkdir()
    with redfish_bmc(root, Authority(root).issue("127.0.0.1"), *HOSTS) as port:
        site = Site(root, port, stack, tells=False)
        yield site
        for machine in site.machines.values():
            machine.kill()


def test_healthy_host_that_is_cut_in_place_of_another_ends_the_evacuation_and_is_told(silent_site: Site) -> None:
    site, running = silent_site, silent_site.stack
    site.name("cmp-2", "cmp-1")
    assert running.run("host kill cmp-1").code == 0
    asked = running.start(["instance", "evacuate", "web-01", "--json"])
    running.until(lambda: site.orders() != [], "the order is given")
    assert running.run("host kill cmp-2").code == 0
    answer = asked.wait()
    assert answer.code == 1 and answer.json["error_type"] == "WrongMachineError", answer
    assert "cmp-2 answered before the power of cmp-1 was cut" in answer.json["reason"]
    instance = running.run("instance show web-01 --json").json
    assert (instance["host"], instance["task_state"], instance["epoch"]) == ("cmp-1", None, 1)
    assert "are the entries of cmp-1 and cmp-2 exchanged?" in running.run("host show cmp-1 --json").json["alarm"]
    assert "are the entries of cmp-1 and cmp-2 exchanged?" in running.run("host list").err

    ordered = site.orders()
    again = running.run("instance evacuate web-01 --json")
    assert again.json["error_type"] == "WrongMachineError" and site.orders() == ordered, again

    site.name(*HOSTS)
    assert running.run("host start cmp-2").code == 0
    site.machines["cmp-2"].power_on()
    assert running.run("host down cmp-1 --power-off --yes").code == 0
    assert running.run("instance evacuate web-01 --json").json["outcome"] == "recovered"
    assert running.run("host show cmp-1 --json").json["alarm"] is None
    assert running.run("check").code == 0
