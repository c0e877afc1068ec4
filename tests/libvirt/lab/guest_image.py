"""The lab's guest: Debian's cloud kernel and busybox, 96 MiB, up in seconds under emulation. Made once and kept.

Needs apt-get with its lists, dpkg-deb, cpio and busybox-static; no root.
"""

import gzip
import lzma
import os
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.libvirt.lab.shell import run

HERE = Path(__file__).parent / "guest"
CACHE = Path(__file__).parents[3] / "build" / "lab"
META_PACKAGE = "linux-image-cloud-amd64"
MODULES = (
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci",
    "drivers/block/virtio_blk",
    "drivers/char/virtio_console",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
)
"""In the order in which they can be loaded."""


@dataclass(frozen=True)
class GuestImage:
    kernel: Path
    initrd: Path


def guest_image() -> GuestImage:
    """From the cache, or made now; a change of the guest's programs makes it again."""
    directory = Path(os.environ.get("EVACUATE_LAB_CACHE", CACHE))
    image = GuestImage(directory / "vmlinux", directory / "initrd.img")
    sources = max(path.stat().st_mtime for path in HERE.iterdir())
    if not image.kernel.exists() or not image.initrd.exists() or image.initrd.stat().st_mtime < sources:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="evlab-image-") as work:
            _build(Path(work), _kernel_package(directory), image)
    return image


def _kernel_package(cache: Path) -> Path:
    depends = run("apt-cache", "depends", META_PACKAGE).splitlines()
    name = next(line.split(":")[1].strip() for line in depends if "Depends:" in line)
    if not (found := list(cache.glob(f"{name}_*.deb"))):
        subprocess.run(["apt-get", "download", "-qq", name], cwd=cache, check=True, capture_output=True, timeout=300)
        found = list(cache.glob(f"{name}_*.deb"))
    return found[0]


def _build(work: Path, package: Path, image: GuestImage) -> None:
    run("dpkg-deb", "-x", str(package), str(work / "package"))
    compressed = next((work / "package" / "boot").glob("vmlinuz-*"))
    _write_whole(image.kernel, _uncompressed(compressed.read_bytes()))
    root = work / "root"
    _fill(root, next((work / "package" / "lib" / "modules").iterdir()) / "kernel")
    names = "\n".join(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
    archive = subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"],
        cwd=root,
        input=names.encode(),
        capture_output=True,
        check=True,
    )
    _write_whole(image.initrd, gzip.compress(archive.stdout, 1))


def _fill(root: Path, modules: Path) -> None:
    for each in ("bin", "dev", "proc", "sys", "mod", "tmp"):
        (root / each).mkdir(parents=True)
    busybox = shutil.which("busybox")
    if busybox is None:
        raise FileNotFoundError("busybox is not installed")
    shutil.copy(busybox, root / "bin" / "busybox")
    (root / "bin" / "sh").symlink_to("busybox")
    for number, module in enumerate(MODULES):
        shutil.copy(modules / f"{module}.ko", root / "mod" / f"{number:02}-{Path(module).name}.ko")
    for name in ("init", "agent"):
        shutil.copy(HERE / f"{name}.sh", root / name)
        (root / name).chmod(0o755)


def _write_whole(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.replace(path)


def _uncompressed(image: bytes) -> bytes:
    """The ELF kernel in a bzImage: QEMU boots it at once, and the guest need not unpack it under emulation."""
    for found in _payloads(image):
        if found.startswith(b"\x7fELF"):
            return found
    raise ValueError("no kernel found in the package's bzImage; are zstd and lz4 installed?")


def _payloads(image: bytes) -> Iterator[bytes]:
    for magic, unpack in (
        (b"\xfd7zXZ\x00", _xz),
        (b"\x1f\x8b\x08", _gzip),
        (b"\x28\xb5\x2f\xfd", partial(_by_program, "zstd")),
        (b"\x02\x21\x4c\x18", partial(_by_program, "lz4")),
    ):
        at = image.find(magic)
        while at >= 0:
            with suppress(OSError, lzma.LZMAError, zlib.error):
                yield unpack(image[at:])
            at = image.find(magic, at + 1)


def _xz(data: bytes) -> bytes:
    return lzma.LZMADecompressor().decompress(data)


def _gzip(data: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(data)


def _by_program(name: str, data: bytes) -> bytes:
    """What comes before the end of the payload; after it there is more, which is no error here."""
    return subprocess.run([name, "-dc"], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
