"""A definition with the disks that its guest writes to as it runs.

libvirt keeps both the same when it takes a snapshot, or merges one. Whoever defines a guest again from an old file
while it runs on an overlay leaves a definition that names its base: started from that, it would go on from the day of
the snapshot, and what it wrote to the base would make the overlay useless."""

from copy import deepcopy
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from evacuation.errors import MalformedDefinitionError
from services.definitions.libvirt.definition import disk_of
from services.definitions.libvirt.trees import tree_of

WRITTEN = ("disk", "lun")
OF_THIS_RUN = ("backingStore", "mirror")


def as_it_runs(definition: str, live: str | None) -> str:
    """To the letter as it is, where it names what is written to. Media in drives, and disks that are thrown away at the
    end of the run, are the definition's. `live` None: it does not run. Raises MalformedDefinitionError."""
    if live is None:
        return definition
    domain = _tree(definition)
    changed = _changed(domain, live)
    for disk, other in changed:
        _go_on_from(disk, other)
    return ElementTree.tostring(domain, encoding="unicode") if changed else definition


def named_instead(definition: str, live: str | None) -> tuple[str, ...]:
    """What the definition names where something else is written to. Raises MalformedDefinitionError."""
    changed = _changed(_tree(definition), live) if live is not None else []
    return tuple(disk_of(disk).source for disk, _ in changed)


def _changed(domain: Element, live: str) -> list[tuple[Element, Element]]:
    """Its disks, each with the one of now."""
    runs = _by_target(_tree(live))
    return [(disk, runs[target]) for target, disk in _by_target(domain).items() if _differs(disk, runs.get(target))]


def _tree(text: str) -> Element:
    try:
        return tree_of(text)
    except MalformedDefinitionError as error:
        raise MalformedDefinitionError(f"what libvirt says of it as it runs: {error.message}") from error


def _by_target(domain: Element) -> dict[str, Element]:
    found = ((disk_of(each), each) for each in domain.findall("devices/disk") if each.find("transient") is None)
    return {said.target: each for said, each in found if said.device in WRITTEN and not said.read_only}


def _differs(disk: Element, live: Element | None) -> bool:
    if live is None:
        return False
    runs = disk_of(live)
    return not runs.is_empty and disk_of(disk).source != runs.source


def _go_on_from(disk: Element, live: Element) -> None:
    disk.set("type", live.get("type", "file"))
    for old in [each for name in ("source", *OF_THIS_RUN) for each in disk.findall(name)]:
        disk.remove(old)
    for source in live.findall("source"):
        fresh = deepcopy(source)
        fresh.attrib.pop("index", None)
        disk.append(fresh)
    kind = live.find("driver")
    if kind is not None and kind.get("type") is not None:
        _driver(disk).set("type", kind.get("type", ""))


def _driver(disk: Element) -> Element:
    found = disk.find("driver")
    return ElementTree.SubElement(disk, "driver", {"name": "qemu"}) if found is None else found
