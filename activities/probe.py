"""\"Are you there?\": answered by the host's own worker, on a queue with slots of its own."""

from collections.abc import Callable

from temporalio import activity

from activities.identity import must_be
from evacuation import messages as m
from evacuation.ports import Hypervisor


class ProbeActivities:
    def __init__(self, hypervisor: Hypervisor, host: str, in_service: Callable[[], bool]) -> None:
        self._hypervisor = hypervisor
        self._host = host
        self._in_service = in_service
        self.all = [self.probe_host, self.list_guests]

    @activity.defn(no_thread_cancel_exception=True)
    def probe_host(self, message: m.ProbeRequest) -> m.ProbeAnswer:
        """An answer means up. Silence means only that nobody answers."""
        call = m.HostCall(host=self._host, hypervisor_uuid=message.hypervisor_uuid, incarnation=None)
        incarnation = must_be(self._hypervisor, call)
        return m.ProbeAnswer(host=self._host, incarnation=incarnation, in_service=self._in_service())

    @activity.defn(no_thread_cancel_exception=True)
    def list_guests(self, message: m.ProbeRequest) -> m.HostReport:
        """Who this host is, and every guest that is defined or runs here."""
        me = self._hypervisor.identity()
        return m.HostReport(
            host=self._host,
            hypervisor_uuid=me.hypervisor_uuid,
            machine_id=me.machine_id,
            incarnation=me.incarnation,
            guests=self._hypervisor.inventory(),
        )
