"""Hosts that are to be adopted: read all at once, marked afterwards."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

from evacuation.adoption import AdoptedHost
from evacuation.epochs import UNMARKED
from evacuation.errors import HypervisorUnableError, NotAdoptableError
from evacuation.model import Frozen
from services.hypervisors.libvirt.adoptable import adopted_host
from services.hypervisors.libvirt.api import LibvirtError
from services.hypervisors.libvirt.capabilities import dotted
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.domains import Domains
from services.hypervisors.libvirt.failures import unavailable
from services.hypervisors.libvirt.markers import mark_all
from services.hypervisors.libvirt.survey import Survey, survey_of

URI = re.compile(r"(qemu|test)(\+[a-z0-9]+)?://.*", re.IGNORECASE | re.DOTALL)
AT_ONCE = 16
OLDEST = 7_000_000
"""In libvirt's own counting."""


class AdoptOptions(Frozen):
    """`names` by URI. `kind` is the type of domains whose CPU models are asked for. `timeout` in seconds."""

    names: dict[str, str] = {}
    shared_dirs: tuple[Path, ...] = ()
    skip: tuple[str, ...] = ()
    availability_zone: str | None = None
    cpu_allocation_ratio: float | None = None
    ram_allocation_ratio: float | None = None
    kind: str = "kvm"
    timeout: float = 10.0


def require_uri(text: str) -> str:
    """Raises NotAdoptableError."""
    if URI.fullmatch(text) is None:
        raise NotAdoptableError(
            f"{text!r} is not a libvirt URI of QEMU's",
            remedy="give qemu:///system, qemu+tls://HOST/system, qemu+ssh://HOST/system, …",
        )
    return text


def read_hosts(uris: Sequence[str], options: AdoptOptions) -> tuple[AdoptedHost, ...]:
    """Every host as it was at one moment, or the first error in the order of the URIs. Raises NotAdoptableError,
    HypervisorUnableError, HypervisorUnavailableError."""
    with ThreadPoolExecutor(min(AT_ONCE, max(1, len(uris)))) as pool:
        found = list(pool.map(partial(_read, options=options), uris))
        # Only when all were read: a guest that moves may be read where it is not yet, and where it is no more.
        later = list(pool.map(partial(there_now, timeout=options.timeout), uris))
    _require_unchanged(uris, found, later)
    _require_known_skips(found, options.skip)
    shared = mark_all(options.shared_dirs)
    return tuple(
        adopted_host(
            each,
            name=options.names.get(uri),
            shared=shared,
            shared_dirs=options.shared_dirs,
            skip=options.skip,
            availability_zone=options.availability_zone,
            cpu_allocation_ratio=options.cpu_allocation_ratio,
            ram_allocation_ratio=options.ram_allocation_ratio,
        )
        for uri, each in zip(uris, found, strict=True)
    )


def _read(uri: str, options: AdoptOptions) -> Survey:
    with closing(LibvirtConnection(uri, uri, timeout=options.timeout)) as connection:
        found = survey_of(connection, options.kind, host=uri)
    if found.version < OLDEST:
        raise HypervisorUnableError(
            f"libvirt {dotted(found.version)} at {uri} is too old", remedy=f"{dotted(OLDEST)} or newer is needed"
        )
    return found


def there_now(uri: str, timeout: float) -> frozenset[tuple[str, bool]]:
    """Which domains are there, and whether they are active."""
    with closing(LibvirtConnection(uri, uri, timeout=timeout)) as connection:
        try:
            return frozenset((each.instance_id, each.active) for each in Domains(connection).all())
        except LibvirtError as error:
            raise unavailable(error, host=uri) from error


def _require_unchanged(
    uris: Sequence[str], found: Sequence[Survey], later: Sequence[frozenset[tuple[str, bool]]]
) -> None:
    for uri, survey, now in zip(uris, found, later, strict=True):
        if frozenset((each.id, each.active) for each in survey.domains) != now:
            raise NotAdoptableError(
                f"the domains at {uri} changed while the hosts were read", remedy="adopt again when nothing moves there"
            )


def _require_known_skips(found: Sequence[Survey], skip: Sequence[str]) -> None:
    """A name that is left out and is nowhere is a mistake."""
    known = {key for host in found for each in host.domains for key in (each.name, each.id)}
    for each in skip:
        if each not in known:
            raise NotAdoptableError(f"no domain is called {each}", remedy="see the names with `virsh list --all`")


def mark_guests(uri: str, epochs: dict[str, int], *, timeout: float) -> bool:
    """Each of these domains carries its epoch, if it carried none, and is not started by libvirtd by itself,
    also if that was set since; whether one carried none. Raises HypervisorUnavailableError, HypervisorUnableError."""
    with closing(LibvirtConnection(uri, uri, timeout=timeout)) as connection:
        domains = Domains(connection)
        try:
            here = [each for each in domains.all() if each.instance_id in epochs]
            unmarked = [each for each in here if each.epoch == UNMARKED]
            for seen in unmarked:
                domains.mark(seen.instance_id, epochs[seen.instance_id])
            for seen in here:
                domains.put_off_autostart(seen.instance_id)
        except LibvirtError as error:
            raise unavailable(error, host=uri) from error
    return bool(unmarked)
