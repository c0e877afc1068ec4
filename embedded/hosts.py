"""Boots the process hosts of a fleet."""

from collections.abc import Iterable
from pathlib import Path

from embedded.processes import guest_processes
from services.hypervisors.process import ProcessHost


def boot_hosts(state_dir: Path, hosts: Iterable[str]) -> None:
    """Every host is on that was not switched off on purpose. One with running guests is still the same boot; one
    where nothing runs has ended, with whoever ran it, and boots anew."""
    for name in hosts:
        host = ProcessHost(state_dir, name)
        if not host.exists() or not host.power().off:
            _boot(host, has_guests=bool(guest_processes(state_dir, name)))


def _boot(host: ProcessHost, *, has_guests: bool) -> None:
    if host.exists() and not host.is_marked_off() and not has_guests:
        host.power_off()
    host.power_on()
