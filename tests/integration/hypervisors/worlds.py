"""Hosts for the tests: real processes in a directory, or the simulation; both behind the same few words."""

import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from evacuation import messages as m
from evacuation.errors import FenceFailedError
from evacuation.model import Flavor, PowerState, RootDisk
from evacuation.ports import Hypervisor
from services.hypervisors.libvirt.driver import LibvirtHypervisor
from services.hypervisors.libvirt.options import LibvirtOptions
from services.hypervisors.process import ProcessHost, ProcessHypervisor, ProcessRoot
from services.hypervisors.process.disk import Record, read_journal
from services.hypervisors.process.table import guests_of
from services.hypervisors.simulated.driver import SimulatedDisks, SimulatedHypervisor

HOSTS = ("cmp-1", "cmp-2")
INSTANCE = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"


def spec(epoch: int, *, instance_id: str = INSTANCE, power_state: PowerState = PowerState.RUNNING) -> m.GuestSpec:
    return m.GuestSpec(
        instance_id=instance_id,
        name="web-01" if instance_id == INSTANCE else f"vm-{instance_id}",
        epoch=epoch,
        flavor=Flavor(vcpus=1, memory_mb=512, disk_gb=5),
        root_disk=RootDisk.SHARED,
        power_state=power_state,
    )


def call(epoch: int, *, host: str = "cmp-1", power_state: PowerState = PowerState.RUNNING) -> m.GuestCall:
    about = m.HostCall(host=host, hypervisor_uuid=None, incarnation=None)
    return m.GuestCall(call=about, instance_id=INSTANCE, epoch=epoch, power_state=power_state)


def spawn(hypervisor: Hypervisor, guest: m.GuestSpec) -> m.GuestState:
    return hypervisor.spawn(guest, last_look=lambda: None, beat=lambda _: None)


def eventually(condition: Callable[[], object], *, within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.02)


class World(Protocol):
    def hypervisor(self, host: str) -> Hypervisor: ...


class SimulatedWorld:
    def __init__(self) -> None:
        disks = SimulatedDisks()
        self._hypervisors = {host: SimulatedHypervisor(host, disks=disks) for host in HOSTS}

    def hypervisor(self, host: str) -> Hypervisor:
        return self._hypervisors[host]


NODE = """<node><cpu><mhz>2400</mhz><model>i686</model><active>8</active><nodes>1</nodes><sockets>1</sockets>
<cores>8</cores><threads>1</threads></cpu><memory>16777216</memory></node>"""


class LibvirtWorld:
    """Two hosts of libvirt's own test driver: real definitions, states and errors, in memory, and no guest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hypervisors: dict[str, LibvirtHypervisor] = {}

    def hypervisor(self, host: str) -> LibvirtHypervisor:
        """A host's state lasts as long as its one connection."""
        if host not in self._hypervisors:
            self._hypervisors[host] = LibvirtHypervisor(self.options(host))
        return self._hypervisors[host]

    def options(self, host: str, **given: Any) -> LibvirtOptions:
        node = self.path / f"{host}.xml"
        node.write_text(NODE)
        nobody = self.path / "nobody"
        nobody.mkdir(exist_ok=True)
        shared = self.path / "shared"
        shared.mkdir(exist_ok=True)
        for instance in (INSTANCE, OTHER):
            (shared / f"{instance}.raw").write_bytes(bytes(512))
        settings = {
            "host": host,
            "state_dir": self.path / host,
            "uri": f"test://{node}",
            "domain_type": "test",
            "hypervisor_uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, host)),
            "incarnation_file": self.path / host / "incarnation",
            "shared_dirs": (shared,),
            "announce": False,
            "poll": 0.01,
            "proc": nobody,
        }
        return LibvirtOptions(**(settings | given))


class ProcessWorld:
    """Two hosts, powered on, and the disks of two instances."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = ProcessRoot(self.path)
        for host in HOSTS:
            ProcessHost(self.path, host).power_on()
        self.root.make_disks([INSTANCE, OTHER])

    def hypervisor(self, host: str, *, disk_lock: bool = True) -> Hypervisor:
        return ProcessHypervisor(self.path, host, disk_lock=disk_lock)

    def host(self, host: str) -> ProcessHost:
        return ProcessHost(self.path, host)

    def journal(self, instance_id: str = INSTANCE) -> list[Record]:
        return read_journal(self.root.disk(instance_id))

    def pids(self, host: str) -> set[int]:
        return {each.process.pid for each in guests_of(self.root, host)}


@contextmanager
def process_world(path: Path) -> Generator[ProcessWorld]:
    """Nothing of it is left running afterwards."""
    world = ProcessWorld(path)
    try:
        yield world
    finally:
        for host in world.root.hosts():
            with suppress(FenceFailedError):
                world.host(host).power_off()
