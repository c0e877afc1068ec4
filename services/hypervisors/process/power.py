"""The power of a host: a durable mark, and whatever still runs. Off is both: the mark is set and nothing is left."""

import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

from evacuation.errors import CutOverError, FenceFailedError, HostNotFoundError, HostOffError
from services.hypervisors.machine import boot_id
from services.hypervisors.process.layout import Power, ProcessRoot
from services.hypervisors.process.table import guests_of, includes_caller, kill_until_gone, processes_of
from services.runtime.durable_files import read, write
from services.runtime.locks import LockHeldError, file_lock


def _nothing() -> None:
    pass


class ProcessHost:
    """One host's power button."""

    def __init__(self, root: Path, host: str, *, timeout: float = 30.0) -> None:
        """`timeout` (seconds) bounds the wait for the power lock, and for killed processes to be gone."""
        self.root = ProcessRoot(root)
        self.host = host
        self.layout = self.root.host(host)
        self._timeout = timeout

    def exists(self) -> bool:
        return self.layout.power.exists()

    def power(self) -> Power:
        """Raises HostNotFoundError."""
        power = read(self.layout.power, Power)
        if power is None:
            raise HostNotFoundError(f"host {self.host} was never powered on here")
        return power

    def incarnation(self) -> str:
        """Which boot of the host it is, or was if it is off. Raises HostNotFoundError."""
        return self.power().incarnation

    def is_marked_off(self) -> bool:
        """The durable half of being off: nothing may be started here. A host of an earlier boot of this machine is
        as off as one that was switched off."""
        return self._is_stopped(self.power())

    def is_off(self) -> bool:
        """Marked off, and no process left."""
        return self.is_marked_off() and not processes_of(self.root, self.host)

    def require_on(self) -> Power:
        """Raises HostOffError, HostNotFoundError."""
        power = self.power()
        if self._is_stopped(power):
            raise HostOffError(f"host {self.host} is powered off")
        return power

    @contextmanager
    def power_lock(self, beat: Callable[[], None] = _nothing) -> Generator[None]:
        """Nobody else switches the power meanwhile. Who starts the host's worker holds it from before it reads the
        mark until the worker's program is loaded: then the worker is either not started or seen by `power_off`."""
        try:
            with file_lock(self.layout.power_lock, wait=self._timeout, beat=beat):
                yield
        except LockHeldError as error:
            raise FenceFailedError(f"the power of {self.host} is being switched by somebody else") from error

    def power_on(self) -> str:
        """The incarnation: a new one if the host was off or new, whose last process is gone by then. Nothing
        autostarts; definitions and tombstones are kept, as a reboot keeps them."""
        self.root.create()
        with self.power_lock():
            power = read(self.layout.power, Power)
            if power is not None and not self._is_stopped(power):
                return power.incarnation
            self._kill(_nothing)
            return self._boot(power).incarnation

    def boot(self) -> str:
        """A new incarnation, by the host's own worker, whose start is the host's: in a container that is the whole
        host no guest outlives the worker. The caller holds the host's worker lock. Raises HostOffError (it was
        switched off on purpose), FenceFailedError (a guest does not end)."""
        self.root.create()
        with self.power_lock():
            power = read(self.layout.power, Power)
            if power is not None and power.off:
                raise HostOffError(f"host {self.host} is powered off", remedy="see `evacuate host start`")
            if not kill_until_gone(self._guests, timeout=self._timeout):
                raise FenceFailedError(f"guests of {self.host} do not end")
            return self._boot(power).incarnation

    def power_off(
        self,
        beat: Callable[[], None] = _nothing,
        *,
        boot: str | None = None,
        last_look: Callable[[], None] = _nothing,
    ) -> None:
        """Durably marked off, then killed, then read back. Already off is success. `last_look` raises to call it off.
        Raises FenceFailedError, CutOverError (it is on, as another boot than `boot`)."""
        with self.power_lock(beat):
            if not self.exists():
                raise FenceFailedError(f"host {self.host} was never powered on here")
            if includes_caller(processes_of(self.root, self.host)):
                raise FenceFailedError(f"the caller runs on {self.host} itself", remedy="ask another host's worker")
            power = self.power()
            if boot not in (None, power.incarnation) and not self._is_stopped(power):
                raise CutOverError(f"{self.host} has booted again since, as {power.incarnation}: it is not cut")
            last_look()
            write(self.layout.power, power.model_copy(update={"off": True}))
            self._kill(beat)

    def _guests(self) -> list[psutil.Process]:
        return [each.process for each in guests_of(self.root, self.host)]

    def _boot(self, before: Power | None) -> Power:
        identity = before.hypervisor_uuid if before else str(uuid.uuid4())
        power = Power(hypervisor_uuid=identity, incarnation=str(uuid.uuid4()), boot=boot_id())
        write(self.layout.power, power)
        return power

    def _kill(self, beat: Callable[[], None]) -> None:
        if not kill_until_gone(lambda: processes_of(self.root, self.host), beat=beat, timeout=self._timeout):
            raise FenceFailedError(f"processes of {self.host} do not end")

    @staticmethod
    def _is_stopped(power: Power) -> bool:
        return power.off or power.boot != boot_id()
