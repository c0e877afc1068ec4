"""Real guests on other storage than raw files: qcow2, a SAN, and network volumes whose daemon listens on the lab's
storage server."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from services.cloud.nbd import Layout
from services.hypervisors.process.disk import Record
from tests.libvirt.lab import guests
from tests.libvirt.lab.fabric import NETWORK, STORAGE
from tests.libvirt.lab.lab import Lab
from tests.libvirt.lab.shell import run
from tests.libvirt.power import Power
from tests.libvirt.stack import LibvirtStack

ADDRESS = f"{NETWORK}.{STORAGE}:10809"
DAEMON = "qemu-storage-daemon"


class Qcow2Stack(LibvirtStack):
    """Disks on the shared directory, as qcow2."""

    def disk_xml(self) -> str:
        return guests.file_disk(f"{self.lab.shared}/$instance_id.qcow2", "qcow2")

    def make_disks(self) -> None:
        for instance in self.instances():
            self.lab.disk(instance.id, "qcow2")

    def journal(self, name: str) -> list[Record]:
        return guests.journal(self.lab.shared / f"{self.instance(name).id}.qcow2", "qcow2")


class SanStack(LibvirtStack):
    """Each disk is a LUN, on each host a block device of its own at one path: no lock of a host reaches another."""

    def disk_xml(self) -> str:
        return guests.block_disk(f"{self.lab.shared}/$instance_id.lun")

    def make_disks(self) -> None:
        for instance in self.instances():
            disk, lun = self.lab.disk(instance.id), self.lab.shared / f"{instance.id}.lun"
            lun.touch()
            for host in self.lab.hosts.values():
                host.run("mount", "--bind", self.lab.loop_device(disk), str(lun))


class StorageStack(LibvirtStack):
    """Each guest's one disk is a volume; `policy`: what proves a host empty."""

    def __init__(self, lab: Lab, power: Power | None, policy: str) -> None:
        super().__init__(lab, power)
        self.layout = Layout.of(self.directory / "nbd", ADDRESS)
        self._control |= {
            "EVACUATE_VOLUMES": "nbd",
            "EVACUATE_NBD_ADDRESS": ADDRESS,
            "EVACUATE_NBD_DIR": str(self.directory / "nbd"),
            "EVACUATE_NBD_CREATE": "true",
            "EVACUATE_FENCING_POLICY": policy,
        }

    def fleet(self, instances: dict[str, str]) -> dict[str, Any]:
        fleet = super().fleet(instances)
        for each in fleet["instances"]:
            each |= {"root_disk": "volume", "volumes": [f"{each['name']}-root"]}
        return fleet | {"volumes": [{"name": f"{name}-root", "size_gb": 1} for name in instances]}

    def disk_xml(self) -> str:
        return ""

    def make_disks(self) -> None:
        """The service makes them; its daemon is started in the storage server's namespace."""
        place = self.directory / "bin"
        place.mkdir()
        program, daemon = place / DAEMON, shutil.which(DAEMON)
        program.write_text(f'#!/bin/sh\nexec ip netns exec {self.lab.fabric.namespace("st")} {daemon} "$@"\n')
        program.chmod(0o755)
        path = f"{place}{os.pathsep}{os.environ['PATH']}"
        self._spawn("storage", [sys.executable, "worker.py", "storage"], self._control | {"PATH": path})

    def daemons(self) -> list[int]:
        """Pids of what serves the volumes now."""
        namespace = self.lab.fabric.namespace("st")
        return [int(pid) for pid in run("ip", "netns", "pids", namespace).split()]

    def volume(self, name: str) -> Path:
        volumes = json.loads(self.evacuate("volume", "list", "--json"))
        return self.layout.image(next(each["id"] for each in volumes if each["name"] == f"{name}-root"))

    def journal(self, name: str) -> list[Record]:
        return guests.journal(self.volume(name))
