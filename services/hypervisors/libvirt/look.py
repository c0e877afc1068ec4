"""What runs on a libvirt host at this moment, for whoever asks."""

from collections import Counter
from collections.abc import Iterable, Sequence

from evacuation.capabilities import HostLook, SeenDomain
from evacuation.texts import shorten, size
from services.hypervisors.libvirt.api import LibvirtError
from services.hypervisors.libvirt.capabilities import seen_domain
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.domains import Domains
from services.hypervisors.libvirt.failures import unavailable
from services.hypervisors.libvirt.lost import Lost, LostGuests
from services.hypervisors.libvirt.markers import mark_all
from services.hypervisors.libvirt.options import LibvirtOptions
from services.hypervisors.libvirt.processes import Qemu
from services.hypervisors.libvirt.survey import LiveDomain, live_domains
from services.hypervisors.memory import GuestFiles, GuestMemory

NAME_LIMIT = 60
"""Bytes of a domain's name in JSON."""
DISKS_LIMIT = 150_000
"""Bytes of all the disks of a host in JSON: four hosts of a thousand guests each go into one message of 2 MiB."""


class LibvirtLook:
    """The port `Looking`. A guest that libvirt has lost runs as every other one; its disks are not known."""

    def __init__(self, options: LibvirtOptions, connection: LibvirtConnection) -> None:
        self._options = options
        self._connection = connection
        self._domains = Domains(connection)
        files = GuestFiles(options.state_dir)
        memory = GuestMemory(files, options.host)
        self._lost = LostGuests(options, connection, self._domains, files, memory)

    def look(self) -> HostLook:
        try:
            running = self._lost.running()
            domains = live_domains(self._connection, host=self._options.host)
            lost = self._lost_among(running, domains)
        except LibvirtError as error:
            raise unavailable(error, host=self._options.host) from error
        directories = self._options.shared_dirs
        shared = self._connection.elsewhere("a look at the shared directories", lambda: mark_all(directories))
        return HostLook(domains=bounded([*map(seen_domain, domains), *map(_lost_domain, lost)]), shared=shared)

    def _lost_among(self, running: Sequence[Qemu], domains: Sequence[LiveDomain]) -> tuple[Lost, ...]:
        """libvirt is asked for all that it knows only where a process is nobody's there."""
        processes = Counter(each.instance_id for each in running)
        processes.subtract(each.id for each in domains)
        nobodys = [each for each in running if each.instance_id is not None and processes[each.instance_id] > 0]
        return self._lost.among(nobodys, self._domains.all()) if nobodys else ()


def _lost_domain(lost: Lost) -> SeenDomain:
    return SeenDomain(
        id=lost.instance_id,
        name=f"process {lost.qemu.pid}",
        active=True,
        epoch=lost.epoch,
        state="paused" if lost.qemu.stopped else "running",
    )


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
