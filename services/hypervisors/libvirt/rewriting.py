"""The definition that a destination brings a guest up from: the instance's own one, made right for this host.

Kept: everything that the guest sees (machine, CPU, devices and their addresses, firmware), shared files, other
metadata. Replaced: the mark, the domain type, sources of attached volumes, bridges of ports. Dropped: what is the old
host's (ids, tap names, the emulator's path, dynamic security labels).
"""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from evacuation.errors import DestinationUnableError, MalformedDefinitionError
from evacuation.messages import GuestSpec
from services.definitions.libvirt.metadata import replace_mark
from services.definitions.libvirt.trees import tree_of
from services.hypervisors.libvirt.devices import place_disks, place_nics
from services.hypervisors.libvirt.options import LibvirtOptions
from services.hypervisors.libvirt.plain import plain_definition

EMULATED_CPU = "maximum"
OF_THE_PROCESSOR = ("host-passthrough", "host-model")


def domain_for(guest: GuestSpec, options: LibvirtOptions, *, local: str | None = None) -> Element:
    """The whole domain, made from the stored definition; without one, from the host's template, from the `local`
    one that is defined here already, or from nothing.

    Raises DestinationUnableError: the definition cannot be read, or this host lacks what the guest needs."""
    domain = parse(guest.definition or plain_definition(guest, options, local), guest.name)
    _own(domain, guest)
    _strip_old_host(domain)
    _suit_processor(domain, options)
    place_disks(domain, guest, options)
    place_nics(domain, guest, options)
    replace_mark(domain, guest.instance_id, guest.epoch)
    return domain


def text_of(domain: Element) -> str:
    return ElementTree.tostring(domain, encoding="unicode")


def parse(definition: str, name: str) -> Element:
    try:
        domain = tree_of(definition)
    except MalformedDefinitionError as error:
        why = error.message.removeprefix("the definition ")
        raise DestinationUnableError(
            f"the definition of {name} {why}", remedy="load the instance's definition again"
        ) from error
    if domain.tag != "domain":
        raise DestinationUnableError(f"the definition of {name} is a <{domain.tag}>, not a <domain>")
    return domain


def _own(domain: Element, guest: GuestSpec) -> None:
    """The instance's id is the domain's uuid, always."""
    uuid = _child(domain, "uuid")
    if uuid.text and uuid.text.strip().lower() != guest.instance_id.lower():
        raise DestinationUnableError(
            f"the definition of {guest.name} is of {uuid.text.strip()}, not of {guest.instance_id}",
            remedy="load the instance's definition again",
        )
    uuid.text = guest.instance_id
    name = _child(domain, "name")
    name.text = name.text or guest.name


def _strip_old_host(domain: Element) -> None:
    domain.attrib.pop("id", None)
    for label in domain.findall("seclabel"):
        if label.get("type", "dynamic") == "dynamic":
            domain.remove(label)
    for parent in domain.iter():
        for alias in parent.findall("alias"):
            if not alias.get("name", "").startswith("ua-"):
                parent.remove(alias)
    for emulator in domain.findall("devices/emulator"):
        _child(domain, "devices").remove(emulator)


def _suit_processor(domain: Element, options: LibvirtOptions) -> None:
    """A CPU mode that is the processor's own cannot be emulated."""
    domain.set("type", options.domain_type)
    if options.machine:
        _child(_child(domain, "os"), "type").set("machine", options.machine)
    cpu = domain.find("cpu")
    if options.cpu:
        _set_cpu(domain, options.cpu)
    elif options.domain_type == "qemu" and cpu is not None and cpu.get("mode") in OF_THE_PROCESSOR:
        _set_cpu(domain, EMULATED_CPU)


def _set_cpu(domain: Element, model: str) -> None:
    """Topology and NUMA cells are the guest's; model and features are not."""
    cpu = _child(domain, "cpu")
    cpu.attrib.clear()
    for each in [*cpu.findall("model"), *cpu.findall("feature"), *cpu.findall("vendor")]:
        cpu.remove(each)
    if model in (*OF_THE_PROCESSOR, EMULATED_CPU):
        cpu.set("mode", model)
        return
    cpu.set("mode", "custom")
    cpu.set("match", "exact")
    SubElement(cpu, "model", {"fallback": "forbid"}).text = model


def _child(parent: Element, name: str) -> Element:
    found = parent.find(name)
    return SubElement(parent, name) if found is None else found
