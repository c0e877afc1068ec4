"""One guest of the lab and the drivers of its hosts, in a few words."""

import json
import sys
import uuid
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evacuation import messages as m
from evacuation.model import Flavor, PowerState, RootDisk
from services.hypervisors.libvirt.driver import LibvirtHypervisor
from services.hypervisors.libvirt.options import LibvirtOptions
from services.hypervisors.process.disk import Record
from tests.libvirt.lab import guests
from tests.libvirt.lab.host import LabHost
from tests.libvirt.lab.lab import Lab
from tests.libvirt.lab.shell import until

NETWORK = "lan"
FLAVOR = Flavor(vcpus=1, memory_mb=96, disk_gb=1)


class LabWorld:
    """The instance is new for every test, and so are its disk, its MAC and its address."""

    _made = 0

    def __init__(self, lab: Lab, kind: str = "raw") -> None:
        LabWorld._made += 1
        self.lab = lab
        self.instance = str(uuid.uuid4())
        self.name = f"vm{LabWorld._made}"
        self.mac = f"52:54:00:aa:00:{LabWorld._made:02x}"
        self.ip = f"10.77.0.{30 + LabWorld._made % 60}"
        self._drivers: dict[str, LibvirtHypervisor] = {}
        self.use_disk(kind)

    def use_disk(self, kind: str) -> None:
        self.kind = kind
        self.disk = self.lab.disk(self.instance, kind)
        self.disk_xml = guests.file_disk(str(self.disk), kind)

    def host(self, name: str) -> LabHost:
        return self.lab.hosts[name]

    def driver(self, name: str) -> LibvirtHypervisor:
        if name not in self._drivers:
            self._drivers[name] = LibvirtHypervisor(self.options(name))
        return self._drivers[name]

    def options(self, name: str, **given: Any) -> LibvirtOptions:
        host = self.host(name)
        settings = {
            "host": name,
            "state_dir": host.state_dir,
            "uri": host.uri,
            "domain_type": "qemu",
            "incarnation_file": host.incarnation_file,
            "shared_dirs": (self.lab.shared,),
            "bridges": {NETWORK: "br0"},
            "signal_timeout": 60.0,
            "proc": host.proc,
        }
        return LibvirtOptions(**(settings | given))

    def console(self, host: str) -> Path:
        return self.lab.shared / f"{self.name}.{host}.console"

    def spec(self, host: str, epoch: int, **given: Any) -> m.GuestSpec:
        """Its records say which epoch's guest wrote them, and where."""
        definition = guests.definition(
            self.lab.image,
            self.instance,
            name=self.name,
            disk=self.disk_xml,
            mac=self.mac,
            ip=self.ip,
            host=host,
            epoch=epoch,
            console=str(self.console(host)),
        )
        fields = {
            "instance_id": self.instance,
            "name": self.name,
            "epoch": epoch,
            "flavor": FLAVOR,
            "root_disk": RootDisk.SHARED,
            "power_state": PowerState.RUNNING,
            "nics": (m.Nic(port_id="port-1", network=NETWORK, mac=self.mac, ip=self.ip),),
            "definition": definition,
        }
        return m.GuestSpec(**(fields | given))

    def command(self, host: str, epoch: int, **given: Any) -> list[str]:
        """The same spawn as a program of its own; a further word is the beat at which it dies."""
        options = {name: _plain(value) for name, value in asdict(self.options(host)).items()}
        spec = self.spec(host, epoch, **given).model_dump_json()
        return [sys.executable, "-m", "tests.libvirt.drive", json.dumps(options), spec]

    def spawn(self, host: str, epoch: int, **given: Any) -> m.GuestState:
        spec = self.spec(host, epoch, **given)
        return self.driver(host).spawn(spec, last_look=lambda: None, beat=lambda _: None)

    def call(self, host: str, epoch: int, power_state: PowerState = PowerState.RUNNING) -> m.GuestCall:
        about = m.HostCall(host=host, hypervisor_uuid=None, incarnation=None)
        return m.GuestCall(call=about, instance_id=self.instance, epoch=epoch, power_state=power_state)

    def journal(self) -> list[Record]:
        return guests.journal(self.disk, self.kind)

    def ticks(self, host: str) -> int:
        """How often the guest there has said that it wrote."""
        return len(guests.console_lines(self.console(host), "TICK"))

    def until_it_wrote(self, host: str, more: int = 3) -> None:
        before = self.ticks(host)
        until(lambda: self.ticks(host) >= before + more, f"{self.name} writes on {host}")

    def running(self, host: str) -> m.GuestState:
        return m.GuestState(instance_id=self.instance, epoch=self._epoch(host), power_state=PowerState.RUNNING)

    def _epoch(self, host: str) -> int:
        return next(g.epoch for g in self.driver(host).inventory() if g.instance_id == self.instance)

    def guests(self, host: str) -> list[tuple[int, PowerState]]:
        """Epoch and power state of the guests on the host."""
        return [(guest.epoch, guest.power_state) for guest in self.driver(host).inventory()]

    def answers(self) -> bool:
        return self.lab.fabric.answers(self.ip)

    def until_it_answers(self) -> None:
        until(self.answers, f"{self.name} answers at {self.ip}")

    def ports(self) -> list[str]:
        """Behind which ports of the switch its MAC address is."""
        return [line.split()[2] for line in self.lab.fabric.forwarding() if line.startswith(self.mac)]

    def clear(self) -> None:
        self._drivers.clear()
        for name, host in self.lab.hosts.items():
            host.power_on()
            with suppress(Exception):
                host.heal()
            driver = LibvirtHypervisor(self.options(name))
            for guest in driver.inventory():
                driver._guests.remove(guest.instance_id, guest.epoch)
            assert driver.inventory() == ()
        self.disk.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
