"""What every host remembers about its guests, durably: what was called off, and the volumes that they see.

<path>/tombstones/<instance>.json
<path>/connections/<instance>.json
<path>/locks/<instance>.lock          held by one operation on that guest at a time
<path>/memory.json                    by which it is known whether all of this is still what it was
<path>/memory.lock                    held by whoever makes that, the first time
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from evacuation import messages as m
from evacuation.errors import GuestBusyError, StaleEpochError
from evacuation.model import Frozen
from services.hypervisors.lasting import LastingMemory
from services.runtime.durable_files import read, told, write
from services.runtime.locks import LockHeldError, file_lock

LOCK_WAIT = 15.0


class Tombstone(Frozen):
    """No guest at or below the epoch may start here any more."""

    epoch: int


class Connections(Frozen):
    """The volumes that one epoch's guest sees here; closed: that epoch, and any older, sees none any more."""

    epoch: int
    disks: tuple[m.GuestDisk, ...] = ()
    closed: bool = False


class GuestFiles:
    """Where it lies."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tombstone(self, instance_id: str) -> Path:
        return self.file("tombstones", instance_id)

    def connections(self, instance_id: str) -> Path:
        return self.file("connections", instance_id)

    def lock(self, instance_id: str) -> Path:
        return self.path / "locks" / f"{instance_id}.lock"

    def file(self, folder: str, instance_id: str) -> Path:
        return self.path / folder / f"{instance_id}.json"


def _ignore(_: str) -> None:
    pass


class GuestMemory:
    """The caller holds the instance's lock for everything that writes."""

    def __init__(self, files: GuestFiles, host: str) -> None:
        self._files = files
        self._host = host
        self._lasting = LastingMemory(files.path)

    def mark(self) -> str:
        """Of all that is remembered here; see `LastingMemory`."""
        return self._lasting.mark()

    @contextmanager
    def exclusive(self, instance_id: str, beat: Callable[[str], None] = _ignore) -> Generator[int]:
        """Hold the instance's host-wide lock; yields its descriptor. Raises GuestBusyError, and for whatever
        the system refuses meanwhile HypervisorUnavailableError; so it does when what the host remembered is lost: locks
        and tombstones that were written since exclude nobody who came before."""
        path = self._files.lock(instance_id)
        try:
            with told(path), file_lock(path, wait=LOCK_WAIT, beat=lambda: beat("waiting for the guest's lock")) as held:
                self._lasting.require()
                yield held
        except LockHeldError as error:
            raise GuestBusyError(f"another operation on {instance_id} runs on {self._host}") from error

    def bury(self, instance_id: str, epoch: int) -> None:
        """A tombstone only grows."""
        if not self.is_buried(instance_id, epoch):
            write(self._files.tombstone(instance_id), Tombstone(epoch=epoch))

    def is_buried(self, instance_id: str, epoch: int) -> bool:
        tombstone = read(self._files.tombstone(instance_id), Tombstone)
        return tombstone is not None and epoch <= tombstone.epoch

    def require_not_buried(self, instance_id: str, epoch: int) -> None:
        """Raises StaleEpochError."""
        if self.is_buried(instance_id, epoch):
            raise StaleEpochError(f"epoch {epoch} of {instance_id} was called off on {self._host}")

    def connect(self, message: m.ConnectVolumes) -> None:
        """Raises StaleEpochError when that epoch, or a newer one, was disconnected."""
        path = self._files.connections(message.instance_id)
        before = read(path, Connections)
        if before and (before.epoch > message.epoch or (before.closed and before.epoch == message.epoch)):
            raise StaleEpochError(f"volumes of epoch {message.epoch} were disconnected from {self._host}")
        write(path, Connections(epoch=message.epoch, disks=message.disks))

    def connected(self, instance_id: str, epoch: int) -> tuple[m.GuestDisk, ...]:
        """What that epoch's guest was to see when its volumes were connected; nothing, if they were not."""
        known = read(self._files.connections(instance_id), Connections)
        return known.disks if known is not None and known.epoch == epoch else ()

    def disconnect(self, instance_id: str, epoch: int) -> None:
        """Kept as a mark, so that a late connect of that epoch is refused."""
        path = self._files.connections(instance_id)
        before = read(path, Connections)
        if before is None or before.epoch <= epoch:
            write(path, Connections(epoch=epoch, closed=True))
