"""The processes of a state directory's stack, found in the process table, and ended."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from services.hypervisors.process import ProcessRoot
from services.hypervisors.process.table import GUEST_PROGRAM, guests_of, pids_with, processes_of

ROLE = "EVACUATE_STACK_ROLE"
"""In the environment of every process that a stack starts: supervisor, temporal, control, host, storage. Commands
that a person runs have the state directory in theirs, but never this."""


def stack_processes(state_dir: Path) -> list[psutil.Process]:
    """Supervisor, Temporal, workers and guests, whoever started them; not the caller."""
    root = ProcessRoot(state_dir)
    found = {process.pid: process for process in with_role(root.path)}
    found |= {process.pid: process for process in processes_of(root, *root.hosts())}
    found.pop(os.getpid(), None)
    return list(found.values())


def guest_processes(state_dir: Path, host: str) -> list[psutil.Process]:
    return [guest.process for guest in guests_of(ProcessRoot(state_dir), host)]


def with_role(state_dir: Path, *roles: str) -> list[psutil.Process]:
    """What a stack of this state directory started itself: in these roles, or in any. Guests have none of their own."""
    found = (_of_role(pid, state_dir, roles) for pid in pids_with([str(state_dir)], in_file="environ"))
    return [process for process in found if process is not None]


def _of_role(pid: int, state_dir: Path, roles: tuple[str, ...]) -> psutil.Process | None:
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        environment = process.environ()
        if (
            environment.get("EVACUATE_STATE_DIR") == str(state_dir)
            and (environment.get(ROLE, "") in roles if roles else ROLE in environment)
            and not is_guest(process)
            and process.status() != psutil.STATUS_ZOMBIE
        ):
            return process
    return None


def is_guest(process: psutil.Process) -> bool:
    """A guest inherits the environment of the worker that started it."""
    return any(word.endswith(GUEST_PROGRAM.name) for word in process.cmdline()[:4])


def supervisor_of(state_dir: Path) -> psutil.Process | None:
    return next(iter(with_role(state_dir, "supervisor")), None)


def end_all(find: Callable[[], list[psutil.Process]], *, grace: float, timeout: float) -> bool:
    """SIGTERM, `grace` seconds to end, then SIGKILL until a look finds nothing. Returns whether that is so."""
    _signal_all(find(), signal.SIGTERM)
    if grace:
        _wait_until(lambda: not find(), grace)
    deadline = time.monotonic() + timeout
    while remaining := find():
        if time.monotonic() > deadline:
            return False
        _signal_all(remaining, signal.SIGKILL)
        time.sleep(0.05)
    return True


def _signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
