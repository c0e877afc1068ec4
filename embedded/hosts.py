"""Boots the process hosts of a fleet."""

from collections.abc import Iterable
from pathlib import Path

from embedded.processes import guest_processes
from services.hypervisors.process import ProcessHost
from services.runtime.locks import LockHeldError, file_lock


def boot_hosts(state_dir: Path, hosts: Iterable[str]) -> None:
    """Every host is on that was not switched off on purpose. One with running guests, or whose worker runs (its guests
    may be in a container, and not to be seen), is still the same boot; one where nothing runs has ended, with whoever
    ran it, and boots again."""
    for name in hosts:
        host = ProcessHost(state_dir, name)
        if not host.exists() or not (host.power().off or _is_served(host)):
            _boot(host, has_guests=bool(guest_processes(state_dir, name)))


def _is_served(host: ProcessHost) -> bool:
    try:
        with file_lock(host.layout.worker_lock, wait=0):
            return False
    except LockHeldError:
        return True


def _boot(host: ProcessHost, *, has_guests: bool) -> None:
    if host.exists() and not host.is_marked_off() and not has_guests:
        host.power_off()
    host.power_on()
