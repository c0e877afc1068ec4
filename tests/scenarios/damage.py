"""Damage by hand, to be seen by `check`, and its repair: in the store, in the process table, on a disk."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from evacuation.invariants import SeenGuest
from evacuation.messages import GuestSpec
from evacuation.model import Flavor, PowerState, RootDisk
from services.hypervisors.process import ProcessHost, ProcessRoot
from services.hypervisors.process.launch import Launch
from services.runtime.stack_record import settings_for
from tests.support.stack import Stack


def state_dir(stack: Stack) -> Path:
    return Path(stack.environment["EVACUATE_STATE_DIR"])


def disk_of(stack: Stack, name: str) -> Path:
    return ProcessRoot(state_dir(stack)).disk(stack.instance_id(name))


def guests_of(stack: Stack, name: str) -> list[SeenGuest]:
    instance_id = stack.instance_id(name)
    return [guest for guest in stack.world().guests if guest.instance_id == instance_id]


def pid_of(guest: SeenGuest) -> int:
    assert guest.pid is not None
    return guest.pid


@contextmanager
def changed_rows(stack: Stack, table: str, *statements: str) -> Iterator[None]:
    """The table gets every row back as it was."""
    _execute(stack, f"CREATE TABLE kept AS SELECT * FROM {table}", *statements)
    try:
        yield
    finally:
        _execute(stack, f"DELETE FROM {table}", f"INSERT INTO {table} SELECT * FROM kept", "DROP TABLE kept")


def _execute(stack: Stack, *statements: str) -> None:
    with stack.as_environment():
        path = settings_for().store_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        connection.executescript(";\n".join(["BEGIN IMMEDIATE", *statements, "COMMIT"]))


@contextmanager
def changed_disk(stack: Stack, name: str, change: Callable[[list[bytes]], list[bytes]]) -> Iterator[None]:
    """The guest does not write while its journal is changed, and goes on writing behind what was changed."""
    disk = disk_of(stack, name)
    with paused(stack, name):
        right = disk.read_bytes()
        wrong = b"".join(change(right.splitlines(keepends=True)))
        disk.write_bytes(wrong)
    try:
        yield
    finally:
        with paused(stack, name):
            disk.write_bytes(right + disk.read_bytes()[len(wrong) :])


@contextmanager
def paused(stack: Stack, name: str) -> Iterator[None]:
    pids = [pid_of(guest) for guest in guests_of(stack, name)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    stack.until(lambda: not any(guest.writes for guest in guests_of(stack, name)), f"{name} is paused")
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def extra_guest(stack: Stack, name: str, host: str, *, epoch: int) -> Iterator[None]:
    """Started behind the back of everybody, without a lock on its disk; nothing of it is left."""
    disk = disk_of(stack, name)
    held = os.open(os.devnull, os.O_RDWR)
    try:
        _launch(stack, name, host, epoch, held).run(lambda _: None)
        yield
    finally:
        os.close(held)
        _end(stack, name, host)
        with paused(stack, name):
            _forget(disk, host)


def _launch(stack: Stack, name: str, host: str, epoch: int, held: int) -> Launch:
    guest = GuestSpec(
        instance_id=stack.instance_id(name),
        name=name,
        epoch=epoch,
        flavor=Flavor(vcpus=1, memory_mb=1, disk_gb=1),
        root_disk=RootDisk.SHARED,
        power_state=PowerState.RUNNING,
    )
    root = ProcessRoot(state_dir(stack))
    incarnation = ProcessHost(root.path, host).incarnation()
    return Launch(root, host, incarnation, guest, disk_lock=False, held=held, poll=0.05, timeout=20)


def _end(stack: Stack, name: str, host: str) -> None:
    for guest in guests_of(stack, name):
        if guest.host == host:
            os.kill(pid_of(guest), signal.SIGKILL)
    stack.until(lambda: not any(g.host == host for g in guests_of(stack, name)), f"{name} is gone from {host}")


def _forget(disk: Path, host: str) -> None:
    """As if that host had never written there; a disk that only it has written to never was."""
    kept = [line for line in disk.read_bytes().splitlines(keepends=True) if line.split()[2] != host.encode()]
    if kept:
        disk.write_bytes(b"".join(kept))
    else:
        disk.unlink()
