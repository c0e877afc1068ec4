"""Shared directories prove themselves by a marker: hosts that read the same one see the same directory."""

import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from evacuation.capabilities import SharedDirectory
from evacuation.errors import HypervisorUnavailableError
from services.runtime.durable_files import write_first

MARKER = ".evacuate-shared"
LONGEST = 200


def mark_shared(directory: Path) -> SharedDirectory | None:
    """The directory with its marker, which the first to come writes; None: it is not there, or not to be written to.

    Two that come at once read one marker: a file gets its name only once it is whole."""
    with suppress(OSError, HypervisorUnavailableError):
        if not (directory / MARKER).exists():
            write_first(directory / MARKER, f"{uuid.uuid4()}\n")
        return SharedDirectory(path=str(directory), marker=_read(directory / MARKER))
    return None


def mark_all(directories: Iterable[Path]) -> tuple[SharedDirectory, ...]:
    found = [mark_shared(each) for each in directories]
    return tuple(each for each in found if each is not None)


def _read(path: Path) -> str:
    with path.open(encoding="ascii", errors="replace") as file:
        text = file.read(LONGEST).strip()
    if not text:
        raise OSError(f"{path} is empty")
    return text
