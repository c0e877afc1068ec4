"""Whether what a host remembers is still what it remembered: the mark of the directory that it lies in.

A directory that is another one, was wiped, is a copy or was restored from one, has another mark."""

import uuid
from pathlib import Path

from evacuation.errors import HypervisorUnavailableError
from evacuation.model import Frozen
from services.runtime.durable_files import read, told, write
from services.runtime.locks import LockHeldError, file_lock

MARK = "memory.json"
"""The file, where a host keeps what is its own."""
LOCK_WAIT = 15.0


class Mark(Frozen):
    """Written once."""

    id: str


class LastingMemory:
    """Knows the mark as it was when it was first asked, or as it is told."""

    def __init__(self, folder: Path, known: str | None = None) -> None:
        self._path = folder / MARK
        self._known = known

    def mark(self) -> str:
        """Made, where there is none; lasting then. Raises HypervisorUnavailableError."""
        if self._known is None:
            self._known = _found(self._path) or self._made()
        if self._known is None:
            raise self._gone()
        return self._known

    def is_lost(self) -> bool:
        """The host remembers nothing any more of what it did under the mark. Raises HypervisorUnavailableError: the
        system does not say."""
        known = self.mark()
        return _found(self._path) != known

    def require(self) -> None:
        """Raises HypervisorUnavailableError."""
        if self.is_lost():
            raise self._gone()

    def _made(self) -> str | None:
        """By the first to come, of many at once: what replaced a mark would have lost what the mark stood for."""
        lock = self._path.with_suffix(".lock")
        try:
            with told(lock), file_lock(lock, wait=LOCK_WAIT):
                if not self._path.exists():
                    write(self._path, Mark(id=str(uuid.uuid4())))
                return _found(self._path)
        except LockHeldError as error:
            raise HypervisorUnavailableError(f"somebody else holds {lock}") from error

    def _gone(self) -> HypervisorUnavailableError:
        return HypervisorUnavailableError(
            f"what the host remembered in {self._path.parent} is not there any more",
            remedy="start its worker again: it is asked what runs there before it serves",
        )


def _found(path: Path) -> str | None:
    """With where the file is, and since when: a copy of it is another one, also in the same place."""
    mark = read(path, Mark)
    if mark is None:
        return None
    with told(path):
        place = path.stat()
    return f"{mark.id}/{place.st_dev}/{place.st_ino}/{place.st_ctime_ns}"
