"""The hypervisor of one host whose guests are processes. What runs is read from the process table, always."""

import signal
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from evacuation import messages as m
from evacuation.errors import (
    DestinationUnableError,
    HostOffError,
    SpawnFailedError,
)
from evacuation.model import PowerState, RootDisk
from evacuation.ports import HostIdentity
from services.hypervisors.machine import machine_id
from services.hypervisors.process.launch import Launch, no_disk
from services.hypervisors.process.layout import Power, ProcessRoot
from services.hypervisors.process.power import ProcessHost
from services.hypervisors.process.records import GuestRecords
from services.hypervisors.process.table import GuestProcess, guests_of, kill_until_gone

KILL_WAIT = 10.0


class ProcessHypervisor:
    """Implements the port `Hypervisor`."""

    def __init__(
        self,
        root: Path,
        host: str,
        *,
        machine: str | None = None,
        disk_lock: bool = True,
        poll: float = 0.05,
        start_timeout: float = 10.0,
    ) -> None:
        """Times in seconds. `machine` is the machine's id, where it is not this system's. Without `disk_lock` nothing
        but the fencing keeps two guests off one disk."""
        self._root = ProcessRoot(root)
        self._host = host
        self._power = ProcessHost(root, host)
        self._layout = self._root.host(host)
        self._records = GuestRecords(self._layout, host)
        self._machine = machine_id(machine)
        self._disk_lock = disk_lock
        self._poll = poll
        self._start_timeout = start_timeout

    def identity(self) -> HostIdentity:
        """Raises HostOffError, HostNotFoundError."""
        power = self._power.require_on()
        return HostIdentity(
            hypervisor_uuid=power.hypervisor_uuid,
            machine_id=self._machine,
            incarnation=power.incarnation,
            memory=self._records.mark(),
        )

    def inventory(self) -> tuple[m.GuestState, ...]:
        running = {(each.instance_id, each.epoch): each for each in guests_of(self._root, self._host)}
        return tuple(_state(*key, running.get(key)) for key in sorted(running.keys() | self._records.defined()))

    def prepare(self, message: m.PrepareDestination) -> m.Connector:
        power = self._require_on()
        if message.root_disk is RootDisk.LOCAL:
            raise DestinationUnableError(f"the root disk of {message.name} is not on shared storage")
        self._require_shared_disks()
        self._require_disk(message.instance_id, message.name)
        self._require_no_foreign_guest(message.instance_id, message.epoch)
        initiator = f"iqn.2026-01.org.evacuate:{self._host}"
        return m.Connector(host=self._host, incarnation=power.incarnation, initiator=initiator)

    def connect_volumes(self, message: m.ConnectVolumes) -> None:
        """Raises StaleEpochError when that epoch was disconnected or destroyed here."""
        with self._records.exclusive(message.instance_id):
            self._records.require_not_buried(message.instance_id, message.epoch)
            self._records.connect(message)

    def disconnect_volumes(self, message: m.GuestCall) -> None:
        with self._records.exclusive(message.instance_id):
            self._records.disconnect(message.instance_id, message.epoch)

    def spawn(self, guest: m.GuestSpec, *, last_look: Callable[[], None], beat: Callable[[str], None]) -> m.GuestState:
        with self._records.exclusive(guest.instance_id, beat) as held:
            self._records.require_not_buried(guest.instance_id, guest.epoch)
            self._require_no_foreign_guest(guest.instance_id, guest.epoch)
            found = self._running(guest.instance_id)
            if found:
                self._keep(guest, found, last_look)
            else:
                self._create(guest, held, last_look, beat)
            return m.GuestState(instance_id=guest.instance_id, epoch=guest.epoch, power_state=guest.power_state)

    def settle(self, message: m.GuestCall) -> bool:
        with self._records.exclusive(message.instance_id):
            if self._is_as_wanted(message):
                return True
            self._destroy(message.instance_id, message.epoch)
            return False

    def destroy(self, instance_id: str, epoch: int) -> None:
        with self._records.exclusive(instance_id):
            self._destroy(instance_id, epoch)

    def bury(self, instance_id: str, epoch: int) -> None:
        with self._records.exclusive(instance_id):
            self._records.bury(instance_id, epoch)

    def pause(self, instance_id: str, epoch: int) -> None:
        """Returns when every process of that guest has stopped; a guest that does not run is as good as paused."""
        deadline = time.monotonic() + KILL_WAIT
        while active := [each for each in self._running(instance_id, epoch) if not each.is_paused()]:
            if time.monotonic() > deadline:
                raise SpawnFailedError(f"{instance_id} does not stop on {self._host}")
            for each in active:
                _send(each, signal.SIGSTOP)
            time.sleep(self._poll)

    def _running(self, instance_id: str, epoch: int | None = None) -> list[GuestProcess]:
        found = guests_of(self._root, self._host, instance_id)
        return [each for each in found if epoch in (None, each.epoch)]

    def _require_on(self) -> Power:
        try:
            return self._power.require_on()
        except HostOffError as error:
            raise DestinationUnableError(error.message) from error

    def _require_shared_disks(self) -> None:
        """What is written to the shared directory can be read back from it, and it is the one of this fleet."""
        probe = self._root.disks / f".probe.{uuid.uuid4()}"
        try:
            self._root.marker.read_text(encoding="utf-8")
            probe.write_text(self._host, encoding="utf-8")
            seen = probe.read_text(encoding="utf-8")
            probe.unlink()
        except OSError as error:
            raise DestinationUnableError(f"shared disks are not visible on {self._host}: {error}") from error
        if seen != self._host:
            raise DestinationUnableError(f"shared disks do not keep what {self._host} writes")

    def _require_disk(self, instance_id: str, name: str) -> None:
        missing = no_disk(self._root, instance_id, name)
        if missing is not None:
            raise missing

    def _require_no_foreign_guest(self, instance_id: str, epoch: int) -> None:
        """Running with another epoch, or defined with a newer one. What an older one left defined is replaced."""
        foreign = {each.epoch for each in self._running(instance_id)} - {epoch}
        defined = self._records.defined_epoch(instance_id)
        if defined is not None and defined > epoch:
            foreign.add(defined)
        if foreign:
            raise DestinationUnableError(
                f"a guest of {instance_id} with epoch {max(foreign)} is on {self._host} already",
                remedy="see which evacuation it belongs to, or return the host",
            )

    def _keep(self, guest: m.GuestSpec, found: list[GuestProcess], last_look: Callable[[], None]) -> None:
        """The guest runs already: defined again if it has lost its definition, resumed if it was paused."""
        if guest.power_state is not PowerState.RUNNING:
            raise SpawnFailedError(f"{guest.name} runs on {self._host} and is wanted {guest.power_state}")
        self._records.define(guest)
        if any(each.is_paused() for each in found):
            last_look()
            for each in found:
                _send(each, signal.SIGCONT)

    def _create(
        self, guest: m.GuestSpec, held: int, last_look: Callable[[], None], beat: Callable[[str], None]
    ) -> None:
        """Define, look, create; whatever fails, and whoever calls it off, nothing of it is left."""
        power = self._require_on()
        self._require_disk(guest.instance_id, guest.name)
        with self._records.defining(guest):
            try:
                last_look()
                if guest.power_state is PowerState.RUNNING:
                    self._launch(guest, held, power).run(beat)
            except BaseException:
                self._kill(guest.instance_id, guest.epoch)
                raise

    def _launch(self, guest: m.GuestSpec, held: int, power: Power) -> Launch:
        return Launch(
            self._root,
            self._host,
            power.incarnation,
            guest,
            disk_lock=self._disk_lock,
            held=held,
            poll=self._poll,
            timeout=self._start_timeout,
        )

    def _is_as_wanted(self, message: m.GuestCall) -> bool:
        if self._records.is_buried(message.instance_id, message.epoch):
            return False
        running = self._running(message.instance_id)
        if message.power_state is PowerState.RUNNING:
            return any(each.epoch == message.epoch and not each.is_paused() for each in running)
        return not running and self._records.defined_epoch(message.instance_id) == message.epoch

    def _destroy(self, instance_id: str, epoch: int) -> None:
        self._records.bury(instance_id, epoch)
        self._kill(instance_id, epoch)
        self._records.undefine(instance_id, epoch)

    def _kill(self, instance_id: str, epoch: int) -> None:
        def find() -> list[psutil.Process]:
            return [each.process for each in self._running(instance_id) if each.epoch <= epoch]

        if not kill_until_gone(find, timeout=KILL_WAIT):
            raise SpawnFailedError(f"{instance_id} does not end on {self._host}")


def _send(guest: GuestProcess, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        guest.process.send_signal(number)


def _state(instance_id: str, epoch: int, running: GuestProcess | None) -> m.GuestState:
    if running is None:
        return m.GuestState(instance_id=instance_id, epoch=epoch, power_state=PowerState.SHUTDOWN)
    paused = running.is_paused()
    return m.GuestState(instance_id=instance_id, epoch=epoch, power_state=PowerState.RUNNING, paused=paused)
