"""Whether a libvirt is the one of the machine that its worker runs on.

A worker speaks for its host: that it answers says that the host is up, and the boot that it names is that of its own
kernel. With the libvirt of another machine it would say so of a host that is dead, and see none of its boots."""

import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from evacuation.errors import EvacuateError, HypervisorUnableError, HypervisorUnavailableError
from evacuation.system_uuid import system_uuid
from services.hypervisors.libvirt.api import LibvirtError
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.failures import URI_REMEDY, require_known_uri
from services.hypervisors.libvirt.identity import host_uuid

REMEDY = "run the worker of a host on that host, with EVACUATE_LIBVIRT_URI=qemu:///system (fleet adopt runs anywhere)"
STAT = Path("/proc/stat")
UUIDS = (Path("/sys/class/dmi/id/product_uuid"), Path("/etc/machine-id"))
"""What libvirt takes a host's uuid from, unless it was set by hand."""
SLACK = 10.0
"""Seconds of processor time: the kernel's counters do not grow as evenly as they should."""
SECOND = 1_000_000_000


class Locality:
    """libvirt says how much time this machine's processors have spent since its boot, and so does the kernel here: no
    two machines, and no two boots of one, agree on all of it. A uuid alone would not do: it is often set by hand."""

    def __init__(
        self, uri: str, connection: LibvirtConnection, *, stat: Path = STAT, uuids: Sequence[Path] = UUIDS
    ) -> None:
        self._uri = uri
        self._connection = connection
        self._stat = stat
        self._uuids = uuids
        self._is_known = False
        self._was_asked = False

    def require(self) -> None:
        """Asked until it has answered once. Raises HypervisorUnableError, HypervisorUnavailableError, LibvirtError."""
        if self._is_known:
            return
        require_known_uri(self._uri)
        require_local(self._uri)
        self._was_asked = True
        if not self._uri.startswith("test:"):
            self._compare()
        self._is_known = True

    def require_if_it_answers(self) -> None:
        """As `require`; a libvirt that is silent is waited for once. Raises HypervisorUnableError."""
        if not self._was_asked:
            with suppress(HypervisorUnavailableError, LibvirtError):
                self.require()

    def _compare(self) -> None:
        before = spent(self._stat)
        machine: dict[str, Any] = self._connection.reading("machine")
        said, after = machine["times"], spent(self._stat)
        if said is None or not any(before.values()) or _is_between(before, said, after):
            return
        if not self._has_our_uuid(machine["capabilities"]):
            raise _elsewhere(self._uri, machine["hostname"])

    def _has_our_uuid(self, capabilities: str) -> bool:
        """Where this system shows other counters than the kernel's own, as some containers do."""
        try:
            said = system_uuid(host_uuid(capabilities))
        except EvacuateError:
            return False
        return said is not None and said in {_uuid_in(path) for path in self._uuids}


def require_local(uri: str) -> None:
    """The URI names no other machine. Raises HypervisorUnableError."""
    try:
        server = urlsplit(uri).hostname
    except ValueError as error:
        raise HypervisorUnableError(f"{uri} is no URI of a libvirt: {error}", remedy=URI_REMEDY) from error
    if server and not _is_own(server):
        raise _elsewhere(uri, server)


def spent(stat: Path) -> dict[str, int]:
    """Nanoseconds of all processors since the boot, in libvirt's words for them; nothing where there are none."""
    with suppress(OSError, ValueError):
        line = stat.read_text(encoding="ascii").partition("\n")[0].split()
        user, nice, system, idle, iowait, irq, softirq = map(int, line[1:8])
        ticks = {"user": user + nice, "kernel": system + irq + softirq, "idle": idle, "iowait": iowait}
        return {name: each * SECOND // os.sysconf("SC_CLK_TCK") for name, each in ticks.items()}
    return {}


def _is_between(before: Mapping[str, int], said: Mapping[str, int], after: Mapping[str, int]) -> bool:
    slack = SLACK * SECOND
    return all(
        before[name] - slack <= each <= after.get(name, before[name]) + slack
        for name, each in said.items()
        if name in before
    )


def _is_own(server: str) -> bool:
    """Every address that the name stands for is one of this machine's: a socket can be bound to it."""
    try:
        found = socket.getaddrinfo(server, 0, type=socket.SOCK_DGRAM)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as own:
                own.bind(address)
    except OSError:
        return False
    return True


def _uuid_in(path: Path) -> str | None:
    with suppress(OSError, UnicodeDecodeError):
        return system_uuid(path.read_text(encoding="ascii"))
    return None


def _elsewhere(uri: str, machine: str) -> HypervisorUnableError:
    return HypervisorUnableError(f"{uri} is the libvirt of {machine}, not of this machine", remedy=REMEDY)
