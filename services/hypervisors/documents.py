"""Files of a host that are written whole or not at all, and durably."""

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from evacuation.model import Frozen

Document = TypeVar("Document", bound=Frozen)


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(path: Path, text: str) -> None:
    """The file has the whole text, or what it had before; after the return it survives a power loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def remove_durably(path: Path) -> None:
    """The file is gone; gone already is fine."""
    with suppress(FileNotFoundError):
        path.unlink()
        sync_directory(path.parent)


def read(path: Path, kind: type[Document]) -> Document | None:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def write(path: Path, document: Frozen) -> None:
    write_durably(path, document.model_dump_json())
