"""A hypervisor in memory, with set delays, for measurements with thousands of guests.

It keeps the port's rules (tombstones, epochs, one operation at a time per guest), and forgets its guests when its
process ends, as a host does.
"""

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from evacuation import messages as m
from evacuation.errors import (
    DestinationUnableError,
    DiskLockedError,
    EvacuateError,
    SpawnFailedError,
    StaleEpochError,
)
from evacuation.model import PowerState, RootDisk
from evacuation.ports import HostIdentity
from services.hypervisors.machine import machine_id


class SimulatedDisks:
    """The disks that several simulated hosts share, each with its lock."""

    def __init__(self) -> None:
        self._holders: dict[str, object] = {}
        self._guard = threading.Lock()

    def lock(self, instance_id: str, holder: object) -> bool:
        """Whether the holder has the disk now."""
        with self._guard:
            return self._holders.setdefault(instance_id, holder) is holder

    def unlock(self, instance_id: str, holder: object) -> None:
        with self._guard:
            if self._holders.get(instance_id) is holder:
                del self._holders[instance_id]


@dataclass(frozen=True)
class _Guest:
    epoch: int
    power_state: PowerState
    paused: bool = False


@dataclass
class _Slot:
    """All about one uuid on this host. `lock` is held through define and create."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    guest: _Guest | None = None
    buried: int = 0
    disconnected: int = 0
    connected: tuple[m.GuestDisk, ...] = ()


class SimulatedHypervisor:
    """Implements the port `Hypervisor`."""

    def __init__(
        self,
        host: str,
        *,
        machine: str | None = None,
        spawn_delay: float = 0.0,
        step_delay: float = 0.0,
        failures: Sequence[EvacuateError | None] = (),
        disks: SimulatedDisks | None = None,
    ) -> None:
        """Delays in seconds: of a create, and of every other step. `machine` is the machine's id, where it is not this
        system's. `failures` meet the first creates in order (None: that one succeeds). Without `disks` no other host
        can hold a guest's disk."""
        self._host = host
        self._machine = machine_id(machine)
        self._spawn_delay = spawn_delay
        self._step_delay = step_delay
        self._failures = list(failures)
        self._disks = disks or SimulatedDisks()
        self._slots: defaultdict[str, _Slot] = defaultdict(_Slot)
        self._guard = threading.Lock()
        self._incarnation = str(uuid.uuid4())

    def identity(self) -> HostIdentity:
        """The same uuid for the same name; a new incarnation for every construction."""
        return HostIdentity(
            hypervisor_uuid=str(uuid.uuid5(uuid.NAMESPACE_DNS, self._host)),
            machine_id=self._machine,
            incarnation=self._incarnation,
            memory=self._incarnation,
        )

    def inventory(self) -> tuple[m.GuestState, ...]:
        with self._guard:
            slots = sorted(self._slots.items())
        return tuple(_state(instance_id, slot.guest) for instance_id, slot in slots if slot.guest)

    def prepare(self, message: m.PrepareDestination) -> m.Connector:
        time.sleep(self._step_delay)
        if message.root_disk is RootDisk.LOCAL:
            raise DestinationUnableError(f"the root disk of {message.name} is not on shared storage")
        self._require_no_foreign_guest(self._slot(message.instance_id), message.instance_id, message.epoch)
        return m.Connector(host=self._host, incarnation=self._incarnation)

    def connect_volumes(self, message: m.ConnectVolumes) -> None:
        slot = self._slot(message.instance_id)
        with slot.lock:
            time.sleep(self._step_delay)
            if message.epoch <= max(slot.buried, slot.disconnected):
                raise StaleEpochError(f"volumes of epoch {message.epoch} were disconnected from {self._host}")
            slot.connected = message.disks

    def disconnect_volumes(self, message: m.GuestCall) -> None:
        slot = self._slot(message.instance_id)
        with slot.lock:
            time.sleep(self._step_delay)
            slot.disconnected = max(slot.disconnected, message.epoch)
            slot.connected = ()

    def spawn(self, guest: m.GuestSpec, *, last_look: Callable[[], None], beat: Callable[[str], None]) -> m.GuestState:
        slot = self._slot(guest.instance_id)
        with slot.lock:
            if guest.epoch <= slot.buried:
                raise StaleEpochError(f"epoch {guest.epoch} of {guest.instance_id} was called off on {self._host}")
            self._require_no_foreign_guest(slot, guest.instance_id, guest.epoch)
            if slot.guest is None or slot.guest.paused or slot.guest.epoch != guest.epoch:
                last_look()
                self._create(slot, guest)
            elif slot.guest.power_state is not guest.power_state:
                raise SpawnFailedError(f"{guest.name} is {slot.guest.power_state} and is wanted {guest.power_state}")
            beat(f"{guest.name} is up")
            return m.GuestState(instance_id=guest.instance_id, epoch=guest.epoch, power_state=guest.power_state)

    def settle(self, message: m.GuestCall) -> bool:
        slot = self._slot(message.instance_id)
        with slot.lock:
            time.sleep(self._step_delay)
            if message.epoch > slot.buried and slot.guest == _Guest(message.epoch, message.power_state):
                return True
            self._destroy(slot, message.instance_id, message.epoch)
            return False

    def destroy(self, instance_id: str, epoch: int) -> None:
        slot = self._slot(instance_id)
        with slot.lock:
            time.sleep(self._step_delay)
            self._destroy(slot, instance_id, epoch)

    def bury(self, instance_id: str, epoch: int) -> None:
        slot = self._slot(instance_id)
        with slot.lock:
            slot.buried = max(slot.buried, epoch)

    def pause(self, instance_id: str, epoch: int) -> None:
        slot = self._slot(instance_id)
        with slot.lock:
            if slot.guest and slot.guest.epoch == epoch and slot.guest.power_state is PowerState.RUNNING:
                slot.guest = replace(slot.guest, paused=True)

    def _slot(self, instance_id: str) -> _Slot:
        with self._guard:
            return self._slots[instance_id]

    def _require_no_foreign_guest(self, slot: _Slot, instance_id: str, epoch: int) -> None:
        found = slot.guest
        if found and found.epoch != epoch and (found.epoch > epoch or found.power_state is PowerState.RUNNING):
            raise DestinationUnableError(
                f"a guest of {instance_id} with epoch {found.epoch} is on {self._host} already"
            )

    def _create(self, slot: _Slot, guest: m.GuestSpec) -> None:
        time.sleep(self._spawn_delay)
        failure = self._next_failure()
        if failure is not None:
            raise failure
        if guest.power_state is PowerState.RUNNING and not self._disks.lock(guest.instance_id, self):
            raise DiskLockedError(f"the disk of {guest.name} is locked by another process")
        slot.guest = _Guest(guest.epoch, guest.power_state)

    def _next_failure(self) -> EvacuateError | None:
        with self._guard:
            return self._failures.pop(0) if self._failures else None

    def _destroy(self, slot: _Slot, instance_id: str, epoch: int) -> None:
        slot.buried = max(slot.buried, epoch)
        if slot.guest and slot.guest.epoch <= epoch:
            slot.guest = None
            self._disks.unlock(instance_id, self)


def _state(instance_id: str, guest: _Guest) -> m.GuestState:
    return m.GuestState(instance_id=instance_id, epoch=guest.epoch, power_state=guest.power_state, paused=guest.paused)
