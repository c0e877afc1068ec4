"""The files that a guest's disks are made of: a guest is not started, nor anything taken from it, while one is missing.

Source: QEMU's qcow2 format (its qcow2.txt): a header that names the file which the image is based on."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

MAGIC = b"QFI\xfb"
_BASE = struct.Struct(">QI")
"""Where in the image the name of its base is, and how long it is."""
DEEPEST = 32


def why_unusable(paths: Iterable[str]) -> str | None:
    """What is wrong with the first of them that no guest can be started on; None: nothing."""
    return next((why for path in paths if (why := _why(Path(path)))), None)


def _why(path: Path) -> str | None:
    for each in _chain(path):
        try:
            if each.is_dir():
                return f"{each} is a directory"
            if not each.is_block_device() and each.stat().st_size == 0:
                return f"{each} is empty"
        except FileNotFoundError:
            return f"{each} is not there" if each == path else f"{each}, which {path} is based on, is not there"
        except OSError as error:
            return f"{each} cannot be used: {error.strerror}"
    return None


def _chain(path: Path) -> Iterator[Path]:
    """The image, what it is based on, and so on."""
    found: Path | None = path
    for _ in range(DEEPEST):
        if found is None:
            return
        yield found
        found = _base_of(found)


def _base_of(image: Path) -> Path | None:
    """None: it is based on nothing, or on what is no file. Whether it may be read is QEMU's to find out."""
    try:
        with image.open("rb") as file:
            head = file.read(20)
            if head[:4] != MAGIC or len(head) < 20:
                return None
            start, length = _BASE.unpack(head[8:20])
            file.seek(start)
            name = file.read(length).decode(errors="surrogateescape").removeprefix("file:") if start else ""
    except OSError:
        return None
    return image.parent / name if name and "://" not in name and not name.startswith("json:") else None
