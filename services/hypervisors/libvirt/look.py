"""What runs on a libvirt host at this moment, for whoever asks."""

from collections.abc import Iterable

from evacuation.capabilities import HostLook, SeenDomain
from evacuation.texts import shorten, size
from services.hypervisors.libvirt.capabilities import seen_domain
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.markers import mark_all
from services.hypervisors.libvirt.options import LibvirtOptions
from services.hypervisors.libvirt.survey import live_domains

NAME_LIMIT = 60
"""Bytes of a domain's name in JSON."""
DISKS_LIMIT = 150_000
"""Bytes of all the disks of a host in JSON: four hosts of a thousand guests each go into one message of 2 MiB."""


class LibvirtLook:
    """The port `Looking`."""

    def __init__(self, options: LibvirtOptions, connection: LibvirtConnection) -> None:
        self._options = options
        self._connection = connection

    def look(self) -> HostLook:
        domains = live_domains(self._connection, host=self._options.host)
        directories = self._options.shared_dirs
        shared = self._connection.elsewhere("a look at the shared directories", lambda: mark_all(directories))
        return HostLook(domains=bounded(map(seen_domain, domains)), shared=shared)


def bounded(domains: Iterable[SeenDomain]) -> tuple[SeenDomain, ...]:
    """All of them, with the disks of those for which there is room: what is left out is not known."""
    room, told = DISKS_LIMIT, list[SeenDomain]()
    for each in domains:
        short = each.model_copy(update={"name": shorten(each.name, NAME_LIMIT)})
        needed = sum(size(disk) + 3 for disk in (*(each.disks or ()), *each.shareable))
        if needed > room:
            short = short.model_copy(update={"disks": None, "shareable": ()})
        else:
            room -= needed
        told.append(short)
    return tuple(told)


def look_of(options: LibvirtOptions) -> LibvirtLook:
    return LibvirtLook(options, LibvirtConnection(options.uri, options.host, timeout=options.call_timeout))
