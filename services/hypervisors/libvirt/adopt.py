"""Hosts that are to be adopted: read all at once, marked afterwards."""

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from evacuation.adoption import AdoptedHost
from evacuation.errors import NotAdoptableError
from evacuation.model import Frozen
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.domains import Domains
from services.hypervisors.libvirt.markers import mark_all
from services.hypervisors.libvirt.metadata import UNMARKED
from services.hypervisors.libvirt.survey import Survey, adopted_host, survey

URI = re.compile(r"(qemu|test)(\+[a-z0-9]+)?://.*", re.IGNORECASE | re.DOTALL)
AT_ONCE = 16


class AdoptOptions(Frozen):
    """`names` by URI. `kind` is the type of domains whose CPU models are asked for."""

    names: dict[str, str] = {}
    shared_dirs: tuple[Path, ...] = ()
    skip: tuple[str, ...] = ()
    availability_zone: str | None = None
    cpu_allocation_ratio: float | None = None
    ram_allocation_ratio: float | None = None
    kind: str = "kvm"
    timeout: float = 15.0


def require_uri(text: str) -> str:
    """Raises NotAdoptableError."""
    if URI.fullmatch(text) is None:
        raise NotAdoptableError(
            f"{text!r} is not a libvirt URI of QEMU's",
            remedy="give qemu:///system, qemu+tls://HOST/system, qemu+ssh://HOST/system, …",
        )
    return text


def read_hosts(uris: Sequence[str], options: AdoptOptions) -> tuple[AdoptedHost, ...]:
    """Every host, or the first error in the order of the URIs. Raises NotAdoptableError, HypervisorUnableError,
    HypervisorUnavailableError."""
    read = partial(survey, timeout=options.timeout, kind=options.kind)
    with ThreadPoolExecutor(min(AT_ONCE, max(1, len(uris)))) as pool:
        found = list(pool.map(read, uris))
    shared = mark_all(options.shared_dirs)
    return tuple(
        adopted_host(
            each,
            name=options.names.get(each.uri),
            shared=shared,
            shared_dirs=options.shared_dirs,
            skip=options.skip,
            availability_zone=options.availability_zone,
            cpu_allocation_ratio=options.cpu_allocation_ratio,
            ram_allocation_ratio=options.ram_allocation_ratio,
        )
        for each in _known_skips(found, options.skip)
    )


def _known_skips(found: list[Survey], skip: Iterable[str]) -> list[Survey]:
    """A name that is left out and is nowhere is a mistake."""
    names = {each.name for host in found for each in host.capabilities.domains}
    ids = {each.id for host in found for each in host.capabilities.domains}
    for each in skip:
        if each not in names | ids:
            raise NotAdoptableError(f"no domain is called {each}", remedy="see the names with `virsh list --all`")
    return found


def mark_guests(uri: str, epochs: dict[str, int], *, timeout: float) -> bool:
    """Each of these domains carries its epoch, if it carried none, and is not started by libvirtd on its own account;
    whether one carried none. Raises HypervisorUnavailableError, and libvirt's errors."""
    domains = Domains(LibvirtConnection(uri, uri, timeout=timeout))
    unmarked = [each for each in domains.all() if each.instance_id in epochs and each.epoch == UNMARKED]
    for seen in unmarked:
        domains.mark(seen.instance_id, epochs[seen.instance_id])
    return bool(unmarked)
