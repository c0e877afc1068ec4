"""Whether a libvirt host can take guests: its libvirt answers and can run them, and it sees the shared disks."""

import socket
import uuid
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from evacuation.errors import DestinationUnableError
from evacuation.messages import GuestDisk
from services.hypervisors.libvirt.api import Code, LibvirtError
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.files import why_unusable
from services.hypervisors.libvirt.options import LibvirtOptions

CONNECT_TIMEOUT = 5.0


class Ability:
    """What a host must be able to do before it takes a guest. Each call looks at the host itself."""

    def __init__(self, options: LibvirtOptions, connection: LibvirtConnection) -> None:
        self._options = options
        self._connection = connection

    def require_domain_type(self) -> None:
        """Raises DestinationUnableError."""
        kind, machine = self._options.domain_type, self._options.machine
        try:
            self._connection.reading("domain_capabilities", machine, kind)
        except LibvirtError as error:
            if error.code == Code.NO_SUPPORT:
                return
            if error.is_lost_connection:
                raise
            raise DestinationUnableError(
                f"{self._options.host} cannot run domains of type {kind}: {error}",
                remedy="load the host's KVM module, or set EVACUATE_LIBVIRT_DOMAIN_TYPE=qemu",
            ) from error

    def require_shared_dirs(self) -> None:
        """What is written there can be read back. Raises DestinationUnableError."""
        for directory in self._options.shared_dirs:
            self._connection.elsewhere(f"a look at {directory}", partial(self._require, directory))

    def _require(self, directory: Path) -> None:
        probe = directory / f".evacuate.{self._options.host}.{uuid.uuid4()}"
        try:
            probe.write_text(self._options.host, encoding="utf-8")
            seen = probe.read_text(encoding="utf-8")
            probe.unlink()
        except OSError as error:
            raise DestinationUnableError(
                f"shared disks are not visible on {self._options.host}: {directory}: {error.strerror}",
                remedy="mount the shared storage there",
            ) from error
        if seen != self._options.host:
            raise DestinationUnableError(f"{directory} does not keep what {self._options.host} writes")

    def require_files(self, name: str, paths: tuple[str, ...]) -> None:
        """Of a guest's disks, and what they are based on. Those of a libvirt elsewhere cannot be seen from here. Raises
        DestinationUnableError."""
        if not paths or urlsplit(self._options.uri).netloc:
            return
        why = self._connection.elsewhere("a look at the disks", partial(why_unusable, paths))
        if why is not None:
            raise DestinationUnableError(
                f"a disk of {name} cannot be used on {self._options.host}: {why}",
                remedy="restore it, or mount the storage that has it",
            )

    def require_volumes(self, disks: tuple[GuestDisk, ...]) -> None:
        """Somebody listens where each attachment is said to be. Raises DestinationUnableError."""
        for host, port in {(disk.target.host, disk.target.port) for disk in disks if disk.target is not None}:
            self._connection.elsewhere("the volume server", partial(self._require_server, host, port))

    def _require_server(self, host: str, port: int) -> None:
        try:
            socket.create_connection((host, port), timeout=CONNECT_TIMEOUT).close()
        except OSError as error:
            raise DestinationUnableError(
                f"the volume server {host}:{port} cannot be reached from {self._options.host}: {error}",
                remedy="make it reachable from this host",
            ) from error


def own_address(target: str = "192.0.2.1") -> str:
    """The address that this host speaks from; loopback when it has no route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
        try:
            speaker.connect((target, 9))
            return str(speaker.getsockname()[0])
        except OSError:
            return "127.0.0.1"
