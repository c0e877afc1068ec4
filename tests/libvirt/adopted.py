"""Guests that run before anybody has heard of Evacuate, and then a stack that adopts them."""

import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.libvirt.lab import guests
from tests.libvirt.lab.host import LabHost
from tests.libvirt.lab.lab import Lab
from tests.libvirt.lab.shell import until
from tests.libvirt.stack import PATIENCE, LibvirtStack


class Foreign:
    """A domain that an operator defined and started."""

    def __init__(self, lab: Lab, host: str, number: int, *, disk: Path | None = None) -> None:
        self.id, self.name, self.host = str(uuid.uuid4()), f"old-{number}", lab.hosts[host]
        self.mac, self.ip = f"52:54:00:bb:00:{number:02x}", f"10.77.0.{120 + number}"
        self.disk = disk or lab.disk(self.id)
        self.console = lab.shared / f"{self.name}.console"
        self._define(lab)

    def _define(self, lab: Lab) -> None:
        text = guests.definition(
            lab.image,
            self.id,
            name=self.name,
            disk=guests.file_disk(str(self.disk)),
            mac=self.mac,
            ip=self.ip,
            console=str(self.console),
        )
        path = lab.directory / f"{self.name}.xml"
        path.write_text(text)
        self.host.run("virsh", "-q", "define", str(path))
        self.host.run("virsh", "-q", "autostart", self.name)
        self.host.run("virsh", "-q", "start", self.name)

    def ticks(self) -> int:
        return len(guests.console_lines(self.console, "TICK"))

    def until_it_writes(self) -> None:
        before = self.ticks()
        until(lambda: self.ticks() > before + 2, f"{self.name} writes", within=60)

    def dump(self, host: LabHost | None = None) -> str:
        """virsh ends it with a line of its own."""
        return (host or self.host).run("virsh", "dumpxml", "--inactive", self.name).removesuffix("\n")


class AdoptingStack(LibvirtStack):
    """Without a fleet file: what is in the store was adopted."""

    def serve(self) -> None:
        """Temporal, an empty store, a control worker."""
        self.template.write_text("<domain/>")
        self.start_temporal()
        self.evacuate("store", "migrate")
        self.start_control()

    def adopt(self, *more: str, exit_code: int = 0) -> str:
        names = [word for name, host in self.lab.hosts.items() for word in ("--name", f"{name}={host.uri}")]
        options = ["--shared-dir", str(self.lab.shared), "--domain-type", "qemu", "--json"]
        return self.evacuate("fleet", "adopt", *names, *options, *more, exit_code=exit_code)

    def start_workers(self) -> None:
        """Until every host is up and has reported."""
        for host in self.lab.hosts.values():
            self.start_worker(host)
        until(
            lambda: all(each.state == "up" and each.reported_at for each in self.hosts()),
            f"every host has reported (see {self.directory})",
            within=PATIENCE,
        )


@contextmanager
def adopting_stack(lab: Lab) -> Generator[AdoptingStack]:
    stack = AdoptingStack(lab)
    try:
        stack.serve()
        yield stack
    finally:
        stack.down()
