"""What the store does when an instance starts, or stops, on the host that it is on."""

from functools import partial

from temporalio import activity

from activities.elsewhere import Elsewhere
from evacuation import messages as m
from evacuation.ports import HostStore


class InPlaceActivities:
    def __init__(self, hosts: HostStore, elsewhere: Elsewhere | None = None) -> None:
        self._hosts = hosts
        self._elsewhere = elsewhere or Elsewhere()
        self.all = [self.plan_in_place, self.authorize_in_place, self.record_in_place]

    @activity.defn(no_thread_cancel_exception=True)
    def plan_in_place(self, instance: m.InstanceRef) -> m.InPlacePlan:
        """Where the instance lives, and whether it can be started or stopped there: not while another host has it."""
        plan = partial(self._hosts.plan_in_place, instance.instance_id)
        return self._elsewhere.before(plan, instance.instance_id)

    @activity.defn(no_thread_cancel_exception=True)
    def authorize_in_place(self, message: m.AuthorizeInPlace) -> m.AuthorizedStart:
        """What its host has destroyed is proven gone, and a new guest may come there."""
        return self._hosts.authorize_in_place(message)

    @activity.defn(no_thread_cancel_exception=True)
    def record_in_place(self, message: m.RecordInPlace) -> m.Done:
        """The instance is as its host has it; no task is left."""
        self._hosts.record_in_place(message)
        return m.Done()
