"""What runs, read from the process table: the only witness of guests and of host workers.

A zombie has no command line and so does not count: it neither runs nor writes.
"""

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import psutil

from services.hypervisors.process import guest
from services.hypervisors.process.layout import ProcessRoot

GUEST_PROGRAM = Path(guest.__file__).resolve()
WORKER_NAMES = frozenset({"worker.py", "evacuate-worker"})
PROGRAMS = (GUEST_PROGRAM.name, "worker")
"""Every guest has the first in its command line, every worker the second."""
DEFAULT_STATE_DIR = ".evacuate"
STOPPED = frozenset({psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP})
EMPTY_SCANS = 4
"""A scan can miss a process that forks and ends while it reads. A guest does so twice, and is seen first when its
program is loaded: so many empty scans in a row leave no room for one."""
POLL = 0.01


@dataclass(frozen=True)
class GuestProcess:
    """A running guest, or one that is starting."""

    process: psutil.Process
    instance_id: str
    epoch: int

    def is_paused(self) -> bool:
        with suppress(psutil.NoSuchProcess):
            return self.process.status() in STOPPED
        return False


def pids_with(words: Sequence[str], *, in_file: Literal["cmdline", "environ"]) -> Iterator[int]:
    """Of the processes in whose command line, or first environment, one of the words stands somewhere: most have none,
    and cost no more than this look."""
    wanted = [os.fsencode(word) for word in words]
    for pid in psutil.pids():
        with suppress(OSError):
            found = Path(psutil.PROCFS_PATH, str(pid), in_file).read_bytes()
            if any(word in found for word in wanted):
                yield pid


def _commands() -> Iterator[tuple[psutil.Process, list[str]]]:
    """Of all that a host's power may feed."""
    for pid in pids_with(PROGRAMS, in_file="cmdline"):
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            command = process.cmdline()
            if command:
                yield process, command


def _options(command: Sequence[str]) -> dict[str, str]:
    """`--name value` and `--name=value`, wherever they stand."""
    pairs = {left: right for left, right in pairwise(command) if left.startswith("--")}
    joined = dict(word.split("=", 1) for word in command if word.startswith("--") and "=" in word)
    return pairs | joined


def _guest(
    process: psutil.Process, command: Sequence[str], root: ProcessRoot, hosts: Collection[str]
) -> GuestProcess | None:
    if len(command) < 4 or not command[3].endswith(GUEST_PROGRAM.name):
        return None
    options = _options(command)
    if options.get("--root") != str(root.path) or options.get("--host") not in hosts:
        return None
    return GuestProcess(process, options["--instance"], int(options["--epoch"]))


def _runs_worker(command: Sequence[str], hosts: Collection[str]) -> bool:
    programs = [n for n, word in enumerate(command) if word.rpartition("/")[2] in WORKER_NAMES]
    programs += [n + 1 for n, word in enumerate(command[:-1]) if word == "-m" and command[n + 1] == "worker"]
    return any("host" in command[n + 1 :] and _options(command[n + 1 :]).get("--host") in hosts for n in programs)


def _state_dir(process: psutil.Process, command: Sequence[str]) -> Path | None:
    """As the worker itself finds it; None for a process that is gone, or that cannot be looked into."""
    with suppress(psutil.Error, OSError):
        given = _options(command).get("--state-dir") or process.environ().get("EVACUATE_STATE_DIR")
        return Path(process.cwd(), Path(given or DEFAULT_STATE_DIR).expanduser()).resolve()
    return None


def _is_worker(process: psutil.Process, command: Sequence[str], root: ProcessRoot, hosts: Collection[str]) -> bool:
    return _runs_worker(command, hosts) and _state_dir(process, command) == root.path


def guests_of(root: ProcessRoot, host: str, instance_id: str | None = None) -> list[GuestProcess]:
    """Every guest of the host, or those of one instance."""
    found = (_guest(process, command, root, [host]) for process, command in _commands())
    return [each for each in found if each is not None and instance_id in (None, each.instance_id)]


def processes_of(root: ProcessRoot, *hosts: str) -> list[psutil.Process]:
    """Everything that the power of these hosts feeds: their guests, their workers, and the workers' children.

    A guest is known by its command line: the guest program with `--root` and `--host`. A host worker is known by its
    command line (`worker.py`, `evacuate-worker` or `-m worker`, then `host` and `--host <host>`) and by the state
    directory that it was given (`--state-dir`, or EVACUATE_STATE_DIR, or the default): it is the root.
    """
    found: dict[int, psutil.Process] = {}
    for process, command in _commands():
        if _guest(process, command, root, hosts) is not None:
            found[process.pid] = process
        elif _is_worker(process, command, root, hosts):
            found[process.pid] = process
            with suppress(psutil.Error):
                found.update({child.pid: child for child in process.children(recursive=True)})
    return [process for process in found.values() if _is_alive(process)]


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def includes_caller(processes: Iterable[psutil.Process]) -> bool:
    return os.getpid() in {process.pid for process in processes}


def kill_until_gone(
    find: Callable[[], Sequence[psutil.Process]], *, beat: Callable[[], None] = lambda: None, timeout: float
) -> bool:
    """SIGKILL what `find` finds, again and again, until it finds nothing; False when that took too long (seconds)."""
    deadline = time.monotonic() + timeout
    empty = 0
    while empty < EMPTY_SCANS:
        found = find()
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        empty = 0 if found else empty + 1
        beat()
        if found:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL)
    return True
