"""The lock that everybody takes who changes what the daemon exports. Who holds it stands in it."""

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil

from evacuation.errors import VolumeServiceError
from evacuation.model import Frozen
from services.runtime.locks import LockHeldError, file_lock

LONGEST = 80
"""Characters of a program's command line."""
STUCK = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_DISK_SLEEP)
BUSY = "the storage daemon is busy with another change"


class Holder(Frozen):
    """A process, as it signed the lock. `started`: when the process began, by which another one of its number is told
    from it."""

    pid: int
    started: float
    program: str
    since: datetime

    @property
    def line(self) -> str:
        state = f", and is {self._state}" if self._state else ""
        return f"process {self.pid} ({self.program}) has held its lock since {self.since:%Y-%m-%d %H:%M:%S} UTC{state}"

    @property
    def _state(self) -> str:
        """Only one in which it does not go on; none that can be seen from here: ''."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if process.create_time() == self.started and process.status() in STUCK:
                return process.status()
        return ""


@contextmanager
def change_lock(path: Path, *, wait: float) -> Generator[None]:
    """Held alone, and signed. A holder that was stopped holds on to it, and is named to whoever waits in vain; the lock
    goes with its process. Raises VolumeServiceError."""
    try:
        with file_lock(path, wait=wait) as fd:
            _require_current(fd, path)
            with _signed(fd):
                yield
    except LockHeldError:
        raise _busy(holder_of(path)) from None


def holder_of(path: Path) -> Holder | None:
    """Who signed the lock last and has not given it back. Of use only while it is held."""
    with suppress(OSError, ValueError):
        return Holder.model_validate_json(path.read_bytes())
    return None


def _busy(holder: Holder | None) -> VolumeServiceError:
    if holder is None:
        return VolumeServiceError(BUSY, remedy="try again")
    remedy = f"if it does not go on, end it (kill -9 {holder.pid}): the lock goes with it, the daemon is left alone"
    return VolumeServiceError(f"{BUSY}: {holder.line}", remedy=remedy)


def _require_current(fd: int, path: Path) -> None:
    """The lock of a daemon that was replaced meanwhile is nobody's."""
    with suppress(FileNotFoundError):
        if os.fstat(fd).st_ino == path.stat().st_ino:
            return
    raise VolumeServiceError("the storage daemon was replaced meanwhile", remedy="try again")


@contextmanager
def _signed(fd: int) -> Generator[None]:
    # A name helps, and no more: a full disk must not keep a volume from being taken away.
    with suppress(OSError):
        _write(fd, _oneself().model_dump_json().encode())
    try:
        yield
    finally:
        with suppress(OSError):
            _write(fd, b"")


def _write(fd: int, text: bytes) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, text, 0)


def _oneself() -> Holder:
    program = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:LONGEST]
    began = psutil.Process().create_time()
    return Holder(pid=os.getpid(), started=began, program=program, since=datetime.fromtimestamp(time.time(), UTC))
