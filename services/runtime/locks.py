"""Exclusive locks between threads and processes of one machine; the kernel frees them when their holder dies."""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

POLL = 0.02


class LockHeldError(Exception):
    """Somebody else holds the lock, and kept it for as long as the caller was willing to wait."""


@contextmanager
def machine_lock(name: str, *, wait: float = 0.0) -> Generator[None]:
    """Hold a name of the machine's, which lies in no directory (an abstract socket: one network namespace is one
    machine). `wait` is in seconds. Raises LockHeldError."""
    deadline = time.monotonic() + wait
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        while not _is_bound(held, f"\0{name}"):
            if time.monotonic() >= deadline:
                raise LockHeldError(name)
            time.sleep(POLL)
        yield


def _is_bound(held: socket.socket, address: str) -> bool:
    try:
        held.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def file_lock(path: Path, *, wait: float = 0.0, beat: Callable[[], None] = lambda: None) -> Generator[int]:
    """Hold the lock file; yields its descriptor, which a child may inherit and so keep the lock when its parent dies.

    `wait` is in seconds; `beat` is called at every poll while waiting. Raises LockHeldError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + wait
        while not _try(fd):
            if time.monotonic() >= deadline:
                raise LockHeldError(str(path))
            beat()
            time.sleep(POLL)
        try:
            yield fd
        finally:
            # Not left to close(): a sibling thread's child between fork and exec has a copy of the descriptor.
            fcntl.flock(fd, fcntl.LOCK_UN)
    finally:
        os.close(fd)
