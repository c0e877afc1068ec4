"""The port `Hypervisor`, and what is chosen with it."""

import threading
import uuid
from collections.abc import Callable

from evacuation import messages as m
from evacuation.errors import HypervisorUnavailableError, StaleEpochError
from evacuation.model import PowerState
from evacuation.ports import HostIdentity
from services.hypervisors.chosen import HypervisorDriver
from services.runtime.settings import Settings
from tests.integration.drivers.toy.rack import BOOTS, BURIED, GUESTS

LOCK = threading.Lock()


class ToyHypervisor:
    def __init__(self, host: str) -> None:
        self._host = host

    def identity(self) -> HostIdentity:
        if self._host not in BOOTS:
            raise HypervisorUnavailableError(f"{self._host} is off")
        mine = str(uuid.uuid5(uuid.NAMESPACE_DNS, self._host))
        return HostIdentity(hypervisor_uuid=mine, machine_id=mine, incarnation=BOOTS[self._host])

    def inventory(self) -> tuple[m.GuestState, ...]:
        here = [(instance, epoch) for (host, instance), epoch in GUESTS.items() if host == self._host]
        return tuple(
            m.GuestState(instance_id=instance, epoch=epoch, power_state=PowerState.RUNNING) for instance, epoch in here
        )

    def prepare(self, message: m.PrepareDestination) -> m.Connector:
        return m.Connector(host=self._host, incarnation=self.identity().incarnation)

    def connect_volumes(self, message: m.ConnectVolumes) -> None:
        pass

    def disconnect_volumes(self, message: m.GuestCall) -> None:
        pass

    def spawn(self, guest: m.GuestSpec, *, last_look: Callable[[], None], beat: Callable[[str], None]) -> m.GuestState:
        key = (self._host, guest.instance_id)
        with LOCK:
            if guest.epoch <= BURIED.get(key, 0):
                raise StaleEpochError("called off")
            if GUESTS.get(key) != guest.epoch:
                last_look()
                GUESTS[key] = guest.epoch
        beat("it is up")
        return m.GuestState(instance_id=guest.instance_id, epoch=guest.epoch, power_state=PowerState.RUNNING)

    def settle(self, message: m.GuestCall) -> bool:
        if GUESTS.get((self._host, message.instance_id)) == message.epoch:
            return True
        self.destroy(message.instance_id, message.epoch)
        return False

    def destroy(self, instance_id: str, epoch: int) -> None:
        self.bury(instance_id, epoch)
        with LOCK:
            if GUESTS.get((self._host, instance_id), epoch + 1) <= epoch:
                del GUESTS[(self._host, instance_id)]

    def bury(self, instance_id: str, epoch: int) -> None:
        with LOCK:
            BURIED[(self._host, instance_id)] = max(epoch, BURIED.get((self._host, instance_id), 0))

    def pause(self, instance_id: str, epoch: int) -> None:
        pass


class ToyDriver(HypervisorDriver):
    has_machines = True
    remembers = False

    def open(self, settings: Settings, host: str) -> ToyHypervisor:
        return ToyHypervisor(host)
