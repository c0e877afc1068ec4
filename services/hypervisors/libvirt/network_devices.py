"""The network devices that a guest's interfaces can be put on: those of libvirtd's network namespace, which need not
be this process's."""

import socket
import struct
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from services.hypervisors.libvirt.devices import FRESH_TAPS

SOCKETS = (Path("/run/libvirt/virtqemud-sock"), Path("/run/libvirt/libvirt-sock"))
TIMEOUT = 2.0
_CREDENTIALS = struct.Struct("3i")


def network_devices(uri: str) -> tuple[str, ...] | None:
    """Without those that guests bring along. None: libvirtd is not on this machine, or not to be seen."""
    for path in _sockets(uri):
        with suppress(OSError):
            pid = _peer(path)
            return _devices(Path(f"/proc/{pid}/net/dev").read_text(encoding="utf-8")) if pid else None
    return None


def _sockets(uri: str) -> tuple[Path, ...]:
    parts = urlsplit(uri)
    if parts.netloc or parts.scheme not in ("qemu", "qemu+unix"):
        return ()
    named = parse_qs(parts.query).get("socket")
    return (Path(named[0]),) if named else SOCKETS


def _peer(path: Path) -> int:
    """Who listens: the daemon, or systemd on its behalf, in the same namespace. 0: in a place that we cannot see."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
        asker.settimeout(TIMEOUT)
        asker.connect(str(path))
        found = asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(found)[0])


def _devices(table: str) -> tuple[str, ...]:
    names = (line.partition(":")[0].strip() for line in table.splitlines()[2:])
    return tuple(sorted(name for name in names if name and not name.startswith(FRESH_TAPS)))
