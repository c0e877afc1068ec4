"""The real thing around the lab: Temporal's server, a control worker, a worker in every host, a SQLite store."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import yaml

from embedded.state import StateDir
from embedded.temporal_server import command as temporal_command
from embedded.temporal_server import free_address
from evacuation.views import HostView, InstanceView
from services.hypervisors.process.disk import Record
from services.sql import open_services
from tests.libvirt.lab import guests
from tests.libvirt.lab.host import LabHost
from tests.libvirt.lab.lab import Lab
from tests.libvirt.lab.shell import is_alive, until
from tests.libvirt.power import Power

REPOSITORY = Path(__file__).resolve().parents[2]
EVACUATE = Path(sys.executable).with_name("evacuate")
NETWORK = "10.77.0.0/24"
PATIENCE = 120.0
Stack = TypeVar("Stack", bound="LibvirtStack")


def fleet_of(hosts: Sequence[str], instances: dict[str, str]) -> dict[str, Any]:
    """`instances`: the host of each."""
    return {
        "hosts": [{"name": name, "vcpus": 8, "memory_mb": 4096, "disk_gb": 50} for name in hosts],
        "networks": [{"name": "lan", "cidr": NETWORK}],
        "instances": [
            {
                "name": name,
                "host": host,
                "flavor": {"vcpus": 1, "memory_mb": 96, "disk_gb": 1},
                "ports": [{"network": "lan"}],
            }
            for name, host in instances.items()
        ],
    }


class LibvirtStack:
    def __init__(self, lab: Lab, power: Power | None = None) -> None:
        """`power`: what the hosts are fenced by; without it by an operator's word."""
        self.lab = lab
        self.power = power
        self.directory = lab.directory / "stack"
        self.directory.mkdir()
        self.template = lab.shared / "template.xml"
        self.address_of_temporal = free_address()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("EVACUATE_", "TEMPORAL_"))}
        self._common = clean | {
            "EVACUATE_TEMPORAL_ADDRESS": self.address_of_temporal,
            "EVACUATE_HYPERVISOR": "libvirt",
            "EVACUATE_FENCING": "operator",
            "PYTHONPATH": str(REPOSITORY),
        }
        self._control = self._common | {"EVACUATE_STATE_DIR": str(self.directory)}
        if power is not None:
            self._control |= power.settings

    def up(self, instances: dict[str, str]) -> None:
        """Every host is in service, and every guest runs and has said so."""
        self.template.write_text(self.guest_template())
        self.start_temporal()
        self.evacuate("store", "migrate")
        fleet = self.directory / "fleet.yaml"
        fleet.write_text(yaml.safe_dump(self.fleet(instances)))
        self.evacuate("fleet", "load", str(fleet))
        self.make_disks()
        self.start_control()
        for host in self.lab.hosts.values():
            self.start_worker(host)
        until(self.is_ready, f"every guest runs (see {self.directory})", within=PATIENCE)

    def fleet(self, instances: dict[str, str]) -> dict[str, Any]:
        return fleet_of(list(self.lab.hosts), instances)

    def guest_template(self) -> str:
        return guests.template(self.lab.image, self.lab.shared, self.disk_xml())

    def disk_xml(self) -> str:
        """Of a guest's own disk, if it has one beside its volumes."""
        return guests.file_disk(f"{self.lab.shared}/$instance_id.raw")

    def make_disks(self) -> None:
        for instance in self.instances():
            self.lab.disk(instance.id)

    def start_temporal(self) -> None:
        server = temporal_command(StateDir(self.directory), self.address_of_temporal, None)
        self._spawn("temporal", list(server), self._common)

    def start_control(self) -> None:
        self._spawn("control", [sys.executable, "worker.py", "control"], self._control)

    def is_ready(self) -> bool:
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended: {self.log(name)[-3000:]}")
        return all(host.state == "up" for host in self.hosts()) and all(
            each.power_state == "running" for each in self.instances()
        )

    def start_worker(self, host: LabHost) -> None:
        """In its host, with what it needs: no database and no state directory of the control plane."""
        environment = self._common | {
            "EVACUATE_STATE_DIR": str(host.home / "worker"),
            "EVACUATE_HOST_STATE_DIR": str(host.state_dir),
            "EVACUATE_INCARNATION_FILE": str(host.incarnation_file),
            "EVACUATE_LIBVIRT_DOMAIN_TYPE": "qemu",
            "EVACUATE_LIBVIRT_SHARED_DIRS": str(self.lab.shared),
            "EVACUATE_LIBVIRT_TEMPLATE": str(self.template),
            "EVACUATE_LIBVIRT_BRIDGES": "lan=br0",
            "EVACUATE_REPORT_INTERVAL": "2",
        }
        command = [sys.executable, str(REPOSITORY / "worker.py"), "host", "--host", host.name]
        log = self.directory / f"host-{host.name}.log"
        self._processes[f"host-{host.name}"] = host.start(command, log=log, environment=environment)

    def power_off(self, name: str) -> None:
        """The host, its guests and its worker are gone at once. Off already: no change."""
        self.lab.hosts[name].power_off()
        if (worker := self._processes.pop(f"host-{name}", None)) is not None:
            worker.wait(10)

    def kill(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def power_on(self, name: str) -> None:
        """On already: no change."""
        if self.lab.hosts[name].is_on:
            return
        self.power_off(name)
        self.lab.hosts[name].power_on()
        if self.power is not None:
            self.power.plug_in(name)
        self.start_worker(self.lab.hosts[name])

    def evacuate(self, *words: str, exit_code: int = 0) -> str:
        """A command of the operator's. Raises AssertionError when it ends otherwise."""
        done = subprocess.run(
            [str(EVACUATE), *words],
            cwd=REPOSITORY,
            env=self._control,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == exit_code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def check(self) -> str:
        """What `check` says, whatever it finds."""
        words = [str(EVACUATE), "check"]
        done = subprocess.run(words, cwd=REPOSITORY, env=self._control, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def begin_evacuation(self, instance: str, why: str | None = None) -> "subprocess.Popen[str]":
        """`why`: an operator's word that the source is off."""
        word = ["--source-confirmed-off", why] if why else []
        words = ["instance", "evacuate", instance, *word, "--json"]
        return subprocess.Popen(
            [str(EVACUATE), *words],
            cwd=REPOSITORY,
            env=self._control,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hosts(self) -> list[HostView]:
        services = open_services(f"sqlite:///{self.directory / 'state.db'}")
        try:
            return list(services.views.hosts())
        finally:
            services.close()

    def instances(self) -> list[InstanceView]:
        services = open_services(f"sqlite:///{self.directory / 'state.db'}")
        try:
            return list(services.views.instances())
        finally:
            services.close()

    def instance(self, name: str) -> InstanceView:
        return next(each for each in self.instances() if each.name == name)

    def address(self, name: str) -> str:
        found = self.instance(name)
        ports = json.loads(self.evacuate("port", "list", "--json"))
        return next(port["ip"] for port in ports if port["instance_id"] == found.id)

    def journal(self, name: str) -> list[Record]:
        return guests.journal(self.lab.shared / f"{self.instance(name).id}.raw")

    def log(self, name: str) -> str:
        path = self.directory / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def down(self) -> None:
        for name in sorted(self._processes, key=lambda each: each == "temporal"):
            process = self._processes[name]
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert not is_alive(process.pid), name
        self._processes.clear()

    def _spawn(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )


@contextmanager
def stack_on(lab: Lab, instances: dict[str, str], power: Power | None = None) -> Generator[LibvirtStack]:
    with running(LibvirtStack(lab, power), instances) as stack:
        yield stack


@contextmanager
def running(stack: Stack, instances: dict[str, str]) -> Generator[Stack]:
    try:
        stack.up(instances)
        yield stack
    finally:
        stack.down()
