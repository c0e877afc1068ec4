"""Whether a guest that runs has the volumes that it is to have.

The guest's own files are not compared: what it runs from may be the overlay of a snapshot, and another file would take
from it what it has written since. What it has beside its volumes (media, what was plugged in) is nobody's concern."""

from collections.abc import Iterable
from typing import NamedTuple
from xml.etree.ElementTree import Element

from evacuation import messages as m
from services.definitions.libvirt.trees import number_in, tree_of

NBD_PORT = 10809


class Source(NamedTuple):
    """A network volume, as it is opened."""

    protocol: str
    name: str
    host: str
    port: int


def has_volumes(live: str, disks: Iterable[m.GuestDisk]) -> bool:
    """`live`: the definition of what runs. A volume of which nobody says where it is, is taken to be there."""
    return wanted_sources(disks) <= live_sources(live)


def wanted_sources(disks: Iterable[m.GuestDisk]) -> frozenset[Source]:
    return frozenset(
        Source(each.target.protocol, each.target.export or each.attachment_id, each.target.host, each.target.port)
        for each in disks
        if each.target is not None
    )


def live_sources(live: str) -> frozenset[Source]:
    """Raises MalformedDefinitionError."""
    found = tree_of(live).findall("devices/disk/source[@protocol]")
    return frozenset(source for each in found if (source := _source(each)) is not None)


def _source(element: Element) -> Source | None:
    server = element.find("host")
    if server is None:
        return None
    port = number_in(server.get("port") or str(NBD_PORT))
    return Source(element.get("protocol", ""), element.get("name", ""), server.get("name", ""), port or 0)
