"""Guests that libvirt does not know, while their QEMU runs: it was started without the files that say what runs, or
somebody else started them. A guest is gone once libvirt has no such domain and the host no such process."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from evacuation.epochs import UNMARKED
from evacuation.errors import (
    DestinationUnableError,
    HypervisorUnableError,
    HypervisorUnavailableError,
    SpawnFailedError,
)
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.domains import Domains, Seen
from services.hypervisors.libvirt.options import LibvirtOptions
from services.hypervisors.libvirt.processes import Processes, Qemu
from services.hypervisors.libvirt.signals import AwaitedSignal
from services.hypervisors.memory import GuestFiles, GuestMemory
from services.runtime.durable_files import read

Result = TypeVar("Result")
END_TIMEOUT = 5.0
"""Seconds that a QEMU gets which ends already."""
HANGS = "see what it waits for (the shared storage?), or cut the host's power"
log = structlog.stdlib.get_logger("hypervisor")


@dataclass(frozen=True)
class Lost:
    """`epoch` is the last one that was started here; else what libvirt has defined; else UNMARKED. `beside`: libvirt
    runs the guest, too, and which process is its own cannot be told."""

    instance_id: str
    epoch: int
    qemu: Qemu
    beside: bool

    def __str__(self) -> str:
        second = ", beside the one that libvirt knows" if self.beside else ""
        return f"process {self.qemu.pid}{second}"


class LostGuests:
    """All raise HypervisorUnableError, HypervisorUnavailableError: the host's processes cannot be seen."""

    def __init__(
        self,
        options: LibvirtOptions,
        connection: LibvirtConnection,
        domains: Domains,
        files: GuestFiles,
        memory: GuestMemory,
    ) -> None:
        self._options = options
        self._connection = connection
        self._domains = domains
        self._files = files
        self._memory = memory
        self._processes = Processes(options.proc)
        self._in_sight = False

    def of(self, instance_id: str) -> tuple[Lost, ...]:
        """Processes first, libvirt then: a guest that starts or ends meanwhile is not taken for lost."""
        return self._lost(instance_id, self.running())

    def _lost(self, instance_id: str, running: Iterable[Qemu]) -> tuple[Lost, ...]:
        mine = [each for each in running if each.instance_id == instance_id.lower()]
        seen = self._domains.find(instance_id) if mine else None
        return self.among(mine, [seen] if seen else [])

    def running(self) -> tuple[Qemu, ...]:
        self._require_sight()
        # To read what a process was started with may hang as long as what the process waits for.
        return self._told(lambda: self._connection.elsewhere("a look at the processes", self._processes.all))

    def among(self, running: Sequence[Qemu], known: Iterable[Seen]) -> tuple[Lost, ...]:
        """Those of the processes that are alive after libvirt said what it knows."""
        seen = {each.instance_id.lower(): each for each in known}
        alive = [each for each in running if self._processes.is_alive(each)]
        owners = sorted({each.instance_id for each in alive if each.instance_id is not None})
        return tuple(
            lost
            for owner in owners
            for lost in self._beyond(owner, seen.get(owner), [each for each in alive if each.instance_id == owner])
        )

    def end(self, instance_id: str, epoch: int) -> None:
        """None at or below the epoch is left. Raises SpawnFailedError."""
        before = self.running()
        self._wait_for_the_nameless({each for each in before if each.instance_id is None})
        # One that began to end meanwhile does not say any more that it is this one's.
        for each in self._lost(instance_id, {*before, *self.running()}):
            if each.epoch <= epoch:
                self._end(each)

    def pause(self, instance_id: str, epoch: int) -> None:
        """None of that epoch makes progress. Raises SpawnFailedError."""
        for each in self.of(instance_id):
            if each.epoch == epoch and not self._stops(each):
                raise SpawnFailedError(f"{each} of {instance_id} does not pause on {self._options.host}", remedy=HANGS)

    def require_none(self, name: str, instance_id: str) -> None:
        """But for what `end_called_off` ends. Raises DestinationUnableError."""
        for each in self.of(instance_id):
            if not self._is_called_off(each):
                raise DestinationUnableError(
                    f"{name} runs on {self._options.host} already, unknown to libvirt: {each}, epoch {each.epoch}",
                    remedy=f"stop and start the instance, if it belongs there; else end it: kill {each.qemu.pid}",
                )

    def end_called_off(self, instance_id: str) -> None:
        """Those that were called off here, and lived on, are gone. Raises SpawnFailedError."""
        for each in self.of(instance_id):
            if self._is_called_off(each):
                self._end(each)

    def _is_called_off(self, lost: Lost) -> bool:
        return not lost.beside and self._memory.is_buried(lost.instance_id, lost.epoch)

    def _beyond(self, owner: str, seen: Seen | None, alive: Sequence[Qemu]) -> Iterable[Lost]:
        """A guest that libvirt runs has one process."""
        beside = seen is not None and seen.active
        epoch = self._epoch(owner, seen)
        newest_first = sorted(alive, key=lambda each: int(each.started), reverse=True)
        return (Lost(owner, epoch, each, beside) for each in newest_first[1 if beside else 0 :])

    def _epoch(self, instance_id: str, seen: Seen | None) -> int:
        started = read(self._files.file("signals", instance_id), AwaitedSignal)
        if started is not None:
            return started.epoch
        return seen.epoch if seen is not None else UNMARKED

    def _end(self, lost: Lost) -> None:
        host, what = self._options.host, f"{lost} of {lost.instance_id}"
        if lost.beside:
            raise SpawnFailedError(
                f"two QEMUs of {lost.instance_id} run on {host}: {lost}",
                remedy="end the one that is not libvirt's there",
            )
        if not self._told(lambda: self._processes.end(lost.qemu)):
            raise SpawnFailedError(f"{what} does not end on {host}, and libvirt does not know it", remedy=HANGS)
        log.warning("ended a QEMU that libvirt did not know", instance=lost.instance_id, pid=lost.qemu.pid)

    def _stops(self, lost: Lost) -> bool:
        return not lost.beside and self._told(lambda: self._processes.stop(lost.qemu))

    def _wait_for_the_nameless(self, nameless: set[Qemu]) -> None:
        """They may be anybody's: what one has begun to write may still come. Raises SpawnFailedError."""
        deadline = time.monotonic() + END_TIMEOUT
        while nameless := nameless and nameless & set(self.running()):
            if time.monotonic() > deadline:
                raise SpawnFailedError(
                    f"process {min(each.pid for each in nameless)} on {self._options.host} is a QEMU that does not come"
                    " to its end, and does not say any more whose it is",
                    remedy=HANGS,
                )
            time.sleep(self._options.poll)

    def _require_sight(self) -> None:
        self._in_sight = self._in_sight or self._connection.reading("is_in_sight") is not False
        if not self._in_sight:
            raise HypervisorUnableError(
                f"the processes of {self._options.host} cannot be seen by its worker: libvirt's own is not among them",
                remedy="run the worker in the host's PID namespace (a container: --pid=host), as a user who sees all",
            )

    def _told(self, do: Callable[[], Result]) -> Result:
        try:
            return do()
        except PermissionError as error:
            raise HypervisorUnableError(
                f"the processes of {self._options.host} are not the worker's to see, or to end: {error}",
                remedy="run the worker as root",
            ) from error
        except OSError as error:
            raise HypervisorUnavailableError(
                f"the processes of {self._options.host} cannot be read: {error}", remedy="see whether /proc is mounted"
            ) from error
