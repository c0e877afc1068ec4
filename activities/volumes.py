"""What the destination itself does to see an instance's volumes."""

from temporalio import activity

from activities.identity import must_be
from evacuation import messages as m
from evacuation.ports import Hypervisor


class VolumeActivities:
    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self.all = [self.connect_volumes, self.disconnect_volumes]

    @activity.defn(no_thread_cancel_exception=True)
    def connect_volumes(self, message: m.ConnectVolumes) -> m.Done:
        """The host sees the volumes."""
        must_be(self._hypervisor, message.call)
        self._hypervisor.connect_volumes(message)
        return m.Done()

    @activity.defn(no_thread_cancel_exception=True)
    def disconnect_volumes(self, message: m.GuestCall) -> m.Done:
        """Undoes `connect_volumes`."""
        must_be(self._hypervisor, message.call, any_incarnation=True)
        self._hypervisor.disconnect_volumes(message)
        return m.Done()
