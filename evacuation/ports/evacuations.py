"""The store of evacuations and their attempts."""

from typing import Protocol

from evacuation import messages as m
from evacuation.ledger import StartMark
from evacuation.model import Candidate, Evidence, Frozen, PlacementRequest
from evacuation.poison import Loss
from evacuation.sightings import Sighting


class CheckFacts(Frozen):
    """All that the store knows for the check of a request. Read in one transaction."""

    instance: m.InstanceSnapshot
    instance_deleted: bool
    source_incarnation: str | None
    source_uuid: str | None
    evidence: Evidence | None
    open: m.OpenEvacuation | None
    others_on_source: tuple[str, ...]
    """Names of the other instances with an unproven residence on the source's incarnation."""
    placement: PlacementRequest
    """Without exclusions."""
    hosts: tuple[Candidate, ...]
    """Among them the one that would be chosen of all; every host, if none would be."""
    known_hosts: frozenset[str]
    """The named target; every host's name, if there is no such host."""
    seen: tuple[Sighting, ...] = ()
    """Where its guest was seen, and no residence is."""
    losses: tuple[Loss, ...] = ()
    """Hosts that were lost while it started there, since it last ran."""


class EvacuationStore(Protocol):
    """The state of instances and of their evacuations."""

    def check_facts(
        self, instance_id: str, target: str | None = None, witnessed: StartMark | None = None
    ) -> CheckFacts:
        """For a request that names this target. Raises InstanceNotFoundError; StoreOwnedError, StoreBehindError (also
        by what the latest evacuation of the instance has witnessed)."""
        ...

    def begin(self, message: m.Begin) -> m.Begun:
        """Open an evacuation, or adopt the one that a closed run left open.

        Fresh: compare-and-swap on host, vm_state, task_state and last evacuation as read, and on the source's
        incarnation; evidence that the message names is still current, and is noted (SourceReturnedError); then
        task_state rebuilding, action `evacuate`, migration `accepted`, evacuation row (attempt 0, undone). Adopted
        (`message.adopts` is what is open, id and owner): the owner becomes the caller, phase `forward` becomes
        `undoing`, everything else is kept. Raises InstanceChangedError, OwnerChangedError (something other than
        `adopts` is open), InstanceDeletedError."""
        ...

    def record_preparation(self, message: m.RecordPreparation) -> None:
        """Guarded (forward). Migration `pre-migrating`, task_state rebuilding confirmed: from here on things are taken
        from the instance. So the source is proven off by current evidence, noted in the evacuation, unless it began
        by some. Raises SourceReturnedError, ResidenceNotProvenError."""
        ...

    def block_devices(self, ref: m.AttemptRef) -> tuple[m.BlockDevice, ...]:
        """The instance's mappings in device order. A read: not guarded."""
        ...

    def stored_definition(self, instance_id: str) -> m.StoredDefinition:
        """As the instance's last host had it. A read: not guarded. Raises InstanceNotFoundError."""
        ...

    def save_source_connector(self, ref: m.AttemptRef, volume_id: str, connector: m.Connector) -> None:
        """Guarded (forward). Saved only if none is saved yet: a later attempt never overwrites it."""
        ...

    def forget_source_connector(self, ref: m.AttemptRef, volume_id: str) -> None:
        """Guarded (undoing). The volume is still attached to the source, or is again."""
        ...

    def save_attachment(self, ref: m.AttemptRef, volume_id: str, attachment_id: str, *, undo: bool) -> None:
        """Guarded (forward, or undoing when `undo`). Point the mapping at another attachment."""
        ...

    def enter_block_device_mapping(self, ref: m.AttemptRef) -> None:
        """Guarded (forward). task_state rebuild_block_device_mapping."""
        ...

    def authorize_spawn(self, message: m.AuthorizeSpawn) -> m.Authorized:
        """Guarded (forward; authorized: the same answer again). One transaction: the destination is up, enabled
        and of that incarnation; every other residence of the instance is proven, or becomes so by current
        evidence, which is written into it; the destination's residence is written; task_state rebuild_spawning;
        phase authorized. Raises SourceReturnedError (the source's evidence is void, same boot),
        ResidenceNotProvenError, DestinationBusyError (cap reached), DestinationUnableError (no longer up)."""
        ...

    def call_off(self, ref: m.AttemptRef) -> bool:
        """The first step back of an attempt whose authorisation was asked for: whether it was given, so that its
        guest may run. If not, phase undoing from here on."""
        ...

    def is_bereft(self, ref: m.AttemptRef) -> bool:
        """Whether the attempt's guest may run, and has lost a disk: by a fence of its destination."""
        ...

    def begin_undoing(self, ref: m.AttemptRef) -> bool:
        """Guarded (undoing). From here on every forward call of the attempt is late, whatever it has read. False: there
        is nothing to take back, the source has the instance again."""
        ...

    def record_guest_gone(self, message: m.RecordGuestGone) -> None:
        """Write the evidence as proof into the attempt's own residence and move authorized (or, for a deletion,
        started) to undoing. Raises EvidenceVoidedError: what was said of the host is not current any more."""
        ...

    def record_start(self, ref: m.AttemptRef) -> None:
        """Guarded (authorized, or started: no change). Phase started: nothing but the instance's deletion undoes the
        attempt from here on."""
        ...

    def finish(self, message: m.FinishEvacuation) -> None:
        """Guarded (started). One transaction: host, vm_state, task_state none, power_state, fault none,
        migration `done`, the hold of the migration on the source's allocation released, saved connectors
        cleared, action finished, outcome kept, evacuation closed. Again: no change."""
        ...

    def abandon(self, message: m.AbandonEvacuation) -> None:
        """Guarded (undone; closed by the same owner: no change). Close without recovery."""
        ...

    def outcome(self, evacuation_id: str) -> m.EvacuationOutcome | None: ...
