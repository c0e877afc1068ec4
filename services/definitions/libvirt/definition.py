"""What a stored domain XML says, as far as moving its guest is concerned. Pure: no libvirt, no file, no host.

Source: libvirt's domain format (https://libvirt.org/formatdomain.html). Memory is in MiB, rounded up.
"""

from collections.abc import Iterable
from typing import Literal
from xml.etree.ElementTree import Element

from evacuation.errors import MalformedDefinitionError
from evacuation.messages import GuestSignal
from evacuation.model import Frozen
from services.definitions.libvirt.metadata import epoch_of, signal_of
from services.definitions.libvirt.passthrough import Passthrough, passthrough_of
from services.definitions.libvirt.trees import LARGEST, number_in, tree_of

SIGNALS: dict[str, GuestSignal] = {"agent": "agent", "serial": "serial", "ping": "ping", "none": "none"}
BOOT_FILES = ("os/kernel", "os/initrd", "os/dtb")
MEBIBYTE = 1024**2
_LETTERS = "kmgtpe"
BYTES = (
    {"b": 1, "bytes": 1}
    | {f"{letter}b": 1000**power for power, letter in enumerate(_LETTERS, 1)}
    | {f"{letter}{end}": 1024**power for power, letter in enumerate(_LETTERS, 1) for end in ("", "ib")}
)
"""Units of libvirt's scaled integers."""


class Disk(Frozen):
    """`path` of a file, a block device or a directory; `network` is PROTOCOL:NAME; `volume` is POOL/VOLUME."""

    target: str
    type: str
    device: Literal["disk", "cdrom", "floppy", "lun"] = "disk"
    format: str | None = None
    path: str | None = None
    network: str | None = None
    volume: str | None = None
    shareable: bool = False
    read_only: bool = False
    optional: bool = False
    """The guest starts without it when it is not there."""

    @property
    def is_empty(self) -> bool:
        """A drive without a medium."""
        return not self.source

    @property
    def source(self) -> str:
        """Empty for a drive without a medium."""
        return self.path or self.network or self.volume or ""


class Interface(Frozen):
    """`bridge` is a Linux bridge, Open vSwitch's, or (type direct) the host's own device below a macvtap."""

    mac: str
    type: str
    bridge: str | None = None
    network: str | None = None
    model: str | None = None
    openvswitch: bool = False
    interface_id: str | None = None

    @property
    def network_name(self) -> str:
        """Of the network that the port is on, as the store calls it."""
        return self.network or self.bridge or self.type


