"""The whole lab: hosts on one switch, shared storage, and nothing of it left afterwards, also after a failure."""

import os
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.libvirt.lab.certificates import make_certificates
from tests.libvirt.lab.fabric import Fabric, sweep
from tests.libvirt.lab.guest_image import GuestImage, guest_image
from tests.libvirt.lab.host import LabHost
from tests.libvirt.lab.shell import is_alive, require_root, run

FIRST_OCTET = 11


class Lab:
    """`shared` is the shared storage of all hosts."""

    def __init__(
        self, directory: Path, image: GuestImage, hosts: Sequence[str], number: int, *, tls: bool = False
    ) -> None:
        self.directory = directory
        self.image = image
        self.shared = directory / "shared"
        self.fabric = Fabric(f"ev{os.getpid()}x{number}")
        self.pki = directory / "pki" if tls else None
        self.hosts = {
            name: LabHost(name, FIRST_OCTET + number, directory, self.fabric, tls=self.pki)
            for number, name in enumerate(hosts)
        }
        self._loops: list[str] = []

    def up(self) -> None:
        self.shared.mkdir(parents=True)
        self.fabric.up()
        if self.pki is not None:
            make_certificates(self.pki, {host.name: host.address for host in self.hosts.values()})
        for host in self.hosts.values():
            host.power_on()
        for host in self.hosts.values():
            # libvirtd tries its QEMU at the first question, for seconds: no test is to wait for that.
            host.run("virsh", "-q", "capabilities")

    def down(self) -> None:
        """Everything, also when a part of it fails."""
        with ExitStack() as everything:
            everything.callback(self.drop_loop_devices)
            everything.callback(self.fabric.down)
            for host in self.hosts.values():
                everything.callback(host.remove)

    def drop_loop_devices(self) -> None:
        while self._loops:
            run("losetup", "-d", self._loops.pop(), check=False)

    def loop_device(self, file: Path) -> str:
        """A block device over the file: two of them are one LUN that two hosts see, with no lock in between."""
        device = run("losetup", "-f", "--show", "--direct-io=on", str(file)).strip()
        self._loops.append(device)
        return device

    def disk(self, name: str, kind: str = "raw") -> Path:
        """A fresh, empty disk on the shared storage."""
        path = self.shared / f"{name}.{kind}"
        path.unlink(missing_ok=True)
        run("qemu-img", "create", "-q", "-f", kind, str(path), "8M")
        return path


@contextmanager
def lab_of(*hosts: str, named: int = 0, tls: bool = False) -> Generator[Lab]:
    """Hosts that are on. Needs root, libvirtd and QEMU. Labs of one process have different numbers."""
    require_root()
    sweep()
    sweep_directories()
    image = guest_image()
    directory = Path(tempfile.mkdtemp(prefix=f"evlab-{os.getpid()}-"))
    lab = Lab(directory, image, hosts, named, tls=tls)
    try:
        lab.up()
        yield lab
    finally:
        try:
            lab.down()
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def sweep_directories() -> None:
    """What labs left on disk whose maker was killed, with the loop devices over it."""
    for path in Path(tempfile.gettempdir()).glob("evlab-*-*"):
        maker = path.name.split("-")[1]
        if maker.isdecimal() and not is_alive(int(maker)):
            for file in path.glob("shared/*"):
                for line in run("losetup", "-j", str(file), check=False).splitlines():
                    run("losetup", "-d", line.partition(":")[0], check=False)
            shutil.rmtree(path, ignore_errors=True)
