"""The lab's guests: their definition, what they say, and what their disks prove."""

import re
from collections.abc import Iterator
from pathlib import Path

from services.definitions.libvirt.names import NAMESPACE
from services.hypervisors.process.disk import Record
from services.hypervisors.process.disk import records as parse
from tests.libvirt.lab.guest_image import GuestImage
from tests.libvirt.lab.shell import run

SECTOR = 512
MOST = 8 << 20
"""Bytes of a disk that are looked at: an hour of records."""
UP = "GUEST-UP"

DOMAIN = """<domain type="qemu"><name>{name}</name><uuid>{instance}</uuid>
<metadata><evacuate:instance xmlns:evacuate="{namespace}"><evacuate:signal kind="{signal}" line="{up}"/>
</evacuate:instance></metadata>
<memory unit="MiB">96</memory><vcpu>1</vcpu>
<os><type arch="x86_64" machine="pc">hvm</type><kernel>{kernel}</kernel><initrd>{initrd}</initrd>
<cmdline>console=ttyS0 quiet panic=-1 agent=yes host={host} epoch={epoch} instance={instance}{ip}</cmdline></os>
<features><acpi/><tcg><tb-cache unit="MiB">32</tb-cache></tcg></features>
<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
<devices>{disk}{nic}<serial type="file"><source path="{console}" append="on"/><target port="0"/></serial>
<channel type="unix"><target type="virtio" name="org.qemu.guest_agent.0"/></channel>
<controller type="usb" model="none"/><memballoon model="none"/></devices></domain>"""


def file_disk(path: str, kind: str = "raw") -> str:
    return (
        f'<disk type="file" device="disk"><driver name="qemu" type="{kind}" cache="none"/><source file="{path}"/>'
        '<target dev="vda" bus="virtio"/></disk>'
    )


def block_disk(device: str) -> str:
    return (
        f'<disk type="block" device="disk"><driver name="qemu" type="raw" cache="none"/><source dev="{device}"/>'
        '<target dev="vda" bus="virtio"/></disk>'
    )


def definition(
    image: GuestImage,
    instance: str,
    *,
    disk: str,
    name: str = "vm1",
    mac: str | None = None,
    ip: str | None = None,
    host: str = "a",
    epoch: int | str = 1,
    console: str = "/dev/null",
    signal: str = "serial",
) -> str:
    """As an operator's libvirt has it stored."""
    nic = (
        f'<interface type="bridge"><mac address="{mac}"/><source bridge="br0"/><model type="virtio"/></interface>'
        if mac
        else ""
    )
    return DOMAIN.format(
        name=name,
        instance=instance,
        namespace=NAMESPACE,
        signal=signal,
        up=UP,
        kernel=image.kernel,
        initrd=image.initrd,
        host=host,
        epoch=epoch,
        ip=f" ip={ip}/24" if ip else "",
        disk=disk,
        nic=nic,
        console=console,
    )


def template(image: GuestImage, shared: Path, disk: str) -> str:
    """For instances without a stored definition: it knows host and epoch, so that every record names its writer."""
    return definition(
        image,
        "$instance_id",
        name="$name",
        disk=disk,
        mac="$mac",
        ip="$ip",
        host="$host",
        epoch="$epoch",
        console=f"{shared}/$name.$host.console",
    )


def journal(path: Path, kind: str = "raw") -> list[Record]:
    """Every record on the disk, in the order of the sectors: that of the counter, whoever wrote."""
    return parse(b"\n".join(_sectors(_raw(path, kind)[:MOST])))


def newest(path: Path) -> Record | None:
    """What the guest would go on from."""
    with path.open("rb") as file:
        found = parse(file.read(SECTOR).split(b"\n")[0] + b"\n")
    return found[0] if found else None


def _raw(path: Path, kind: str) -> bytes:
    if kind == "raw":
        return path.read_bytes()
    copy = path.with_suffix(".copy")
    try:
        run("qemu-img", "convert", "-U", "-f", kind, "-O", "raw", str(path), str(copy))
        return copy.read_bytes()
    finally:
        copy.unlink(missing_ok=True)


def _sectors(content: bytes) -> Iterator[bytes]:
    for at in range(SECTOR, len(content), SECTOR):
        line = content[at : at + SECTOR].split(b"\n")[0]
        if line.strip(b"\0"):
            yield line


def console_lines(path: Path, word: str) -> list[str]:
    """Whole lines only: QEMU writes the console in pieces."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text(errors="replace").rpartition("\n")
    return [line.strip() for line in whole.split("\n") if re.search(word, line)]