class Definition(Frozen):
    """What Evacuate needs to know of a domain's XML. Memory in MiB."""

    id: str
    name: str
    epoch: int
    """Of the mark that Evacuate left in its metadata; 0: none."""
    domain_type: str
    vcpus: int
    memory_mb: int
    arch: str | None
    machine: str | None
    cpu_mode: str | None
    cpu_model: str | None
    disks: tuple[Disk, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    boot_files: tuple[str, ...] = ()
    """Kernel and initrd, if the guest is started from such."""
    directories: tuple[str, ...] = ()
    """Of its host, that it has mounted."""
    passthrough: tuple[Passthrough, ...] = ()
    tpm_state: bool = False
    """An emulated TPM, whose state is a file of the host."""
    signal: GuestSignal | None = None
    signal_line: str | None = None


def parse_definition(text: str) -> Definition:
    """Raises MalformedDefinitionError."""
    domain = _domain(text)
    os_type = domain.find("os/type")
    cpu = domain.find("cpu")
    kind, line = signal_of(domain)
    return Definition(
        id=_required(domain, "uuid").lower(),
        name=_required(domain, "name"),
        epoch=epoch_of(text),
        domain_type=domain.get("type", ""),
        vcpus=_vcpus(domain),
        memory_mb=_memory_mb(domain),
        arch=os_type.get("arch") if os_type is not None else None,
        machine=os_type.get("machine") if os_type is not None else None,
        cpu_mode=(cpu.get("mode") or ("custom" if cpu.find("model") is not None else None))
        if cpu is not None
        else None,
        cpu_model=_text(cpu, "model"),
        disks=disks_of(domain),
        interfaces=tuple(_interface(each) for each in domain.findall("devices/interface")),
        boot_files=tuple(found for path in BOOT_FILES if (found := _text(domain, path)) is not None),
        directories=tuple(_directories(domain)),
        passthrough=passthrough_of(domain),
        tpm_state=domain.find("devices/tpm/backend[@type='emulator']") is not None,
        signal=SIGNALS.get(kind or ""),
        signal_line=line,
    )


def disks_of(domain: Element) -> tuple[Disk, ...]:
    return tuple(disk_of(each) for each in domain.findall("devices/disk"))


def disk_files(disks: Iterable[Disk]) -> tuple[str, ...]:
    """What must be there for the guest to start. A medium in a drive is not written to, and may be ejected."""
    return tuple(
        disk.path
        for disk in disks
        if disk.path is not None
        and disk.type in ("file", "block")
        and disk.device in ("disk", "lun")
        and not disk.optional
    )


def _domain(text: str) -> Element:
    domain = tree_of(text)
    if domain.tag != "domain":
        raise MalformedDefinitionError(f"the definition is a <{domain.tag}>, not a <domain>")
    return domain


def _text(parent: Element | None, path: str) -> str | None:
    text = parent.findtext(path) if parent is not None else None
    return text.strip() or None if text else None


def _required(domain: Element, path: str) -> str:
    found = _text(domain, path)
    if found is None:
        raise MalformedDefinitionError(f"the definition has no <{path}>", remedy="give it as `virsh dumpxml` does")
    return found


def _vcpus(domain: Element) -> int:
    text = _text(domain, "vcpu") or "1"
    found = number_in(text)
    if not found or found > LARGEST:
        raise MalformedDefinitionError(f"<vcpu> is {_shown(text)}, not a number of virtual CPUs")
    return found


def _memory_mb(domain: Element) -> int:
    text, memory = _required(domain, "memory"), domain.find("memory")
    unit = (memory.get("unit", "KiB") if memory is not None else "KiB").lower()
    found = -(-(number_in(text) or 0) * BYTES.get(unit, 0) // MEBIBYTE)
    if not found or found > LARGEST:
        raise MalformedDefinitionError(f"<memory> is {_shown(text)} {unit[:10]}, not an amount of memory")
    return found


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:20]}…")


def disk_of(disk: Element) -> Disk:
    source, driver, target = disk.find("source"), disk.find("driver"), disk.find("target")
    found: dict[str, str] = dict(source.attrib) if source is not None else {}
    device = disk.get("device", "disk")
    return Disk(
        target=target.get("dev", "") if target is not None else "",
        type=disk.get("type", "file"),
        device=device if device in ("cdrom", "floppy", "lun") else "disk",
        format=driver.get("type") if driver is not None else None,
        path=found.get("file") or found.get("dev") or found.get("dir"),
        network=f"{found.get('protocol')}:{found.get('name', '')}" if "protocol" in found else None,
        volume=f"{found.get('pool')}/{found['volume']}" if "volume" in found else None,
        shareable=disk.find("shareable") is not None,
        read_only=disk.find("readonly") is not None,
        optional=found.get("startupPolicy") in ("optional", "requisite"),
    )


def _interface(interface: Element) -> Interface:
    source, model = interface.find("source"), interface.find("model")
    port, mac = interface.find("virtualport"), interface.find("mac")
    parameters = port.find("parameters") if port is not None else None
    return Interface(
        mac=mac.get("address", "").lower() if mac is not None else "",
        type=interface.get("type", ""),
        bridge=(source.get("bridge") or source.get("dev")) if source is not None else None,
        network=source.get("network") if source is not None else None,
        model=model.get("type") if model is not None else None,
        openvswitch=port is not None and port.get("type") == "openvswitch",
        interface_id=parameters.get("interfaceid") if parameters is not None else None,
    )


def _directories(domain: Element) -> list[str]:
    sources = domain.findall("devices/filesystem/source")
    found = [source.get("dir") or source.get("file") for source in sources]
    return [each for each in found if each is not None]
