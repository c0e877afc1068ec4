"""Hosts whose guests run already are taken into the store as they are, and their guests get our mark."""

from collections.abc import Sequence
from pathlib import Path

from evacuation.adoption import Adopted
from services.hypervisors.libvirt.adopting import AdoptOptions, mark_guests, read_hosts, require_uri
from services.hypervisors.libvirt.markers import MARKER
from services.sql import SqlServices

__all__ = ["AdoptOptions", "adopt", "not_mounted_here", "require_uri"]


def adopt(services: SqlServices, uris: Sequence[str], options: AdoptOptions) -> tuple[Adopted, ...]:
    """What has changed by it. Nothing is changed, on hosts and in the store, if anything is refused. Where it ends in
    between, adopting again does the rest. Raises NotAdoptableError, HypervisorUnavailableError,
    StoreUnavailableError."""
    hosts = read_hosts(uris, options)
    found = services.adoption.adopt(hosts)
    marked = [_mark(services, uri, host.name, found, options) for uri, host in zip(uris, hosts, strict=True)]
    if any(marked):
        services.adoption.adopt(read_hosts(uris, options))
    return found


def _mark(services: SqlServices, uri: str, host: str, found: tuple[Adopted, ...], options: AdoptOptions) -> bool:
    """The store has them already. Whether a definition has changed by it."""
    left = {each.name for each in found if each.change == "left"}
    names = {each.id: each.name for each in services.views.instances()}
    here = (each for each in services.views.residences() if each.host == host and each.proof is None)
    epochs = {each.instance_id: each.epoch for each in here if names[each.instance_id] not in left}
    return mark_guests(uri, epochs, timeout=options.timeout)


def not_mounted_here(options: AdoptOptions) -> tuple[Path, ...]:
    """Shared directories that have no marker here: the host workers write it."""
    return tuple(each for each in options.shared_dirs if not (each / MARKER).exists())
