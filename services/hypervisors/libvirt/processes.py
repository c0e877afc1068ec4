"""The QEMU processes of a host, read from its process table: they write a guest's disks, whatever libvirt says.

A QEMU says whose it is (`-uuid`). What only names a guest (swtpm, virtiofsd, a `grep`) writes none of its disks. A
process lives for as long as one of its threads does, also when its first one has ended: a request to a disk may be
under way.
"""

import os
import re
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

UUID_OPTIONS = ("-uuid", "--uuid")
NAME_OPTIONS = ("-name", "--name")
PROGRAM = re.compile(r"qemu|kvm")
"""How QEMU's programs begin. One that is called otherwise is known by how libvirt names its guest (`guest=`)."""
DEAD, STOPPED = ("Z", "X"), ("T", "t")
KERNEL_THREAD = 0x200000
"""PF_KTHREAD: some of KVM's are called as QEMU may be."""
ENDS = ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0))
"""A QEMU that is asked to end writes what it holds. Seconds in which it must be gone."""
POLL = 0.02


class Stat(NamedTuple):
    """Of a process or a thread. With its pid, the time when it was started names one process."""

    state: str
    kernel: bool
    started: str


@dataclass(frozen=True)
class Qemu:
    """One process. `instance_id` None: it ends, or just begins, and does not say whose it is."""

    pid: int
    started: str
    instance_id: str | None
    stopped: bool = field(default=False, compare=False)


class Processes:
    """All raise OSError, where the system does not let this process see, or signal, another one."""

    def __init__(self, proc: Path) -> None:
        """`proc`: where the host's process table is mounted."""
        self._proc = proc

    def all(self) -> tuple[Qemu, ...]:
        """Every QEMU that runs a guest, or that does not say whether it does."""
        pids = (int(name) for name in os.listdir(self._proc) if name.isdecimal())  # noqa: PTH208 (names alone)
        return tuple(each for pid in pids if (each := self._look(pid)) is not None)

    def is_alive(self, qemu: Qemu) -> bool:
        """Also when it waits for its disks and cannot be ended."""
        return any(state not in DEAD for state in self._states(qemu))

    def end(self, qemu: Qemu) -> bool:
        """Whether it is gone. One that is stopped can only be killed."""
        for number, within in ENDS[1:] if qemu.stopped else ENDS:
            self._signal(qemu, number)
            if self._becomes(qemu, DEAD, within=within):
                return True
        return False

    def stop(self, qemu: Qemu) -> bool:
        """Whether it makes no more progress, or is gone."""
        self._signal(qemu, signal.SIGSTOP)
        return self._becomes(qemu, (*DEAD, *STOPPED), within=ENDS[-1][1])

    def _look(self, pid: int) -> Qemu | None:
        """None: it is no QEMU, or gone."""
        words = self._command(pid)
        owner = owner_in(words) if words else None
        stat = _stat(self._of(pid)) if owner is not None or not words else None
        if stat is None or (owner is None and (stat.kernel or not self._is_called_qemu(pid))):
            return None
        found = Qemu(pid=pid, started=stat.started, instance_id=owner, stopped=stat.state in STOPPED)
        return found if self.is_alive(found) else None

    def _command(self, pid: int) -> list[str]:
        """That of another thread, where the first one has ended; none, where all of them end, or its program is being
        loaded."""
        command = _read(self._of(pid) / "cmdline")
        if not command and self._is_called_qemu(pid):
            command = next(filter(None, (_read(task / "cmdline") for task in self._tasks(pid))), b"")
        return os.fsdecode(command).rstrip("\0").split("\0") if command else []

    def _is_called_qemu(self, pid: int) -> bool:
        return PROGRAM.match(os.fsdecode(_read(self._of(pid) / "comm"))) is not None

    def _states(self, qemu: Qemu) -> list[str]:
        """Of all its threads; none: it is gone, and its pid may be another's."""
        first = _stat(self._of(qemu.pid))
        if first is None or first.started != qemu.started:
            return []
        return [first.state, *(stat.state for task in self._tasks(qemu.pid) if (stat := _stat(task)) is not None)]

    def _signal(self, qemu: Qemu, number: signal.Signals) -> None:
        """Never to another process that has got its pid: what is opened is the process, and it is looked at after."""
        with suppress(FileNotFoundError, ProcessLookupError):
            opened = os.open(self._of(qemu.pid), os.O_RDONLY | os.O_DIRECTORY)
            try:
                if self.is_alive(qemu):
                    signal.pidfd_send_signal(opened, number)
            finally:
                os.close(opened)

    def _becomes(self, qemu: Qemu, states: Sequence[str], *, within: float) -> bool:
        deadline = time.monotonic() + within
        while any(state not in states for state in self._states(qemu)):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL)
        return True

    def _tasks(self, pid: int) -> Iterator[Path]:
        with suppress(FileNotFoundError, ProcessLookupError):
            yield from (self._of(pid) / "task").iterdir()

    def _of(self, pid: int) -> Path:
        return self._proc / str(pid)


def owner_in(words: Sequence[str]) -> str | None:
    """Whose QEMU has that command line; None: it is no guest's."""
    named = next((right for left, right in reversed([*pairwise(words)]) if left in UUID_OPTIONS), None)
    if named is None or not _is_qemu(words):
        return None
    with suppress(ValueError):
        return str(uuid.UUID(named))
    return None


def _is_qemu(words: Sequence[str]) -> bool:
    if PROGRAM.match(words[0].rpartition("/")[2]):
        return True
    return any(left in NAME_OPTIONS and right.startswith("guest=") for left, right in pairwise(words))


def _read(path: Path) -> bytes:
    """Nothing of what is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return path.read_bytes()
    return b""


def _stat(folder: Path) -> Stat | None:
    """None: it is gone."""
    fields = os.fsdecode(_read(folder / "stat")).rpartition(")")[2].split()
    return Stat(state=fields[0], kernel=bool(int(fields[6]) & KERNEL_THREAD), started=fields[19]) if fields else None
