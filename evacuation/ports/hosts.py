"""The store of hosts, of the guests on them, and of who is who."""

from collections.abc import Collection, Sequence
from typing import Protocol

from evacuation import messages as m


class HostStore(Protocol):
    """Hosts that come back."""

    def register(self, report: m.HostReport) -> m.ReturnPlan:
        """Note incarnation and identity, and answer what to do before serving. Same incarnation as registered:
        evidence about it is voided, and a host that was up and never fenced stays up. A new one: the older is
        over; the host is down until `complete_return`. First registration gives the loaded residences of the
        host this incarnation. A host whose memory is another than the registered one of that boot has lost it: every
        epoch that may have been given there, and is not what runs there by right, is to be buried. Raises
        HostNotFoundError, HostIdentityError."""
        ...

    def record_destroyed(self, guest: m.HostGuest) -> None:
        """The old residence here is proven empty; the migration that left from here becomes `completed`."""
        ...

    def authorize_start(self, guest: m.HostGuest) -> m.AuthorizedStart:
        """The instance belongs here and does not run: a residence in this incarnation (a new epoch, unless the
        residence of `guest.epoch` is already of this incarnation and unproven), the older one proven by the new
        incarnation. Raises ResidenceNotProvenError, EvacuationRunningError, InstanceDeletedError."""
        ...

    def record_started(self, message: m.RecordStarted) -> None:
        """power_state as it is now, if the residence is still that guest's."""
        ...

    def plan_in_place(self, instance_id: str) -> m.InPlacePlan:
        """Read-only. Raises a Refusal: it cannot be started or stopped where it is."""
        ...

    def authorize_in_place(self, message: m.AuthorizeInPlace) -> m.AuthorizedStart:
        """In one transaction: the guest that its host has destroyed is proven gone, and a new one may come there. The
        record of a stop changes here. Again, by the same owner: the same. Raises StaleAttemptError, a Refusal."""
        ...

    def record_in_place(self, message: m.RecordInPlace) -> None:
        """vm_state and power_state as the host has it, task_state none. Raises StaleAttemptError."""
        ...

    def complete_return(self, host: m.ReturnedHost) -> None:
        """The host is up, unless another incarnation registered meanwhile (StaleAttemptError). Its memory is that one
        from now on."""
        ...

    def record_look(self, instances: Collection[str], reports: Sequence[m.HostReport]) -> None:
        """What hosts have, or have no more, of these instances where no residence is. A report of another boot than the
        registered one changes nothing."""
        ...

    def plan_follow(self, instance_id: str) -> m.FollowPlan:
        """Read-only. Raises a Refusal: the residence of the instance goes nowhere now."""
        ...

    def follow(self, message: m.FollowInstance) -> None:
        """In one transaction: residence, host, ports, attachments and allocation of the instance are where its one
        guest runs, with the same mark; the place where it was is proven empty by its host's own answer, or by evidence.
        Again: no change. Raises NotMovedError and other refusals."""
        ...

    def record_report(self, report: m.HypervisorReport) -> bool:
        """Keep what is new in it, of the host and of the instances with a stored definition that live there and are
        not being evacuated; whether anything was. A report of another boot than the registered one, or older than
        what is known, changes nothing. Raises HostNotFoundError."""
        ...

    def plan_deletion(self, instance_id: str) -> m.DeletionPlan:
        """Mark the instance for deletion (forward calls are refused from here on) and say what remains to be done."""
        ...

    def record_deleted(self, guest: m.HostGuest | None, instance_id: str) -> None:
        """vm_state deleted; ports, attachments, allocations gone; the residence proven, if `guest` was destroyed."""
        ...


class Identities(Protocol):
    """Which machine each host is, by the UUID of its firmware, as its own worker said it."""

    def uuid_of(self, host: str) -> str | None:
        """None: the host is not known, or its worker never came."""
        ...

    def owner_of(self, uuids: Collection[str]) -> str | None:
        """The host that has one of these UUIDs, in whatever case."""
        ...
