"""The start of a guest's process, and the wait for its sign of life."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from evacuation.errors import DestinationUnableError, DiskLockedError, EvacuateError, SpawnFailedError
from evacuation.messages import GuestSpec
from services.hypervisors.process import guest as program
from services.hypervisors.process.disk import recent_records
from services.hypervisors.process.layout import ProcessRoot
from services.hypervisors.process.making import why_unusable
from services.hypervisors.process.table import GUEST_PROGRAM


def no_disk(root: ProcessRoot, instance_id: str, name: str) -> DestinationUnableError | None:
    """None: the guest can use its disk. It is never made here: an empty one in its place would be taken for it."""
    path = root.disk(instance_id)
    why = why_unusable(path, instance_id)
    if why is None:
        return None
    return DestinationUnableError(
        f"the disk of {name} {why} ({path})", remedy="restore it, or mount the storage that has it"
    )


@dataclass(frozen=True)
class Launch:
    """Who starts which guest, where, and under whose lock. Times in seconds."""

    root: ProcessRoot
    host: str
    incarnation: str
    guest: GuestSpec
    disk_lock: bool
    held: int
    poll: float
    timeout: float

    def command(self) -> list[str]:
        options = {
            "--root": str(self.root.path),
            "--host": self.host,
            "--incarnation": self.incarnation,
            "--instance": self.guest.instance_id,
            "--epoch": str(self.guest.epoch),
            "--disk-lock": "yes" if self.disk_lock else "no",
            "--held": str(self.held),
        }
        return [sys.executable, "-I", "-S", str(GUEST_PROGRAM), *(word for pair in options.items() for word in pair)]

    def run(self, beat: Callable[[str], None]) -> None:
        """The guest is up: it is a daemon and has written its first record.

        Raises DestinationUnableError (the host is off, or has no such disk), DiskLockedError, SpawnFailedError.
        """
        starter = subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(self.held,),
            start_new_session=True,
        )
        try:
            self._wait(starter, beat)
        finally:
            if starter.poll() is None:
                starter.kill()
            starter.wait()

    def _wait(self, starter: "subprocess.Popen[bytes]", beat: Callable[[str], None]) -> None:
        deadline = time.monotonic() + self.timeout
        while (code := starter.poll()) is None or (code == 0 and not self._is_seen()):
            if time.monotonic() > deadline:
                raise SpawnFailedError(f"{self.guest.name} gave no sign of life on {self.host} in {self.timeout:g} s")
            beat(f"waiting for {self.guest.name}")
            time.sleep(self.poll)
        if code != 0:
            raise self._failure(code)
        beat(f"{self.guest.name} is up")

    def _is_seen(self) -> bool:
        records = recent_records(self.root.disk(self.guest.instance_id))
        return any((record.epoch, record.host) == (self.guest.epoch, self.host) for record in records)

    def _failure(self, code: int) -> EvacuateError:
        if code == program.LOCKED:
            return DiskLockedError(
                f"the disk of {self.guest.name} is locked by another process",
                remedy="find out which host still runs a copy, and fence it",
            )
        if code == program.OFF:
            return DestinationUnableError(f"host {self.host} is powered off")
        if code == program.NO_DISK:
            return no_disk(self.root, self.guest.instance_id, self.guest.name) or DestinationUnableError(
                f"the disk of {self.guest.name} could not be opened on {self.host}"
            )
        return SpawnFailedError(f"{self.guest.name} did not start on {self.host} (exit code {code})")
