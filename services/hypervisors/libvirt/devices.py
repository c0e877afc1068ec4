"""Disks and NICs of a definition, placed for a destination."""

from xml.etree.ElementTree import Element, SubElement

from evacuation.errors import DestinationUnableError
from evacuation.messages import GuestDisk, GuestSpec, Nic
from services.hypervisors.libvirt.options import LibvirtOptions

FRESH_TAPS = ("vnet", "macvtap", "tap")


def devices_of(domain: Element) -> Element:
    found = domain.find("devices")
    return SubElement(domain, "devices") if found is None else found


def place_disks(domain: Element, guest: GuestSpec, options: LibvirtOptions) -> None:
    """Every attached volume is where its attachment says. Shared files stay as they are."""
    devices = devices_of(domain)
    for disk in guest.disks:
        found = _disk_at(devices, disk.device)
        if disk.target is not None:
            _connect(found if found is not None else _new_disk(devices, disk.device), disk, options.reconnect_delay)
        elif found is None:
            raise DestinationUnableError(
                f"volume {disk.volume_id} of {guest.name} ({disk.device}) cannot be reached from {options.host}",
                remedy="use a volume service that says where its attachments are",
            )


def _disk_at(devices: Element, device: str) -> Element | None:
    name = device.removeprefix("/dev/")
    return next((disk for disk in devices.findall("disk") if _target(disk) == name), None)


def _target(disk: Element) -> str | None:
    target = disk.find("target")
    return target.get("dev") if target is not None else None


def _new_disk(devices: Element, device: str) -> Element:
    disk = SubElement(devices, "disk", {"device": "disk"})
    SubElement(disk, "driver", {"name": "qemu", "type": "raw", "cache": "none"})
    SubElement(disk, "target", {"dev": device.removeprefix("/dev/"), "bus": "virtio"})
    return disk


def _connect(disk: Element, wanted: GuestDisk, reconnect_delay: int) -> None:
    """A network source, named with the attachment: once that is deleted, whoever still has it writes nothing, however
    often it connects again. Requests wait for `reconnect_delay` seconds for a server that is gone."""
    assert wanted.target is not None
    disk.set("type", "network")
    driver = disk.find("driver")
    if driver is not None:
        driver.set("type", "raw")
    for old in [*disk.findall("source"), *disk.findall("backingStore")]:
        disk.remove(old)
    source = Element(
        "source", {"protocol": wanted.target.protocol, "name": wanted.target.export or wanted.attachment_id}
    )
    SubElement(source, "host", {"name": wanted.target.host, "port": str(wanted.target.port)})
    if reconnect_delay:
        SubElement(source, "reconnect", {"delay": str(reconnect_delay)})
    disk.insert(1 if driver is not None else 0, source)


def place_nics(domain: Element, guest: GuestSpec, options: LibvirtOptions) -> None:
    """One interface per port, found by its MAC; one that is there already is never added a second time."""
    devices = devices_of(domain)
    for interface in devices.findall("interface"):
        _forget_tap(interface)
    for nic in guest.nics:
        interface = _interface(devices, nic.mac)
        bridge = nic.bridge or options.bridges.get(nic.network)
        if interface is not None and bridge is not None:
            _join(interface, nic, bridge)
        elif interface is None:
            _join(_new_interface(devices, nic), nic, bridge or _no_bridge(guest, nic, options))


def _interface(devices: Element, mac: str) -> Element | None:
    for interface in devices.findall("interface"):
        address = interface.find("mac")
        if address is not None and address.get("address", "").lower() == mac.lower():
            return interface
    return None


def _forget_tap(interface: Element) -> None:
    """The tap's name was the old host's choice."""
    for target in interface.findall("target"):
        if target.get("dev", "").startswith(FRESH_TAPS):
            interface.remove(target)


def _new_interface(devices: Element, nic: Nic) -> Element:
    interface = SubElement(devices, "interface")
    SubElement(interface, "mac", {"address": nic.mac})
    SubElement(interface, "model", {"type": "virtio"})
    return interface


def _join(interface: Element, nic: Nic, bridge: str) -> None:
    interface.set("type", "bridge")
    for old in interface.findall("source"):
        interface.remove(old)
    interface.insert(1, Element("source", {"bridge": bridge}))
    if nic.openvswitch and interface.find("virtualport") is None:
        port = SubElement(interface, "virtualport", {"type": "openvswitch"})
        SubElement(port, "parameters", {"interfaceid": nic.port_id})


def _no_bridge(guest: GuestSpec, nic: Nic, options: LibvirtOptions) -> str:
    raise DestinationUnableError(
        f"no bridge of {options.host} is known for network {nic.network} of {guest.name}",
        remedy=f"name it, for example EVACUATE_LIBVIRT_BRIDGES={nic.network}=br0",
    )
