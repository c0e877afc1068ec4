"""What the store does when a host comes back, and when an instance is deleted."""

from functools import partial

from temporalio import activity

from activities.elsewhere import Elsewhere
from activities.power import PowerReader
from evacuation import messages as m
from evacuation.ports import HostStore


class HostActivities:
    def __init__(self, hosts: HostStore, power: PowerReader, elsewhere: Elsewhere | None = None) -> None:
        self._hosts = hosts
        self._elsewhere = elsewhere or Elsewhere()
        self._power = power
        self.all = [
            self.register_host,
            self.record_destroyed,
            self.authorize_start,
            self.record_started,
            self.complete_return,
            self.record_report,
            self.plan_deletion,
            self.record_deleted,
        ]

    @activity.defn(no_thread_cancel_exception=True)
    def register_host(self, report: m.HostReport) -> m.ReturnPlan:
        """Incarnation and identity noted; what has to be done before the host serves."""
        return self._hosts.register(report)

    @activity.defn(no_thread_cancel_exception=True)
    def record_destroyed(self, guest: m.HostGuest) -> m.Done:
        """The old residence is proven empty; the migration that left from here is `completed`."""
        self._power.first(lambda: self._hosts.record_destroyed(guest))
        return m.Done()

    @activity.defn(no_thread_cancel_exception=True)
    def authorize_start(self, guest: m.HostGuest) -> m.AuthorizedStart:
        """A residence in this incarnation for a guest that belongs here and does not run, on no host that answers."""
        authorize = partial(self._power.first, partial(self._hosts.authorize_start, guest))
        return self._elsewhere.before(authorize, guest.instance_id)

    @activity.defn(no_thread_cancel_exception=True)
    def record_started(self, message: m.RecordStarted) -> m.Done:
        self._hosts.record_started(message)
        return m.Done()

    @activity.defn(no_thread_cancel_exception=True)
    def complete_return(self, host: m.ReturnedHost) -> m.Done:
        """The host is up, and takes evacuations."""
        self._hosts.complete_return(host)
        return m.Done()

    @activity.defn(no_thread_cancel_exception=True)
    def record_report(self, report: m.HypervisorReport) -> m.Recorded:
        """What the host reported is in the store; what it knew already is not written again."""
        return m.Recorded(changed=self._hosts.record_report(report))

    @activity.defn(no_thread_cancel_exception=True)
    def plan_deletion(self, instance: m.InstanceRef) -> m.DeletionPlan:
        """The instance is marked; from here on no evacuation moves it forward."""
        return self._power.first(lambda: self._hosts.plan_deletion(instance.instance_id))

    @activity.defn(no_thread_cancel_exception=True)
    def record_deleted(self, message: m.RecordDeleted) -> m.Done:
        """vm_state deleted; ports, attachments and allocations gone."""
        self._power.first(lambda: self._hosts.record_deleted(message.guest, message.instance_id))
        return m.Done()
