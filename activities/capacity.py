"""Capacity: one destination chosen and claimed, or given back."""

from temporalio import activity

from evacuation import messages as m
from evacuation.ports import Capacity


class CapacityActivities:
    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self.all = [self.claim_capacity, self.release_capacity]

    @activity.defn(no_thread_cancel_exception=True)
    def claim_capacity(self, message: m.ClaimCapacity) -> m.Destination:
        """One destination, its allocation written, the attempt's epoch given; the source's allocation is held
        by the migration."""
        return self._capacity.claim(message)

    @activity.defn(no_thread_cancel_exception=True)
    def release_capacity(self, message: m.Undo) -> m.Done:
        """Undoes `claim_capacity`; the last compensation of an attempt."""
        self._capacity.release(message.ref)
        return m.Done()
