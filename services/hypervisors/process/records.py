"""What a host of guest processes remembers about them."""

from collections.abc import Generator
from contextlib import contextmanager

from evacuation import messages as m
from services.hypervisors.memory import GuestMemory
from services.hypervisors.process.layout import Definition, HostLayout
from services.runtime.durable_files import read, remove_durably, write


class GuestRecords(GuestMemory):
    """Beside what every host remembers, the definitions: one file each."""

    def __init__(self, layout: HostLayout, host: str) -> None:
        super().__init__(layout, host)
        self._layout = layout

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
