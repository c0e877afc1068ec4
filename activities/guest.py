"""Guests on a host. Every method runs on the host's own worker and reads the real thing before it acts."""

from collections.abc import Callable

from temporalio import activity

from activities.identity import NoMemory, must_be
from evacuation import messages as m
from evacuation.ports import Hypervisor, LedgerMemory


def _nobody_to_ask() -> None:
    """Without a client there is no server to ask."""


class GuestActivities:
    def __init__(
        self,
        hypervisor: Hypervisor,
        last_look: Callable[[], None] | None = None,
        memory: LedgerMemory | None = None,
    ) -> None:
        self._hypervisor = hypervisor
        self._memory = memory or NoMemory()
        self._last_look = last_look or _nobody_to_ask
        self.all = [self.prepare_destination, self.spawn_guest, self.settle_guest, self.destroy_guest]
        self.for_return = [self.bury_guests, self.start_guest, self.destroy_guest, self.pause_guest]

    @activity.defn(no_thread_cancel_exception=True)
    def prepare_destination(self, message: m.PrepareDestination) -> m.Prepared:
        """Driver able, no foreign guest of that uuid, shared disks visible; how this host reaches volumes."""
        must_be(self._hypervisor, message.call, self._memory)
        return m.Prepared(connector=self._hypervisor.prepare(message), ledger=self._memory.known())

    @activity.defn(no_thread_cancel_exception=True)
    def spawn_guest(self, message: m.SpawnGuest) -> m.StartedGuest:
        """The guest of that uuid and epoch in its wanted power state; found, or created once."""
        return self._bring_up(message)

    def _bring_up(self, message: m.SpawnGuest) -> m.StartedGuest:
        must_be(self._hypervisor, message.call, self._memory)
        activity.heartbeat("starting")
        state = self._hypervisor.spawn(message.guest, last_look=self._last_look, beat=activity.heartbeat)
        return m.StartedGuest(**dict(state), ledger=self._memory.known())

    @activity.defn(no_thread_cancel_exception=True)
    def start_guest(self, message: m.SpawnGuest) -> m.StartedGuest:
        """As `spawn_guest`, for a guest that belongs to a host that comes back."""
        return self._bring_up(message)

    @activity.defn(no_thread_cancel_exception=True)
    def settle_guest(self, message: m.GuestCall) -> m.Settled:
        """Forward, if the guest of that epoch is in its wanted state; else it is gone and cannot come any more."""
        incarnation = must_be(self._hypervisor, message.call, self._memory, any_incarnation=True)
        return m.Settled(forward=self._hypervisor.settle(message), incarnation=incarnation, ledger=self._memory.known())

    @activity.defn(no_thread_cancel_exception=True)
    def destroy_guest(self, message: m.GuestCall) -> m.Settled:
        """Tombstone first, then destroyed and undefined, read back. Shared disks are kept."""
        incarnation = must_be(self._hypervisor, message.call, self._memory, any_incarnation=True)
        self._hypervisor.destroy(message.instance_id, message.epoch)
        return m.Settled(forward=False, incarnation=incarnation, ledger=self._memory.known())

    @activity.defn(no_thread_cancel_exception=True)
    def bury_guests(self, message: m.BuryGuests) -> m.HostDone:
        """No late call starts one of them any more; what runs is left alone."""
        must_be(self._hypervisor, message.call, self._memory)
        for guest in message.guests:
            self._hypervisor.bury(guest.instance_id, guest.epoch)
        return m.HostDone(ledger=self._memory.known())

    @activity.defn(no_thread_cancel_exception=True)
    def pause_guest(self, message: m.GuestCall) -> m.HostDone:
        """Quarantine: it writes nothing until somebody resumes it."""
        must_be(self._hypervisor, message.call, self._memory, any_incarnation=True)
        self._hypervisor.pause(message.instance_id, message.epoch)
        return m.HostDone(ledger=self._memory.known())
