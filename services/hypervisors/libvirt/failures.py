"""What libvirt's errors mean here. Its codes are coarse: some causes can only be told apart by their text."""

import re
from typing import NamedTuple

from evacuation.errors import (
    AttachmentLostError,
    DestinationUnableError,
    DiskLockedError,
    EvacuateError,
    HypervisorUnableError,
    HypervisorUnavailableError,
    SpawnFailedError,
)
from services.hypervisors.libvirt.api import Code, LibvirtError


class Meaning(NamedTuple):
    """A text of a failed define or create, and what it is here."""

    text: "re.Pattern[str]"
    error: type[EvacuateError]
    remedy: str


def _meaning(pattern: str, error: type[EvacuateError], remedy: str) -> Meaning:
    return Meaning(re.compile(pattern, re.IGNORECASE | re.DOTALL), error, remedy)


MEANINGS = (
    _meaning(
        r'Failed to get (shared )?"[^"]+" lock|Lockspace resource .* is locked|resource busy',
        DiskLockedError,
        "find out which host still runs a copy, and fence it",
    ),
    _meaning(
        r"Requested export not available|export '[^']*' not present",
        AttachmentLostError,
        "the volume service no longer exports this attachment",
    ),
    _meaning(
        r"Failed to connect to .*(refused|timed out|unreachable|No route)|Failed to open .*nbd",
        DestinationUnableError,
        "make the volume server reachable from this host",
    ),
    _meaning(
        r"Cannot get interface MTU|Unable to (add|create) (bridge|tap)|Network not found|network '[^']*' is not active"
        r"|ovs-vsctl|Unable to add port",
        DestinationUnableError,
        "make the guest's bridge or network on this host, or map its network to one (EVACUATE_LIBVIRT_BRIDGES)",
    ),
    _meaning(
        r"Cannot access (storage|backing) file|Could not open|No such file or directory|Permission denied"
        r"|error creating .* file|Stale file handle",
        DestinationUnableError,
        "make the guest's disks and files visible and readable on this host",
    ),
    _meaning(
        r"Cannot allocate memory|cannot set up guest memory|unable to map backing store",
        DestinationUnableError,
        "the host has not the memory that its inventory says",
    ),
    _meaning(
        r"already exists with uuid|is already defined with uuid",
        DestinationUnableError,
        "rename or undefine the domain that has this name on the host",
    ),
    _meaning(
        r"(could not find|no) (capabilities|emulator)|machine type|not supported|unsupported|doesn't support"
        r"|CPU (is )?(not )?compatible|invalid argument",
        DestinationUnableError,
        "set the host's EVACUATE_LIBVIRT_DOMAIN_TYPE, _MACHINE or _CPU to what it can run",
    ),
)

MOST_READ = 4096
"""Characters of a failure: names and paths in it are a stranger's."""

CONFIGURATION = (Code.XML_ERROR, Code.CONFIG_UNSUPPORTED, Code.NO_SUPPORT)


def spawn_failure(error: LibvirtError, *, guest: str, host: str) -> EvacuateError:
    """Of a define or a create: a refusal by the destination, a disk that somebody holds, or a failure to try again."""
    cause = str(error)
    if error.is_lost_connection:
        return unavailable(error, host=host)
    for meaning in MEANINGS:
        if meaning.text.search(cause[:MOST_READ]):
            return meaning.error(f"{guest} cannot start on {host}: {cause}", remedy=meaning.remedy)
    if error.code in CONFIGURATION:
        return DestinationUnableError(f"{guest} cannot be defined on {host}: {cause}")
    return SpawnFailedError(f"{guest} did not start on {host}: {cause}")


def unavailable(error: LibvirtError, *, host: str) -> EvacuateError:
    """Of anything else than a define or a create."""
    return HypervisorUnavailableError(
        f"libvirt on {host} failed: {error}", remedy="see whether libvirtd runs there and answers"
    )


DRIVERS = ("qemu", "test")
TRANSPORTS = ("", "unix", "tls", "ssh", "libssh", "libssh2", "tcp")
URI_REMEDY = (
    "known are qemu:///system, qemu+unix:///system?socket=PATH and, for fleet adopt, qemu+tls://HOST/system or "
    "qemu+ssh://HOST/system; a worker has its own in EVACUATE_LIBVIRT_URI"
)


def require_known_uri(uri: str) -> None:
    """libvirt takes an unknown driver for a remote one, and complains about certificates. Raises
    HypervisorUnableError."""
    driver, _, transport = uri.partition(":")[0].partition("+")
    if "://" not in uri or driver not in DRIVERS or transport not in TRANSPORTS:
        raise HypervisorUnableError(f"{uri} is no URI of a libvirt that is known here", remedy=URI_REMEDY)


def open_failure(cause: str, *, uri: str) -> EvacuateError:
    """Why a connection could not be opened: what no repetition changes is a refusal."""
    for pattern, why, remedy in OPEN:
        if re.search(pattern, cause, re.IGNORECASE):
            return HypervisorUnableError(f"{why} ({uri}): {cause}", remedy=remedy)
    return HypervisorUnavailableError(
        f"libvirt does not answer at {uri}: {cause}", remedy="see whether libvirtd runs there and answers"
    )


OPEN = (
    (
        r"no connection driver available|unknown (driver|transport|connection)|unable to handle transport"
        r"|invalid (URI|connection)|malformed|no QEMU URI path|unexpected QEMU URI path|missing scheme",
        "libvirt knows no such URI",
        URI_REMEDY,
    ),
    (
        r"TLS|certificate|x509|cannot read CA|authentication",
        "libvirt refuses the connection",
        "check the client's and the server's certificates, or the permissions on libvirt's socket",
    ),
)
