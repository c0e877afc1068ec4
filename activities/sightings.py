"""The residence of an instance goes where somebody has migrated its guest."""

from temporalio import activity

from activities.power import PowerReader
from evacuation import messages as m
from evacuation.ports import HostStore


class SightingActivities:
    def __init__(self, hosts: HostStore, power: PowerReader) -> None:
        self._hosts = hosts
        self._power = power
        self.all = [self.plan_follow, self.follow_instance]

    @activity.defn(no_thread_cancel_exception=True)
    def plan_follow(self, instance: m.InstanceRef) -> m.FollowPlan:
        """Read-only: where the residence is, and who is to be asked for its guest."""
        return self._hosts.plan_follow(instance.instance_id)

    @activity.defn(no_thread_cancel_exception=True)
    def follow_instance(self, message: m.FollowInstance) -> m.Done:
        """The residence is where the one guest of its mark runs, and its old place is proven empty."""
        self._power.first(lambda: self._hosts.follow(message))
        return m.Done()
