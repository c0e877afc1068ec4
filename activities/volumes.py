"""What the destination itself does to see an instance's volumes."""

from temporalio import activity

from activities.identity import NoMemory, must_be
from evacuation import messages as m
from evacuation.ports import Hypervisor, LedgerMemory


class GuestVolumeActivities:
    def __init__(self, hypervisor: Hypervisor, memory: LedgerMemory | None = None) -> None:
        self._hypervisor = hypervisor
        self._memory = memory or NoMemory()
        self.all = [self.connect_volumes, self.disconnect_volumes]

    @activity.defn(no_thread_cancel_exception=True)
    def connect_volumes(self, message: m.ConnectVolumes) -> m.HostDone:
        """The host sees the volumes."""
        must_be(self._hypervisor, message.call, self._memory)
        self._hypervisor.connect_volumes(message)
        return m.HostDone(ledger=self._memory.known())

    @activity.defn(no_thread_cancel_exception=True)
    def disconnect_volumes(self, message: m.GuestCall) -> m.HostDone:
        """Undoes `connect_volumes`."""
        must_be(self._hypervisor, message.call, self._memory, any_incarnation=True)
        self._hypervisor.disconnect_volumes(message)
        return m.HostDone(ledger=self._memory.known())
