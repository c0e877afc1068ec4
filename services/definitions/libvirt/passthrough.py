"""Devices of one host that a guest holds directly: no other host has them."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from evacuation.model import Frozen


class Passthrough(Frozen):
    """`kind` in words; `source` is the host's own name of it."""

    kind: str
    source: str

    @property
    def label(self) -> str:
        return f"{self.kind} {self.source}".strip()


KINDS = {
    "pci": "PCI device",
    "usb": "USB device",
    "scsi": "SCSI device",
    "scsi_host": "SCSI host",
    "mdev": "mediated device",
}


def passthrough_of(domain: Element) -> tuple[Passthrough, ...]:
    devices = domain.find("devices")
    return tuple(_found(devices)) if devices is not None else ()


def _found(devices: Element) -> Iterator[Passthrough]:
    for each in devices.findall("hostdev"):
        kind = each.get("type", "")
        yield Passthrough(kind=KINDS.get(kind, f"{kind or 'host'} device"), source=_source(each))
    for each in devices.findall("interface"):
        if each.get("type") == "hostdev":
            yield Passthrough(kind="network function", source=_source(each))
        if each.get("type") in ("vhostuser", "vdpa"):
            yield Passthrough(kind=f"{each.get('type')} interface", source=_source(each))
    for each in devices.findall("disk"):
        if each.get("type") in ("vhostuser", "vhostvdpa", "nvme"):
            yield Passthrough(kind=f"{each.get('type')} disk", source=_source(each))
    for each in devices.findall("tpm/backend"):
        if each.get("type") == "passthrough":
            yield Passthrough(kind="TPM", source=_attribute(each.find("device"), "path"))
    for each in devices.findall("redirdev"):
        if each.get("type") == "dev":
            yield Passthrough(kind="redirected USB device", source=_source(each))


def _source(device: Element) -> str:
    source = device.find("source")
    if source is None:
        return ""
    address = source.find("address")
    if address is None:
        return _of_a_usb_device(source) or next((source.get(key, "") for key in ("path", "dev") if source.get(key)), "")
    if address.get("uuid"):
        return address.get("uuid", "")
    parts = [address.get(key, "0x0").removeprefix("0x") for key in ("domain", "bus", "slot", "function")]
    if "slot" in address.attrib:
        return f"{parts[0]:0>4}:{parts[1]:0>2}:{parts[2]:0>2}.{parts[3]}"
    return " ".join(f"{key} {value}" for key, value in sorted(address.attrib.items()))


def _of_a_usb_device(source: Element) -> str:
    vendor, product = _attribute(source.find("vendor"), "id"), _attribute(source.find("product"), "id")
    adapter = _attribute(source.find("adapter"), "name")
    return f"{vendor}:{product}".replace("0x", "") if vendor else adapter


def _attribute(element: Element | None, name: str) -> str:
    return element.get(name, "") if element is not None else ""
