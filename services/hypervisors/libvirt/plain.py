"""The definition of an instance that has none of its own: the host's template, what the host has of it, or the
least that boots."""

from pathlib import Path
from string import Template
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement
from xml.sax.saxutils import escape

from evacuation.errors import DestinationUnableError
from evacuation.messages import GuestSpec
from evacuation.model import RootDisk
from services.hypervisors.libvirt.options import LibvirtOptions

FORMATS = ("qcow2", "raw")


def plain_definition(guest: GuestSpec, options: LibvirtOptions, local: str | None) -> str:
    """Raises DestinationUnableError: the template cannot be read, or no shared directory has the root disk."""
    if options.template is not None:
        return _filled(options.template, guest, options)
    if local is not None:
        return local
    domain = Element("domain", {"type": options.domain_type})
    SubElement(domain, "memory", {"unit": "MiB"}).text = str(guest.flavor.memory_mb)
    SubElement(domain, "vcpu").text = str(guest.flavor.vcpus)
    SubElement(SubElement(domain, "os"), "type").text = "hvm"
    features = SubElement(domain, "features")
    SubElement(features, "acpi")
    devices = SubElement(domain, "devices")
    if guest.root_disk is not RootDisk.VOLUME:
        devices.append(_root_disk(guest, options))
    SubElement(SubElement(devices, "serial", {"type": "pty"}), "target", {"port": "0"})
    return ElementTree.tostring(domain, encoding="unicode")


def _filled(path: Path, guest: GuestSpec, options: LibvirtOptions) -> str:
    values = {
        "instance_id": guest.instance_id,
        "name": guest.name,
        "host": options.host,
        "epoch": str(guest.epoch),
        "ip": guest.nics[0].ip if guest.nics else "",
        "mac": guest.nics[0].mac if guest.nics else "",
    }
    try:
        return Template(path.read_text(encoding="utf-8")).substitute({k: escape(v) for k, v in values.items()})
    except OSError as error:
        raise DestinationUnableError(
            f"the template {path} cannot be read on {options.host}: {error.strerror}"
        ) from error
    except (KeyError, ValueError) as error:
        raise DestinationUnableError(
            f"the template {path} has an unknown placeholder: {error}",
            remedy=f"known: {', '.join(values)}; write $$ for $",
        ) from error


def _root_disk(guest: GuestSpec, options: LibvirtOptions) -> Element:
    path, kind = find_root_disk(guest.instance_id, guest.name, options)
    disk = Element("disk", {"type": "file", "device": "disk"})
    SubElement(disk, "driver", {"name": "qemu", "type": kind, "cache": "none"})
    SubElement(disk, "source", {"file": str(path)})
    SubElement(disk, "target", {"dev": "vda", "bus": "virtio"})
    return disk


def find_root_disk(instance_id: str, name: str, options: LibvirtOptions) -> tuple[Path, str]:
    """A file in a shared directory with the instance's id or name, and its format as the suffix."""
    for directory in options.shared_dirs:
        for stem in (instance_id, name):
            for kind in FORMATS:
                if (path := directory / f"{stem}.{kind}").exists():
                    return path, kind
    where = ", ".join(map(str, options.shared_dirs)) or "no shared directory (EVACUATE_LIBVIRT_SHARED_DIRS)"
    raise DestinationUnableError(
        f"no root disk of {name} is visible on {options.host}: looked in {where}",
        remedy=f"it is called {instance_id}.qcow2 or .raw there, or the instance has a stored definition",
    )
