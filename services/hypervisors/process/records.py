"""What a host remembers about its guests: definitions, tombstones, and the volumes that they see."""

from collections.abc import Generator
from contextlib import contextmanager

from evacuation import messages as m
from evacuation.errors import StaleEpochError
from services.hypervisors.process.layout import (
    Connections,
    Definition,
    HostLayout,
    Tombstone,
    read,
    remove_durably,
    write,
)


class GuestRecords:
    """Durable, one file each. The caller holds the instance's lock for everything that writes."""

    def __init__(self, layout: HostLayout, host: str) -> None:
        self._layout = layout
        self._host = host

    def defined(self) -> set[tuple[str, int]]:
        """Instance id and epoch of every definition."""
        return {(each.guest.instance_id, each.guest.epoch) for each in self._layout.definitions()}

    def defined_epoch(self, instance_id: str) -> int | None:
        definition = read(self._layout.definition(instance_id), Definition)
        return definition.guest.epoch if definition else None

    def define(self, guest: m.GuestSpec) -> None:
        write(self._layout.definition(guest.instance_id), Definition(guest=guest))

    @contextmanager
    def defining(self, guest: m.GuestSpec) -> Generator[None]:
        """Defined; when the block fails, what was defined before is defined again."""
        path = self._layout.definition(guest.instance_id)
        before = read(path, Definition)
        self.define(guest)
        try:
            yield
        except BaseException:
            if before:
                write(path, before)
            else:
                remove_durably(path)
            raise

    def undefine(self, instance_id: str, epoch: int) -> None:
        """Never what is newer than the epoch."""
        defined = self.defined_epoch(instance_id)
        if defined is not None and defined <= epoch:
            remove_durably(self._layout.definition(instance_id))

    def bury(self, instance_id: str, epoch: int) -> None:
        """A tombstone only grows."""
        if not self.is_buried(instance_id, epoch):
            write(self._layout.tombstone(instance_id), Tombstone(epoch=epoch))

    def is_buried(self, instance_id: str, epoch: int) -> bool:
        tombstone = read(self._layout.tombstone(instance_id), Tombstone)
        return tombstone is not None and epoch <= tombstone.epoch

    def require_not_buried(self, instance_id: str, epoch: int) -> None:
        """Raises StaleEpochError."""
        if self.is_buried(instance_id, epoch):
            raise StaleEpochError(f"epoch {epoch} of {instance_id} was called off on {self._host}")

    def connect(self, message: m.ConnectVolumes) -> None:
        """Raises StaleEpochError when that epoch, or a newer one, was disconnected."""
        path = self._layout.connections(message.instance_id)
        before = read(path, Connections)
        if before and (before.epoch > message.epoch or (before.closed and before.epoch == message.epoch)):
            raise StaleEpochError(f"volumes of epoch {message.epoch} were disconnected from {self._host}")
        write(path, Connections(epoch=message.epoch, disks=message.disks))

    def disconnect(self, instance_id: str, epoch: int) -> None:
        """Kept as a mark, so that a late connect of that epoch is refused."""
        path = self._layout.connections(instance_id)
        before = read(path, Connections)
        if before is None or before.epoch <= epoch:
            write(path, Connections(epoch=epoch, closed=True))
