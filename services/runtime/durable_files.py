"""Files of a host that are written whole or not at all, and durably. What the system refuses, and what a damaged file
says, is told as HypervisorUnavailableError: it proves nothing about the guests."""

import os
import threading
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from evacuation.errors import HypervisorUnavailableError
from evacuation.model import Frozen

PRIVATE = 0o600
Document = TypeVar("Document", bound=Frozen)


@contextmanager
def told(path: Path) -> Generator[None]:
    """Around what is done to the path."""
    try:
        yield
    except OSError as error:
        raise HypervisorUnavailableError(
            f"{error.filename or path}: {error.strerror or error}",
            remedy=f"see that there is room, and that the worker may read and write {path.parent}",
        ) from error
    except ValidationError as error:
        raise HypervisorUnavailableError(
            f"{path} is damaged", remedy="restore it; nothing is started on this host without it"
        ) from error


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_synced(path: Path, text: str, mode: int = 0o666) -> None:
    """`mode`: of a file that is made, less what the umask takes."""
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_durably(path: Path, text: str, *, private: bool = False) -> None:
    """The file has the whole text, or what it had before; after the return it survives a power loss. `private`: nobody
    else may read it."""
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        _write_synced(temporary, text, PRIVATE if private else 0o666)
        temporary.replace(path)
        sync_directory(path.parent)


def write_first(path: Path, text: str) -> None:
    """The file has a whole text, which the first to come wrote: of many at once, one. Its directory must be there."""
    with told(path):
        fresh = path.with_name(f".{path.name}.{uuid.uuid4()}")
        try:
            _write_synced(fresh, text)
            with suppress(FileExistsError):
                os.link(fresh, path)
            sync_directory(path.parent)
        finally:
            fresh.unlink(missing_ok=True)


def remove_durably(path: Path) -> None:
    """The file is gone; gone already is fine."""
    with told(path), suppress(FileNotFoundError):
        path.unlink()
        sync_directory(path.parent)


def read(path: Path, kind: type[Document]) -> Document | None:
    with told(path), suppress(FileNotFoundError):
        return kind.model_validate_json(path.read_bytes())
    return None


def write(path: Path, document: Frozen) -> None:
    write_durably(path, document.model_dump_json())
