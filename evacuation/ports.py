"""The ports: what the activities need from the world, as Protocols. `services/` holds what is behind them.

All are synchronous and safe to call from many threads. Each call is one transaction or one remote operation, has
its own timeout, and raises only `EvacuateError`s on purpose. "Guarded" means: in its own transaction the call checks
the `AttemptRef` (evacuation id, owner, attempt) and the phase, and raises `StaleAttemptError` without a write when
they are not what the call needs, or `InstanceDeletedError` when a forward call finds the instance deleted. Every
call may be repeated, from whatever point the call before it died at, with the same result.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

from evacuation import messages as m
from evacuation.capabilities import HostLook
from evacuation.ledger import LedgerMark, StartMark
from evacuation.model import Candidate, Evidence, Frozen, PlacementRequest, PowerReading
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


class EvidenceStore(Protocol):
    """What is known about which incarnation of which host is off."""

    def open_fence(self, request: m.FenceRequest) -> Evidence | None:
        """Note that a fence of (host, incarnation) has begun; one row however many evacuations share it. Returns
        current evidence if there is any. It holds nobody."""
        ...

    def registered_boot(self, host: str) -> str | None:
        """The incarnation under which the host registered last."""
        ...

    def begin_cut(self, request: m.FenceRequest, by: str, until: datetime) -> Evidence | None:
        """Before the power is cut. Under the host's lock: current evidence (a new incarnation is some) is returned, and
        it must not be cut; else the host is down, and whoever boots there waits until `end_cut` by the same, or
        `until`. Again by the same: the time is extended. Raises SourceReturnedError (it registered for the first time
        since), FenceDeclinedError (with `spare_others`: another unproven residence is there, or another host was cut
        over the starts of this instance)."""
        ...

    def require_cut(self, request: m.FenceRequest, by: str, until: datetime) -> None:
        """The cut is still as this execution announced it, and no other boot has registered. Raises CutOverError."""
        ...

    def end_cut(self, host: str, by: str, proofs: Sequence[Evidence], until: datetime | None = None) -> None:
        """The cut is over, and the proofs are recorded with it. None: it failed, and the host is what it was. With
        `until`, as announced, it ends only the cut of that execution: proofs that come late raise CutOverError."""
        ...

    def current_evidence(self, host: str, incarnation: str | None, instance_id: str | None = None) -> Evidence | None:
        """Not voided, of that incarnation, and enough for the fencing policy; or, when the host has registered
        another incarnation since, evidence of kind new-incarnation. Storage evidence counts for the instance that
        is named, if it covers every disk that its guest could write."""
        ...

    def usable_evidence(self, host: str, incarnation: str | None, instance_id: str | None = None) -> Evidence | None:
        """As `current_evidence`, for whoever acts by it. Raises PowerUnreadError, which names the hosts whose power is
        to be read first: an operator's word, and power-off evidence older than the policy's `reading_age`, count only
        after a reading that is not. So do the other calls that act by evidence: begin, record_preparation,
        authorize_spawn, record_guest_gone, open_fence, authorize_start, plan_deletion."""
        ...

    def accept(self, asked: m.AcceptIdentity) -> None:
        """Another board takes the name of the host, because a person says that nothing of the one before runs any more:
        that is evidence about its last boot, which neither the host's power nor a boot of the new board speaks for.
        Raises HostAnswersError (it has come up meanwhile, or who is found runs in a boot of before), HostIdentityError
        (it is another host's board), SourceNotFencedError (the policy asks for more than a word)."""
        ...

    def record_reading(self, host: str, reading: PowerReading, since: datetime) -> None:
        """The host's power was read, from `since` on. On: what was said of it before that is void. Else the reading
        serves all who rely on what is said of it, for the policy's `reading_age`."""
        ...

    def record_evidence(self, evidence: Evidence) -> Evidence:
        """Keep it and mark the host down, if that incarnation is still the registered one. Again: the first is
        kept and returned. Storage evidence is about disks, not the host: its disks are added to those known."""
        ...

    def void_evidence(self, host: str, incarnation: str, why: str) -> None:
        """The incarnation was seen alive: power-off and operator evidence about it is no longer current.
        Proofs already written stand."""
        ...


class Capacity(Protocol):
    def claim(self, message: m.ClaimCapacity) -> m.Destination:
        """Guarded (attempt n from (n-1, undone), or n again in forward: the same answer). One transaction:
        choose, write the destination's allocation under the instance, move the source's allocation to the
        migration id, give the attempt's epoch, note the destination in the migration, phase forward. Two claims
        cannot oversubscribe a host. Raises NoValidHostError, or CapacityNotYetError with `wait`; PoisonousStartError
        when a host fits, and the starts of the instance have cost others too much."""
        ...

    def release(self, ref: m.AttemptRef) -> None:
        """The attempt's allocation goes, the source's moves back to the instance; phase undone. The last
        compensation of an attempt. Refused with ResidenceNotProvenError while the attempt's guest may run."""
        ...


class Network(Protocol):
    def bind(self, ref: m.AttemptRef, host: str) -> tuple[m.Nic, ...]:
        """Guarded (forward). Every port of the instance actively bound to the host; info re-read afterwards."""
        ...

    def unbind(self, ref: m.AttemptRef) -> None:
        """Compensation: bindings of this evacuation go, the source's are active again."""
        ...

    def is_bound(self, instance_id: str, host: str) -> bool:
        """Every port's one active binding is on the host."""
        ...


class Attachment(Frozen):
    id: str
    volume_id: str
    instance_id: str
    status: str
    connector: m.Connector | None
    target: m.VolumeTarget | None = None
    """Where the connector's host finds the data, if the volume service says so."""


class Volumes(Protocol):
    """The volume service: attachments, one connected at a time for a single-attach volume."""

    def attachment(self, attachment_id: str) -> Attachment | None: ...

    def attachments(self, volume_id: str, instance_id: str) -> tuple[Attachment, ...]:
        """All that the instance has on the volume, oldest first."""
        ...

    def made_by(self, ref: m.AttemptRef) -> tuple[Attachment, ...]:
        """All that this evacuation has reserved, on whichever volume, in whichever attempt."""
        ...

    def reserve(self, ref: m.AttemptRef, volume_id: str, name: str, *, undo: bool) -> str:
        """Guarded (forward, or undoing when `undo`). The id of the reserved attachment of that name."""
        ...

    def delete(self, ref: m.AttemptRef, attachment_id: str, *, undo: bool) -> None:
        """Guarded. Gone already is fine. The volume is never left available."""
        ...

    def complete(self, ref: m.AttemptRef, attachment_id: str, connector: m.Connector) -> None:
        """Guarded (forward). Attached to the connector's host. Again: no change."""
        ...


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


class OnlookerStore(Protocol):
    """Which hosts look on at a cut, and what they have shown."""

    def around(self, host: str) -> tuple[m.ProbeRequest, ...]:
        """Some tens of those that are up, the nearest in the fleet: entries are exchanged between neighbours."""
        ...

    def note_seen(self, host: str, by: str, names: Collection[str]) -> None:
        """They answered before that cut; kept until somebody ends it."""
        ...

    def concerned(self, host: str) -> tuple[m.ProbeRequest, ...]:
        """The host, and all that answered before a cut of it that nobody has ended."""
        ...

    def raise_alarm(self, request: m.FenceRequest, why: str) -> None:
        """Nothing cuts that boot any more, nor proves it off by its power, until `forget_alarm`."""
        ...

    def forget_alarm(self, request: m.FenceRequest) -> None: ...

    def require_no_alarm(self, request: m.FenceRequest) -> None:
        """Raises WrongMachineError."""
        ...


class FencingDriver(Protocol):
    """Reads and cuts the power of hosts. A driver that can tell which machine it reads compares that with the host's
    `Identities` each time: of another one nothing is read as off, and no order is sent (BmcIdentityError)."""

    kind: str

    def kind_of(self, host: str) -> str:
        """Which kind of driver switches this host: what evidence names as its author."""
        ...

    def is_able(self, host: str) -> bool:
        """Whether this driver can cut this host's power at all. No I/O to the host."""
        ...

    def is_off(self, host: str) -> bool:
        """Power state read now. Raises FenceFailedError when it cannot be read."""
        ...

    def stays_off(self, host: str, beat: Callable[[], None]) -> bool:
        """As `is_off`, read again over some seconds where a first answer may be an old one: what is to be proof."""
        ...

    def doubt_about(self, host: str) -> str | None:
        """Why nothing shows that it is this host whose power is read. None: it was compared now, or cannot be another.
        Raises FenceFailedError."""
        ...

    def boot_of(self, host: str) -> str | None:
        """Which boot is there, or was if it is off. None: this driver cannot tell. Raises FenceFailedError."""
        ...

    def power_off(
        self, host: str, boot: str | None, *, last_look: Callable[[], None], beat: Callable[[], None]
    ) -> None:
        """Off, read back over some seconds. One that is off already gets the order all the same. It is given after
        `last_look` (which raises to call it off), under whatever lock the power has. Another boot than `boot` is not
        cut, where the driver can tell. Raises FenceFailedError, CutOverError (another boot is there)."""
        ...


class StorageFence(Protocol):
    """Takes the disks of one guest away from one host, for good, while the host may still run."""

    def is_able(self, instance_id: str) -> bool:
        """Whether every disk that the guest could write is in its hands. No I/O to the disks."""
        ...

    def revoke(self, request: m.FenceRequest, beat: Callable[[], None]) -> Evidence:
        """No write by that incarnation of the host reaches any of the guest's disks any more, read back, and none
        will ever again by what it was connected with. Recorded. Raises StorageNotRevokedError."""
        ...


class LedgerMemory(Protocol):
    """What a host keeps of the ledger, durably: by it a restored one is told."""

    def known(self) -> LedgerMark | None: ...

    def note(self, mark: LedgerMark | None) -> None:
        """Of one ledger the highest position; another ledger only if it says that it replaces the known one."""
        ...


class HostIdentity(Frozen):
    hypervisor_uuid: str
    machine_id: str
    incarnation: str
    memory: str | None = None
    """Of which memory of the host's (tombstones, locks) this is the worker: another, once that was lost."""


class Hypervisor(Protocol):
    """The guests of one host. Spawn, connect, disconnect, settle and destroy of one uuid exclude each other by a
    host-wide lock that is held through define and create, also against another process of this host's worker."""

    def identity(self) -> HostIdentity: ...

    def inventory(self) -> tuple[m.GuestState, ...]:
        """Every guest defined or running here, read from the real thing."""
        ...

    def prepare(self, message: m.PrepareDestination) -> m.Connector:
        """Driver able, no foreign guest of that uuid, shared disks visible. Raises DestinationUnableError."""
        ...

    def connect_volumes(self, message: m.ConnectVolumes) -> None: ...

    def disconnect_volumes(self, message: m.GuestCall) -> None: ...

    def spawn(self, guest: m.GuestSpec, *, last_look: Callable[[], None], beat: Callable[[str], None]) -> m.GuestState:
        """The guest of that uuid and epoch in its power state: found, or created after `last_look` (which raises
        to call it off). `beat` after every completed poll. Raises StaleEpochError (tombstone),
        DestinationUnableError (foreign guest), DiskLockedError, SpawnFailedError."""
        ...

    def settle(self, message: m.GuestCall) -> bool:
        """True: the guest of that epoch is in its wanted power state. Else tombstone, destroy, False."""
        ...

    def destroy(self, instance_id: str, epoch: int) -> None:
        """A durable tombstone first; then destroy and undefine every guest of that uuid at or below the epoch
        (never a newer one), and read back until nothing is starting or running. Shared disks are kept."""
        ...

    def bury(self, instance_id: str, epoch: int) -> None:
        """A durable tombstone, and nothing else: what runs is left alone."""
        ...

    def pause(self, instance_id: str, epoch: int) -> None:
        """It makes no more progress and writes nothing until somebody resumes it."""
        ...


class Looking(Protocol):
    """What a hypervisor can tell of what runs, beside `Hypervisor.inventory`."""

    def look(self) -> HostLook:
        """Every domain that is there and active, and no other; small enough for a message. Raises
        HypervisorUnavailableError, HypervisorUnableError."""
        ...


class Reporter(Protocol):
    """What a living host says of itself, for the store to have when it is dead."""

    def report(self, incarnation: str) -> m.HypervisorReport:
        """Of now, all guests included. Raises HypervisorUnavailableError, HypervisorUnableError."""
        ...
